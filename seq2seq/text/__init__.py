"""Text in, batches of numbers out: corpora, sub-words, the token cache, batches."""

"""seq2seq: a trainer for attention translation."""

__version__ = "0.1.0"

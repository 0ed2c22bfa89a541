"""Public corpora: where they are, under which terms, and how their files become text to train on."""

"""How fast training and decoding are, and how near to what the machine can do."""

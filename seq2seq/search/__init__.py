"""Search for translations, against a protocol of two methods."""

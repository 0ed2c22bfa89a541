"""attention = score x window x normaliser x heads."""

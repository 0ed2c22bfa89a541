"""The version, in a module of its own so that others can import it."""

__version__ = "0.1.0"

"""Commands that train: their arguments, and calls of the library."""

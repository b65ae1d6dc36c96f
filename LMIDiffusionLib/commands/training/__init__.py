"""The commands that train: their arguments and what they run."""

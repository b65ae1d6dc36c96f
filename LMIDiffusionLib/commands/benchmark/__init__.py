"""The commands below `benchmark`: their arguments and what they run."""

"""The commands below `benchmark`: arguments and calls of the library."""

"""Interface for other programs: events, notices, progress, presets, checkpoint headers, bundled files.

Imports the standard library and `errors` alone, so that the Slicer module can load it without PyTorch.
Begin with `events`, the lines that a running command prints for another program.
"""

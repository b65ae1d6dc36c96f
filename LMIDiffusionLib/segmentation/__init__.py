"""Classes and tissues of a translated scan, and the mask of its brain.

Imports `images` and `interface`.
Begin with `classes`: K-Means labels by the centers that a checkpoint holds.
"""

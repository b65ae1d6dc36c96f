"""Nodes of the MRML scene: sources, requests, results, sequences, slice views, and the saved parameters.

Imports `Base`.
Begin with `Request` for what a translation is asked for, with `Results` for what it leaves in the scene.
"""

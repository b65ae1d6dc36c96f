"""Errors, choices, paths, checkpoints and Python packages: all that needs no node of the scene.

Imports `LMIDiffusionLib.interface` alone.
Begin with `Presets` for what the panel offers, with `Dependencies` for packages.
"""

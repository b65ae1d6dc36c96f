"""Translations, with or without the panel, and the self-tests that run inside Slicer.

Imports `Worker`, `Scene` and `Base`.
Begin with `LMIDiffusionLogic`, which scripts use; `TranslationRun` is one run of it.
"""

"""Processes beside Slicer: their start, what they are told and tell, and their end with all their children.

Imports `Scene` and `Base`.
Begin with `WorkerProcess`; `Command` says what the library is asked.
"""

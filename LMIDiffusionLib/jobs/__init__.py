"""Whole tasks behind the commands: translate a file, keep a worker, run the demo, check the installation.

Imports `translation` and everything below it.
Begin with `translation_job`: from the source's file to the files of the result.
"""

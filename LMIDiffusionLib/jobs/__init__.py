"""Jobs behind the commands: translate a file, run a worker, run the demo, check the installation.

Imports `translation` and everything below it.
Begin with `translation_job`: from the source's file to the files of the result.
"""

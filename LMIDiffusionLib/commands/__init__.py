"""The commands, one in each file: what it is for, what it is given, and what it does.

Each is a module with the names of `cli.Command`. What it works with is imported when it runs, and the registries that
its help lists when its arguments are asked for.
"""

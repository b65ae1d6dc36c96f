"""Commands, one in each module: summary, arguments, and the call of a job.

Each module has the names of `cli.Command`. Heavy imports stand in its functions, so that other commands start quickly.
Begin with `translate`; `arguments` holds what several commands share.
"""

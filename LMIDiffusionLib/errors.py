"""The one exception that a user is meant to read."""


class UserError(Exception):
    """Something the user can put right. The message is one sentence: what is wrong and what to do."""

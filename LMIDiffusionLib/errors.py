"""Exceptions that a user is meant to read."""


class UserError(Exception):
    """Something the user can put right. The message is one sentence: what is wrong and what to do."""


class ScanWarning(UserWarning):
    """Something about a file that the user should know. The message is one sentence; the work goes on."""


class OutOfMemory(UserError):
    """The device or the computer has too little memory for the request."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python has a class for it, and PyTorch says it in words."""
    if isinstance(error, MemoryError | OutOfMemory):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)

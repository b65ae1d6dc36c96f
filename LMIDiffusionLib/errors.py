"""Exceptions that a user is meant to read."""


class UserError(ValueError):
    """Something the user can put right. The message is one sentence: what is wrong and what to do.

    Attributes:
        place: the file that the message begins with; empty if it is about no file.
        text: the message without the place.
    """

    def __init__(self, text: str, *, place: object = "") -> None:
        self.text, self.place = text, str(place)
        super().__init__(f"{self.place} {text}".lstrip())


class ScanWarning(UserWarning):
    """Something about a file that the user should know. The message is one sentence; the work goes on."""


class Interrupted(KeyboardInterrupt):
    """A stop by the user or the system. The message says what is done and how to go on.

    Attributes:
        status: exit status of the process.
    """

    def __init__(self, text: str, *, status: int) -> None:
        self.status = status
        super().__init__(text)


class OutOfMemory(UserError):
    """The device or the computer has too little memory for the request."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out; PyTorch says so only in the text of a RuntimeError."""
    if isinstance(error, MemoryError | OutOfMemory):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def printable(text: object) -> str:
    """Text for a terminal, in which characters that would steer it, such as escapes in file names, are spelled out."""
    return "".join(
        each
        if each.isprintable() or each == "\n"
        else each.encode("ascii", "backslashreplace").decode()
        if ord(each) > 127
        else f"\\x{ord(each):02x}"
        for each in str(text)
    )

class TranslationError(Exception):
    """A failure whose message is one sentence for the user; `details` holds the end of the log."""

    def __init__(self, message: str, details: str = ""):
        super().__init__(message)
        self.details = details


class TranslationCancelled(TranslationError):
    """Raised when a run is cancelled before it has a result."""

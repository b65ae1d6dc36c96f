"""`slicer.i18n`: texts stay as they are, as in Slicer without a language pack."""


def tr(text: str) -> str:
    return _checked(text)


def translate(context: str, text: str) -> str:
    _checked(context)
    return _checked(text)


def _checked(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"Only text can be translated; {text!r} is none")
    return text

"""Modal dialogs. Nobody sits before the host: each one needs an answer that was given before, or it is an error."""

from collections import deque
from typing import Any

import qt

_STATIC = {
    "QMessageBox": ("information", "question", "warning", "critical", "about"),
    "QInputDialog": ("getText", "getMultiLineText", "getItem", "getInt", "getDouble"),
    "QFileDialog": ("getOpenFileName", "getOpenFileNames", "getSaveFileName", "getExistingDirectory"),
    "QDesktopServices": ("openUrl",),
}
_answers: deque[Any] = deque()


def answerNext(answer: Any) -> None:
    """What the next dialog returns; a function is called with the dialog, or with what its static function got."""
    _answers.append(answer)


def unusedAnswers() -> list[Any]:
    return list(_answers)


def clear() -> None:
    _answers.clear()


def install() -> None:
    """Make every function of Qt that waits for a person take its answer from here."""
    for kind in (qt.QDialog, qt.QMenu):
        kind.exec = kind.exec_ = _execute
    for name, functions in _STATIC.items():
        for function in functions:
            setattr(getattr(qt, name), function, staticmethod(_staticFunction(f"{name}.{function}")))


def _execute(dialog: Any, *_arguments: Any) -> Any:
    texts = [getattr(dialog, name, "") for name in ("windowTitle", "text")]
    return _answer(f"{type(dialog).__name__} {' / '.join(filter(None, texts))}", dialog)


def _staticFunction(name: str) -> Any:
    def ask(*arguments: Any) -> Any:
        return _answer(f"{name}{arguments}", *arguments)

    return ask


def _answer(question: str, *arguments: Any) -> Any:
    if not _answers:
        raise NotImplementedError(f"Nobody answers this dialog (see host.answerNext): {question}")
    answer = _answers.popleft()
    return answer(*arguments) if callable(answer) else answer

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
    """Answer the next dialog.

    A message box is answered by the standard button that is clicked, or by a function that is given the box and returns
    that button. Another dialog is given to a function, which must end it as a person would, by clicking in it. What
    has no widgets (a menu, a static function of Qt) returns the answer.
    """
    _answers.append(answer)


def unusedAnswers() -> list[Any]:
    return list(_answers)


def clear() -> None:
    _answers.clear()


def install() -> None:
    """Make every function of Qt that waits for a person take its answer from here."""
    qt.QDialog.exec = qt.QDialog.exec_ = _execute
    qt.QMessageBox.exec = qt.QMessageBox.exec_ = _executeMessageBox
    qt.QMenu.exec = qt.QMenu.exec_ = lambda menu, *_arguments: _answer(f"QMenu {menu.title}", menu)
    for name, functions in _STATIC.items():
        for function in functions:
            setattr(getattr(qt, name), function, staticmethod(_staticFunction(f"{name}.{function}")))


def _execute(dialog: Any, *_arguments: Any) -> int:
    answer = _take(f"{type(dialog).__name__} {dialog.windowTitle}")
    if not callable(answer):
        raise TypeError("A dialog is ended by clicking in it: give answerNext a function that does so")
    dialog.show()
    if answer(dialog) is not None:
        raise TypeError("A dialog is ended by clicking in it, not by what the answer returns")
    if dialog.visible:
        dialog.hide()
        raise RuntimeError(f"The answer has left the dialog '{dialog.windowTitle}' open: nothing in it was clicked")
    return int(dialog.result())


def _executeMessageBox(box: Any, *_arguments: Any) -> int:
    answer = _take(f"{type(box).__name__} {box.windowTitle} / {box.text}")
    box.show()
    wanted = answer(box) if callable(answer) else answer
    if box.visible:
        button = box.button(wanted)
        if button is None:
            box.hide()
            raise ValueError(f"The box '{box.text}' has no button {wanted}")
        button.click()
    return int(box.result())


def _staticFunction(name: str) -> Any:
    def ask(*arguments: Any) -> Any:
        return _answer(f"{name}{arguments}", *arguments)

    return ask


def _answer(question: str, *arguments: Any) -> Any:
    answer = _take(question)
    return answer(*arguments) if callable(answer) else answer


def _take(question: str) -> Any:
    if not _answers:
        raise NotImplementedError(f"Nobody answers this dialog (see host.answerNext): {question}")
    return _answers.popleft()

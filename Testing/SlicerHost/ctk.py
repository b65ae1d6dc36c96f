"""The CTK widgets that panels use, with the properties and signals of the CTK classes of these names."""

import re
from typing import Any

import qt
import shiboken6


class _Contents:
    """Hides the widgets inside a collapsed box, and shows again those that it has hidden.

    It keeps addresses: a child that is just being constructed is no more than a QWidget yet, and would remain so for
    Python.
    """

    def __init__(self, box: Any, title: Any = None):
        self._box, self._title = box, title
        self._hidden: set[int] = set()

    def hideAll(self) -> None:
        for child in self._box.children():
            self.hide(child)

    def hide(self, child: Any) -> None:
        if child.isWidgetType() and child is not self._title and not _isHiddenByProgram(child):
            child.setVisible(False)
            self._hidden.add(_address(child))

    def show(self) -> None:
        for child in self._box.children():
            if _address(child) in self._hidden:
                child.setVisible(True)
        self._hidden.clear()


def _isHiddenByProgram(widget: Any) -> bool:
    """Tell whether a program has hidden the widget; one that was never shown is hidden too."""
    return widget.isHidden() and widget.testAttribute(qt.Qt.WA_WState_ExplicitShowHide)


def _address(widget: Any) -> int:
    return shiboken6.getCppPointer(widget)[0]


@qt.standIn
class ctkCollapsibleButton(qt.QWidget):
    contentsCollapsed = qt.Signal(bool)
    clicked = qt.Signal(bool)
    _TITLE_HEIGHT = 26

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._isCollapsed = False
        self._button = qt.QToolButton(self)
        self._button.setToolButtonStyle(qt.Qt.ToolButtonTextBesideIcon)
        self._button.setArrowType(qt.Qt.DownArrow)
        self._button.setStyleSheet("QToolButton{border:0;background:#d4d4dc;font-weight:bold;padding:3px}")
        self._button.clicked.connect(self._onClicked)
        self._contents = _Contents(self, self._button)
        self.setContentsMargins(8, self._TITLE_HEIGHT, 0, 0)

    def resizeEvent(self, event: Any) -> None:
        self._button.setGeometry(0, 0, event.size().width(), self._TITLE_HEIGHT - 2)

    def sizeHint(self) -> Any:
        if self._isCollapsed or self.layout() is None:
            return qt.QSize(100, self._TITLE_HEIGHT)
        return self.layout().sizeHint()

    def childEvent(self, event: Any) -> None:
        # Widgets that come while it is collapsed (from a .ui file, whose properties are set first) are hidden too.
        super().childEvent(event)
        if self._isCollapsed and event.added():
            self._contents.hide(event.child())

    def _onClicked(self) -> None:
        self._setCollapsed(not self._isCollapsed)
        self.clicked.emit(not self._isCollapsed)

    def _setCollapsed(self, collapsed: bool) -> None:
        if collapsed == self._isCollapsed:
            return
        self._isCollapsed = collapsed
        self._button.setArrowType(qt.Qt.RightArrow if collapsed else qt.Qt.DownArrow)
        if collapsed:
            self._contents.hideAll()
        else:
            self._contents.show()
        self.setMaximumHeight(self._TITLE_HEIGHT if collapsed else 16777215)
        self.contentsCollapsed.emit(collapsed)

    text = qt.Property(str, lambda self: self._button.text, lambda self, text: self._button.setText(text))
    collapsed = qt.Property(bool, lambda self: self._isCollapsed, _setCollapsed)


@qt.standIn
class ctkCollapsibleGroupBox(qt.QGroupBox):
    """A QGroupBox that is checked while it is open."""

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._contents = _Contents(self)
        self.setCheckable(True)
        self.toggled.connect(self._onToggled)

    def childEvent(self, event: Any) -> None:
        super().childEvent(event)
        if self.collapsed and event.added():
            self._contents.hide(event.child())

    def _onToggled(self, isOpen: bool) -> None:
        if isOpen:
            self._contents.show()
        else:
            self._contents.hideAll()

    collapsed = qt.Property(bool, lambda self: not self.checked, lambda self, value: self.setChecked(not value))


@qt.standIn
class ctkSliderWidget(qt.QWidget):
    """The slider stops at multiples of `singleStep`, which is 1 unless it is set; the spin box takes any value."""

    valueChanged = qt.Signal(float)
    valueIsChanging = qt.Signal(float)

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider = qt.QSlider(qt.Qt.Horizontal)
        self._spinBox = qt.QDoubleSpinBox()
        layout.addWidget(self._slider)
        layout.addWidget(self._spinBox)
        self._spinBox.valueChanged.connect(self._onValue)
        self._slider.sliderMoved.connect(self._onSlider)
        self._fitSlider()

    def _fitSlider(self) -> None:
        self._slider.setRange(round(self.minimum / self.singleStep), round(self.maximum / self.singleStep))
        self._slider.setValue(round(self.value / self.singleStep))

    def _onValue(self, value: float) -> None:
        self._slider.setValue(round(value / self.singleStep))
        self.valueChanged.emit(value)

    def _onSlider(self, position: int) -> None:
        value = position * self.singleStep
        self.valueIsChanging.emit(value)
        self._spinBox.setValue(value)

    def setValue(self, value: float) -> None:
        self._spinBox.setValue(float(value))

    def setRange(self, minimum: float, maximum: float) -> None:
        self._spinBox.setRange(float(minimum), float(maximum))
        self._fitSlider()

    def setMinimum(self, value: float) -> None:
        self._spinBox.setMinimum(float(value))
        self._fitSlider()

    def setMaximum(self, value: float) -> None:
        self._spinBox.setMaximum(float(value))
        self._fitSlider()

    def setSingleStep(self, value: float) -> None:
        self._spinBox.setSingleStep(float(value))
        self._fitSlider()

    def setDecimals(self, count: int) -> None:
        self._spinBox.setDecimals(count)

    value = qt.Property(float, lambda self: self._spinBox.value, setValue)
    minimum = qt.Property(float, lambda self: self._spinBox.minimum, setMinimum)
    maximum = qt.Property(float, lambda self: self._spinBox.maximum, setMaximum)
    singleStep = qt.Property(float, lambda self: self._spinBox.singleStep, setSingleStep)
    decimals = qt.Property(int, lambda self: self._spinBox.decimals, setDecimals)


@qt.standIn
class ctkPathLineEdit(qt.QWidget):
    """An editable list of the paths used before. Its text is told as it is written, only while the filters accept it.

    As in CTK, `addCurrentPathToHistory` takes the text out of the list and puts it on top without blocking signals, so
    that `currentPathChanged` comes with other texts and then with this one; and a `settingKey` fills the list at once
    and chooses the path used last.
    """

    currentPathChanged = qt.Signal(str)
    validInputChanged = qt.Signal(bool)
    # ctkPathLineEdit::Filter
    Dirs, Files, Readable, Writable = 0x001, 0x002, 0x010, 0x020
    _MAXIMUM_HISTORY = 5
    _DEEPEST = 20  # CTK goes on until the stack is full

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._filters, self._nameFilters, self._settingKey = 0, [], ""
        self._isValid, self._depth, self._isLost = True, 0, False
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._comboBox = qt.QComboBox()
        self._comboBox.setEditable(True)
        self._comboBox.setInsertPolicy(qt.QComboBox.NoInsert)
        self._comboBox.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Fixed)
        self._lineEdit = self._comboBox.lineEdit()
        self._validator = qt.QRegularExpressionValidator(self)
        self._setNameFilters([])
        self._lineEdit.setValidator(self._validator)
        self._button = qt.QToolButton()
        self._button.setText("...")
        layout.addWidget(self._comboBox)
        layout.addWidget(self._button)
        self._lineEdit.textChanged.connect(self._onText)
        self._button.clicked.connect(self.browse)

    def _onText(self, text: str) -> None:
        if self._isLost:
            return
        self._depth += 1
        try:
            if self._depth > self._DEEPEST:
                self._isLost = True
                raise RecursionError("The path edit's signal leads to itself without end; Slicer would crash here")
            self._tell()
        finally:
            self._depth -= 1
            self._isLost = self._isLost and self._depth > 0

    def _tell(self) -> None:
        wasValid, self._isValid = self._isValid, self._lineEdit.hasAcceptableInput()
        if self._isValid:
            self.currentPathChanged.emit(self.currentPath)
        if self._isValid != wasValid:
            self.validInputChanged.emit(self._isValid)

    def comboBox(self) -> Any:
        return self._comboBox

    def browse(self) -> None:
        """A file dialog of Qt gives slashes on every system."""
        path = qt.QFileDialog.getOpenFileName(self, "Select a file to open", self.currentPath, self._nameFilters)
        if path:
            self.setCurrentPath(path)

    def setCurrentPath(self, path: str) -> None:
        self._lineEdit.setText(path)

    def addCurrentPathToHistory(self) -> None:
        if not self._settingKey:
            raise RuntimeError("A path edit keeps its history under its settingKey, and this one has none")
        path = self.currentPath
        if not path:
            return
        qt.QSettings().setValue(self._settingKey, [path, *(each for each in self._stored() if each != path)])
        index = self._comboBox.findText(path)
        if index >= 0:
            self._comboBox.removeItem(index)
        while self._comboBox.count >= self._MAXIMUM_HISTORY:
            self._comboBox.removeItem(self._comboBox.count - 1)
        self._comboBox.insertItem(0, path)
        self._comboBox.setCurrentIndex(0)

    def retrieveHistory(self) -> None:
        path = self.currentPath
        wasBlocked = self.blockSignals(True)
        self._comboBox.clear()
        for each in self._stored()[: self._MAXIMUM_HISTORY]:
            self._comboBox.addItem(each)
        if path:
            self.setCurrentPath(path)
        self.blockSignals(wasBlocked)
        if not path:
            self._comboBox.setCurrentIndex(0)

    def _stored(self) -> list[str]:
        found = qt.QSettings().value(self._settingKey) or []
        return [found] if isinstance(found, str) else list(found)

    def _setFilters(self, filters: int) -> None:
        self._filters = filters

    def _setNameFilters(self, filters: list[str]) -> None:
        self._nameFilters = list(filters)
        extensions = [each for text in self._nameFilters for each in re.findall(r"\*\.(\w+)", text)]
        pattern = "|".join(rf".*\.{extension}?$" for extension in extensions)
        self._validator.setRegularExpression(qt.QRegularExpression(f"({pattern})" if pattern else ".+"))

    def _setSettingKey(self, key: str) -> None:
        self._settingKey = key
        self.retrieveHistory()

    currentPath = qt.Property(str, lambda self: self._lineEdit.text, setCurrentPath)
    filters = qt.Property(int, lambda self: self._filters, _setFilters)
    nameFilters = qt.Property("QStringList", lambda self: self._nameFilters, _setNameFilters)
    settingKey = qt.Property(str, lambda self: self._settingKey, _setSettingKey)


@qt.standIn
class ctkMenuButton(qt.QPushButton):
    """A button with an arrow beside it that opens its menu; a click on the rest is a click."""


@qt.standIn
class ctkComboBox(qt.QComboBox):
    """Shows a text of its own while nothing is selected."""

    defaultText = qt.Property(str, lambda self: self.placeholderText, lambda self, text: self.setPlaceholderText(text))


@qt.standIn
class ctkMessageBox(qt.QMessageBox):
    """The message box of `slicer.util`."""


def __getattr__(name: str) -> Any:
    raise AttributeError(f"The host does not know ctk.{name}; what it knows: {', '.join(_WIDGETS)}")


_WIDGETS = {
    each.__name__: each
    for each in (
        *(ctkCollapsibleButton, ctkCollapsibleGroupBox, ctkSliderWidget),
        *(ctkPathLineEdit, ctkComboBox, ctkMenuButton, ctkMessageBox),
    )
}
qt.QUiLoader.customClasses.update(_WIDGETS)

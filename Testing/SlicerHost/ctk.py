"""The CTK widgets that the panel uses, with the properties and signals of the CTK classes of these names."""

import qt


@qt.standIn
class ctkCollapsibleButton(qt.QWidget):
    contentsCollapsed = qt.Signal(bool)
    _TITLE_HEIGHT = 26

    def __init__(self, parent=None):
        super().__init__(parent)
        self._isCollapsed = False
        self._button = qt.QToolButton(self)
        self._button.setToolButtonStyle(qt.Qt.ToolButtonTextBesideIcon)
        self._button.setArrowType(qt.Qt.DownArrow)
        self._button.setStyleSheet("QToolButton{border:0;background:#d4d4dc;font-weight:bold;padding:3px}")
        self._button.clicked.connect(self._toggle)
        self.setContentsMargins(8, self._TITLE_HEIGHT, 0, 0)

    def resizeEvent(self, event):
        self._button.setGeometry(0, 0, event.size().width(), self._TITLE_HEIGHT - 2)

    def sizeHint(self):
        if self._isCollapsed or self.layout() is None:
            return qt.QSize(100, self._TITLE_HEIGHT)
        return self.layout().sizeHint()

    def childEvent(self, event):
        # Widgets that come while it is collapsed (from a .ui file, whose properties are set first) are hidden too.
        super().childEvent(event)
        child = event.child()
        if self._isCollapsed and event.added() and child.isWidgetType() and child is not self._button:
            child.setVisible(False)

    def _toggle(self):
        self._setCollapsed(not self._isCollapsed)

    def _setCollapsed(self, collapsed):
        if collapsed == self._isCollapsed:
            return
        self._isCollapsed = collapsed
        self._button.setArrowType(qt.Qt.RightArrow if collapsed else qt.Qt.DownArrow)
        for child in self.children():
            if child.isWidgetType() and child is not self._button:
                child.setVisible(not collapsed)
        self.setMaximumHeight(self._TITLE_HEIGHT if collapsed else 16777215)
        self.contentsCollapsed.emit(collapsed)

    text = qt.Property(str, lambda self: self._button.text, lambda self, text: self._button.setText(text))
    collapsed = qt.Property(bool, lambda self: self._isCollapsed, _setCollapsed)


@qt.standIn
class ctkCollapsibleGroupBox(qt.QGroupBox):
    def __init__(self, parent=None):
        super().__init__(parent)
        self.setCheckable(True)
        self.toggled.connect(self._showContents)

    def childEvent(self, event):
        super().childEvent(event)
        if self.collapsed and event.added() and event.child().isWidgetType():
            event.child().setVisible(False)

    def _showContents(self, shown):
        for child in self.children():
            if child.isWidgetType():
                child.setVisible(shown)

    collapsed = qt.Property(bool, lambda self: not self.checked, lambda self, value: self.setChecked(not value))


@qt.standIn
class ctkSliderWidget(qt.QWidget):
    valueChanged = qt.Signal(float)
    _STEPS = 1000

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider = qt.QSlider(qt.Qt.Horizontal)
        self._spinBox = qt.QDoubleSpinBox()
        self._slider.setRange(0, self._STEPS)
        layout.addWidget(self._slider)
        layout.addWidget(self._spinBox)
        self._spinBox.valueChanged.connect(self._onValue)
        self._slider.sliderMoved.connect(self._onSlider)

    def _onValue(self, value):
        extent = self.maximum - self.minimum
        self._slider.setValue(round(self._STEPS * (value - self.minimum) / extent) if extent else 0)
        self.valueChanged.emit(value)

    def _onSlider(self, position):
        self._spinBox.setValue(self.minimum + (self.maximum - self.minimum) * position / self._STEPS)

    def setValue(self, value):
        self._spinBox.setValue(float(value))

    def setMinimum(self, value):
        self._spinBox.setMinimum(float(value))

    def setMaximum(self, value):
        self._spinBox.setMaximum(float(value))

    def setSingleStep(self, value):
        self._spinBox.setSingleStep(float(value))

    def setDecimals(self, count):
        self._spinBox.setDecimals(count)

    value = qt.Property(float, lambda self: self._spinBox.value, setValue)
    minimum = qt.Property(float, lambda self: self._spinBox.minimum, setMinimum)
    maximum = qt.Property(float, lambda self: self._spinBox.maximum, setMaximum)
    singleStep = qt.Property(float, lambda self: self._spinBox.singleStep, setSingleStep)
    decimals = qt.Property(int, lambda self: self._spinBox.decimals, setDecimals)


@qt.standIn
class ctkPathLineEdit(qt.QWidget):
    currentPathChanged = qt.Signal(str)
    # ctkPathLineEdit::Filter
    Dirs, Files, Readable = 0x001, 0x002, 0x010

    def __init__(self, parent=None):
        super().__init__(parent)
        self._filters, self._nameFilters, self._settingKey = 0, [], ""
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._lineEdit = qt.QLineEdit()
        button = qt.QToolButton()
        button.setText("...")
        layout.addWidget(self._lineEdit)
        layout.addWidget(button)
        self._lineEdit.textChanged.connect(lambda text: self.currentPathChanged.emit(text))

    def setCurrentPath(self, path):
        self._lineEdit.setText(path)

    def _setFilters(self, filters):
        self._filters = filters

    def _setNameFilters(self, filters):
        self._nameFilters = list(filters)

    def _setSettingKey(self, key):
        self._settingKey = key

    currentPath = qt.Property(str, lambda self: self._lineEdit.text, setCurrentPath)
    filters = qt.Property(int, lambda self: self._filters, _setFilters)
    nameFilters = qt.Property("QStringList", lambda self: self._nameFilters, _setNameFilters)
    settingKey = qt.Property(str, lambda self: self._settingKey, _setSettingKey)


for _class in (ctkCollapsibleButton, ctkCollapsibleGroupBox, ctkSliderWidget, ctkPathLineEdit):
    qt.QUiLoader.customClasses[_class.__name__] = _class

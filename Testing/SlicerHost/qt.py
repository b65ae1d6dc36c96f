"""`qt` as Slicer's Python has it: Qt through PythonQt's conventions, on top of PySide6.

- A Q_PROPERTY is an attribute, read and written: `button.text`, never `button.text()`. Setters stay callable.
- `sender.connect('signal(args)', function)` and `sender.signal.connect(function)`; functions may take fewer arguments.
- An attribute that the C++ class does not have can be neither read nor written.
- Children are attributes by their objectName; `className()`, `delete()` and `name` exist.
- Exceptions in slots are printed, as PythonQt prints them, and kept in `slotErrors`.
"""

import ctypes
import functools
import inspect
import os
import sys
import traceback
import xml.etree.ElementTree as ElementTree
from typing import ClassVar

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("PYSIDE6_OPTION_PYTHON_ENUM", "0x2")  # enumerators are integers, as in PythonQt

if sys.version_info < (3, 12):
    # PySide6's wheel is built for Pythons in which these are immortal. In older ones, calls that return nothing or a
    # bool take a reference away each, until Python aborts: give them more than a process can use up.
    for _immortal in (None, True, False):
        ctypes.c_ssize_t.from_address(id(_immortal)).value += 1 << 40

import shiboken6
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

_MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)
for _module in _MODULES:
    for _name in dir(_module):  # PySide makes its classes when they are asked for: vars() lacks some
        if _name.startswith("Q"):
            globals()[_name] = getattr(_module, _name)


def __getattr__(name):
    raise AttributeError(f"Qt {QtCore.qVersion()} has no '{name}', or the host does not know it")


Signal, Slot, Property = QtCore.Signal, QtCore.Slot, QtCore.Property
QObject = QtCore.QObject
slotErrors = []
# Virtual functions, which C++ calls on subclasses: they must stay methods.
_METHODS = {"sizeHint", "minimumSizeHint"}


def standIn(widgetClass):
    """Class decorator: instances behave as those of a C++ class, which take no new attributes."""
    widgetClass._isStandIn = True
    return widgetClass


def _isCpp(instance):
    ownClass = type(instance)
    return ownClass.__module__.startswith("PySide6.") or "_isStandIn" in vars(ownClass)


def _objectClasses():
    classes = (getattr(module, name) for module in _MODULES[:3] for name in dir(module))
    return [each for each in classes if isinstance(each, type) and issubclass(each, QObject)]


class _QtProperty(property):
    """The property's value on an instance; on the class the C++ method of that name, which may be static."""

    def __init__(self, getter, setter, method):
        super().__init__(getter, setter)
        self._method = method

    def __get__(self, instance, owner=None):
        return (self._method or self) if instance is None else self.fget(instance)


def _propertyOf(ownClass, metaProperty):
    name = metaProperty.name()
    capitalized = name[0].upper() + name[1:]
    getter = _firstMethod(ownClass, (name, f"is{capitalized}", f"has{capitalized}"))
    setter = getattr(ownClass, f"set{capitalized}", None)
    if getter is None:
        getter = functools.partial(_readProperty, name)
    if setter is None:
        setter = functools.partial(_writeProperty, name)

    def read(self):
        return getter(self)

    def write(self, value):
        if not metaProperty.isWritable():
            raise AttributeError(f"Property '{name}' of {type(self).__name__} is not writable")
        try:
            setter(self, value)
        except (TypeError, ValueError) as error:
            raise AttributeError(f"Property '{name}' does not accept {value!r}: {error}") from None

    return _QtProperty(read, write, getattr(ownClass, name, None))


def _firstMethod(ownClass, names):
    return next((getattr(ownClass, name) for name in names if callable(getattr(ownClass, name, None))), None)


def _readProperty(name, instance):
    return QObject.property(instance, name)


def _writeProperty(name, instance, value):
    QObject.setProperty(instance, name, value)


def _metaProperties(ownClass):
    metaObject = ownClass.staticMetaObject
    return [metaObject.property(index) for index in range(metaObject.propertyOffset(), metaObject.propertyCount())]


def _makeProperties():
    # All are built before the first is set: a getter must be found before it is hidden.
    built = [
        (ownClass, each.name(), _propertyOf(ownClass, each))
        for ownClass in _objectClasses()
        for each in _metaProperties(ownClass)
        if each.name() not in _METHODS
    ]
    for ownClass, name, qtProperty in built:
        setattr(ownClass, name, qtProperty)


class _SlotCall:
    """Calls a function with as many of the signal's arguments as it takes."""

    def __init__(self, function):
        self._function = function
        self._count = _positionalCount(function)

    def __call__(self, *arguments):
        try:
            return self._function(*arguments[: self._count])
        except Exception:
            slotErrors.append(sys.exc_info())
            traceback.print_exc()


def _positionalCount(function):
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a C++ method, which takes what the signal gives
        return None
    if any(each.kind == each.VAR_POSITIONAL for each in parameters):
        return None
    return sum(each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) for each in parameters)


# By address: Python's object for a widget may go and come back while the widget stays.
_connections = {}


def _connectionsOf(sender, name):
    address = shiboken6.getCppPointer(sender)[0]
    if address not in _connections:
        _connections[address] = {}
        sender.destroyed.connect(lambda: _connections.pop(address, None))
    return _connections[address].setdefault(name, [])


def _signature(text):
    """(name, number of arguments) of 'name(type, type)'."""
    name, bracket, arguments = text.lstrip("012").partition("(")
    if not bracket:
        raise ValueError(f"'{text}' is no signal; write it with its arguments, as clicked(bool)")
    arguments = arguments.rstrip(")").strip()
    return name.strip(), len(arguments.split(",")) if arguments else 0


def _signalOf(sender, name):
    signal = getattr(sender, name, None)
    if signal is None or not hasattr(signal, "connect"):
        raise ValueError(f"{type(sender).__name__} has no signal '{name}'")
    return signal


def _connect(sender, *arguments):
    """`sender.connect(signal, function)`, or `connect(sender, signal, receiver, slot)` as timers do."""
    if isinstance(arguments[0], QObject):
        sender, *arguments = arguments
    return _connectSlot(sender, *arguments)


def _connectSlot(sender, text, receiver, slot=None):
    function = receiver if slot is None else slot
    if isinstance(function, str):
        function = getattr(receiver, _signature(function)[0])
    if not callable(function):
        raise TypeError(f"{function!r} is not callable")
    name, count = _signature(text)
    call = _SlotCall(function)
    # PySide chooses between overloads, clicked() and clicked(bool), by the number of the slot's parameters.
    slots = {
        0: lambda: call(),
        1: lambda first: call(first),
        2: lambda first, second: call(first, second),
        3: lambda first, second, third: call(first, second, third),
    }
    _signalOf(sender, name).connect(slots[count])
    _connectionsOf(sender, name).append((function, slots[count]))
    return True


def _disconnect(sender, text, function=None):
    name, _ = _signature(text)
    connected = _connectionsOf(sender, name)
    chosen = [pair for pair in connected if function is None or pair[0] == function]
    for pair in chosen:
        _signalOf(sender, name).disconnect(pair[1])
        connected.remove(pair)
    return bool(chosen)


def _dynamicNames(instance):
    return {bytes(name).decode() for name in instance.dynamicPropertyNames()}


def _getattr(self, name):
    if not name.startswith("__"):
        if name in _dynamicNames(self):
            return QObject.property(self, name)
        for child in self.children():
            if child.objectName == name:
                return child
    raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")


def _setattr(self, name, value):
    if isinstance(value, QtCore.SignalInstance):  # PySide keeps bound signals on the instance
        shiboken6.Shiboken.Object.__setattr__(self, name, value)
        return
    if isinstance(value, QObject) and value.objectName == name and not name.startswith("_"):
        return  # PySide's loader names the children; `_getattr` finds them by themselves
    attribute = inspect.getattr_static(type(self), name, None)
    if isinstance(attribute, property):
        attribute.__set__(self, value)
    elif isinstance(attribute, QtCore.Property):
        attribute.fset(self, value)
    elif not _isCpp(self) or name.startswith("_"):
        shiboken6.Shiboken.Object.__setattr__(self, name, value)
    elif name in _dynamicNames(self):
        self.setProperty(name, value)
    elif attribute is not None:
        raise AttributeError(f"'{name}' of {type(self).__name__} is a method or signal and cannot be overwritten")
    else:
        raise AttributeError(f"{type(self).__name__} has no property '{name}' and takes no new attributes")


_originalGetattribute = QObject.__getattribute__


def _getattribute(self, name):
    # PySide answers these two before it looks at the class.
    if name == "connect":
        return functools.partial(_connect, self)
    if name == "disconnect":
        return functools.partial(_disconnect, self)
    return _originalGetattribute(self, name)


def _installConventions():
    _makeProperties()
    for ownClass in _objectClasses():
        ownClass.__setattr__ = _setattr  # every PySide class has one of its own
        ownClass.__getattr__ = _getattr
    QObject.__getattribute__ = _getattribute
    QObject.connect = staticmethod(_connect)
    QObject.disconnect = staticmethod(_disconnect)
    QObject.className = lambda self: self.metaObject().className()
    QObject.delete = lambda self: shiboken6.delete(self)
    QObject.name = property(lambda self: self.objectName, lambda self, name: self.setObjectName(name))


def _refuseFlagsOfButtonBoxes():
    """PythonQt takes or-ed buttons for the orientation of another overload, and makes a box without any button."""
    construct = QtWidgets.QDialogButtonBox.__init__

    def refuse(self, *arguments, **options):
        if any(isinstance(each, int) for each in arguments):
            raise TypeError("PythonQt reads this number as an orientation: use setStandardButtons")
        construct(self, *arguments, **options)

    QtWidgets.QDialogButtonBox.__init__ = refuse


_installConventions()
_refuseFlagsOfButtonBoxes()


class QUiLoader(QtUiTools.QUiLoader):
    """Knows the stand-in widgets, and makes the connections of a .ui file that PySide cannot make."""

    customClasses: ClassVar[dict[str, type]] = {}

    def createWidget(self, className, parent=None, name=""):
        if className in self.customClasses:
            widget = self.customClasses[className](parent)
            widget.setObjectName(name)
            return widget
        if className.startswith(("ctk", "qMRML", "qSlicer")):
            raise NotImplementedError(f"The host has no {className}, which the .ui file uses as '{name}'")
        return super().createWidget(className, parent, name)

    def load(self, device, parent=None):
        root = ElementTree.fromstring(bytes(device.readAll().data()))
        _refuseUnknownClasses(root, self.customClasses)
        _resolveFlags(root, self.customClasses)
        connections = _takeMrmlConnections(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        widget = super().load(buffer, parent)
        for sender, signal, receiver, slot in connections:
            _named(widget, sender).connect(signal, getattr(_named(widget, receiver), _signature(slot)[0]))
        return widget


def _refuseUnknownClasses(root, known):
    """An exception in `createWidget` would not come through C++."""
    for element in root.iter("widget"):
        name = element.get("class")
        if name.startswith(("ctk", "qMRML", "qSlicer")) and name not in known:
            raise NotImplementedError(f"The host has no {name}, which the .ui file uses as '{element.get('name')}'")


def _resolveFlags(root, known):
    """Flags of the stand-ins, such as ctkPathLineEdit::Files, are plain integers to PySide's loader."""
    for parent in root.iter("property"):
        flags = parent.find("set")
        if flags is not None and flags.text.partition("::")[0] in known:
            names = [flag.split("::") for flag in flags.text.split("|")]
            value = sum(getattr(known[ownClass], name) for ownClass, name in names)
            parent.remove(flags)
            ElementTree.SubElement(parent, "number").text = str(value)


def _takeMrmlConnections(root):
    """Remove the connections whose signals carry pointers, unknown to PySide, and return them."""
    taken = []
    parent = root.find("connections")
    for connection in list(parent if parent is not None else []):
        parts = [connection.find(tag).text for tag in ("sender", "signal", "receiver", "slot")]
        if "*" in parts[1]:
            taken.append(parts)
            parent.remove(connection)
    return taken


def _named(widget, name):
    found = widget if widget.objectName == name else widget.findChild(QObject, name)
    if found is None:
        raise ValueError(f"The .ui file connects '{name}', which is not in it")
    return found

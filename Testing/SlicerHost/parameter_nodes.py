"""A stand-in for `slicer.parameterNodeWrapper`: typed access to a real vtkMRMLScriptedModuleNode, and its widgets.

It knows the types and widgets that the panel uses, and refuses others.
"""

import pathlib
import sys
import types
import typing
from dataclasses import dataclass
from enum import Enum

import ctk
import qt
import slicer
import vtk

_RESERVED = {
    *("allParameters", "default", "isCached", "dataType", "getValue", "setValue", "connectGui", "disconnectGui"),
    *("connectParametersToGui", "StartModify", "EndModify", "AddObserver", "RemoveObserver", "Modified"),
    *("parameterNode", "HasObserver"),
}


@dataclass(frozen=True)
class WithinRange:
    minimum: float
    maximum: float

    def validate(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within [{self.minimum}, {self.maximum}]; {value!r} is not")


class _TextParameter:
    """A parameter kept as a string of the node."""

    def __init__(self, name, valueType, default, validators):
        self.name, self.valueType, self.default, self.validators = name, valueType, default, validators

    def check(self, value):
        accepted = (int, float) if self.valueType is float else self.valueType
        if not isinstance(value, accepted) or (self.valueType is int and isinstance(value, bool)):
            raise ValueError(f"{self.name} must be of type {self.valueType.__name__}; {value!r} is not")
        for validator in self.validators:
            validator.validate(value)

    def write(self, node, value):
        self.check(value)
        node.SetParameter(self.name, self._text(value))

    def read(self, node):
        return self._value(node.GetParameter(self.name)) if node.HasParameter(self.name) else self.default

    def _text(self, value):
        return value.name if isinstance(value, Enum) else str(value)

    def _value(self, text):
        if issubclass(self.valueType, Enum):
            return self.valueType[text]
        if self.valueType is bool:
            return text == "True"
        return self.valueType(text)


class _NodeParameter:
    """A parameter kept as a reference of the node."""

    default = None
    validators = ()

    def __init__(self, name, valueType):
        self.name, self.valueType = name, valueType

    def write(self, node, value):
        if value is not None and not isinstance(value, self.valueType):
            raise ValueError(f"{self.name} must be a {self.valueType.__name__}; {value!r} is not")
        node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)

    def read(self, node):
        return node.GetNodeReference(self.name)


def _parameter(name, annotation, default):
    validators = ()
    if typing.get_origin(annotation) is typing.Annotated:
        annotation, *validators = typing.get_args(annotation)
    if not all(isinstance(each, WithinRange) for each in validators):
        raise NotImplementedError(f"The host knows no validators but WithinRange; {name} has {validators}")
    if isinstance(annotation, type) and issubclass(annotation, slicer.vtkMRMLNode):
        return _NodeParameter(name, annotation)
    known = (bool, int, float, str, pathlib.Path)
    if annotation not in known and not (isinstance(annotation, type) and issubclass(annotation, Enum)):
        raise NotImplementedError(f"The host knows no parameters of type {annotation}, as {name} is")
    parameter = _TextParameter(name, annotation, default, tuple(validators))
    if default is _MISSING:
        parameter.default = next(iter(annotation)) if issubclass(annotation, Enum) else annotation()
    else:
        parameter.check(default)
    return parameter


_MISSING = object()


def parameterNodeWrapper(declaration):
    """Class decorator: annotations become parameters of the node that an instance is made of."""
    annotations = typing.get_type_hints(declaration, include_extras=True)
    reserved = _RESERVED & set(annotations)
    if reserved:
        raise ValueError(f"Cannot use reserved name: {', '.join(sorted(reserved))}")
    parameters = {
        name: _parameter(name, annotation, vars(declaration).get(name, _MISSING))
        for name, annotation in annotations.items()
    }
    members = {name: _accessor(parameter) for name, parameter in parameters.items()}
    return type(declaration.__name__, (_Wrapper,), {**members, "__doc__": declaration.__doc__, "allParameters": parameters})


def _accessor(parameter):
    return property(
        lambda self: parameter.read(self.parameterNode), lambda self, value: parameter.write(self.parameterNode, value)
    )


class _Wrapper:
    def __init__(self, parameterNode):
        object.__setattr__(self, "parameterNode", parameterNode)
        object.__setattr__(self, "_connections", {})
        self._writeDefaults()

    def _writeDefaults(self):
        modifying = self.StartModify()
        for parameter in self.allParameters.values():
            if isinstance(parameter, _TextParameter) and not self.parameterNode.HasParameter(parameter.name):
                parameter.write(self.parameterNode, parameter.default)
        self.EndModify(modifying)

    def __setattr__(self, name, value):
        if name not in self.allParameters:
            raise AttributeError(f"{type(self).__name__} has no parameter '{name}'")
        object.__setattr__(self, name, value)

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, modifying):
        return self.parameterNode.EndModify(modifying)

    def Modified(self):
        self.parameterNode.Modified()

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        self.parameterNode.RemoveObserver(tag)

    def HasObserver(self, *arguments):
        return self.parameterNode.HasObserver(*arguments)

    def connectParametersToGui(self, widgets):
        """Keep the parameters of these names and the widgets equal; returns a tag for `disconnectGui`."""
        connectors = [_connector(self.allParameters[name], widget) for name, widget in widgets.items()]
        tag = max(self._connections, default=0) + 1
        self._connections[tag] = _GuiConnection(self, connectors)
        return tag

    def connectGui(self, gui):
        raise NotImplementedError("The host knows connectParametersToGui only")

    def disconnectGui(self, tag):
        self._connections.pop(tag).disconnect()


class _GuiConnection:
    def __init__(self, wrapper, connectors):
        self._wrapper, self._connectors = wrapper, connectors
        for connector in connectors:
            connector.write(getattr(wrapper, connector.parameter.name))
            connector.connect(lambda connector=connector: self._onWidget(connector))
        self._observation = wrapper.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onNode)

    def _onWidget(self, connector):
        value = connector.read()
        if value != getattr(self._wrapper, connector.parameter.name):
            setattr(self._wrapper, connector.parameter.name, value)

    def _onNode(self, _caller, _event):
        for connector in self._connectors:
            value = getattr(self._wrapper, connector.parameter.name)
            if connector.read() != value:
                connector.write(value)

    def disconnect(self):
        self._wrapper.RemoveObserver(self._observation)
        for connector in self._connectors:
            connector.disconnect()


class _Connector:
    """Between one parameter and one widget; subclasses say which signal and property carry the value."""

    signal = ""

    def __init__(self, parameter, widget):
        self.parameter, self.widget = parameter, widget
        self._slot = None

    def connect(self, changed):
        self._slot = changed
        self.widget.connect(self.signal, self._slot)

    def disconnect(self):
        self.widget.disconnect(self.signal, self._slot)


class _NodeSelectorConnector(_Connector):
    signal = "currentNodeChanged(vtkMRMLNode*)"

    def __init__(self, parameter, widget):
        super().__init__(parameter, widget)
        widget.nodeTypes = [parameter.valueType.__name__]

    def read(self):
        return self.widget.currentNode()

    def write(self, value):
        self.widget.setCurrentNode(value)


class _RangeConnector(_Connector):
    def __init__(self, parameter, widget):
        super().__init__(parameter, widget)
        for limits in parameter.validators:
            widget.setMinimum(limits.minimum)
            widget.setMaximum(limits.maximum)

    def read(self):
        return self.parameter.valueType(self.widget.value)

    def write(self, value):
        self.widget.setValue(value)


class _SpinBoxConnector(_RangeConnector):
    signal = "valueChanged(int)"


class _SliderConnector(_RangeConnector):
    signal = "valueChanged(double)"

    def __init__(self, parameter, widget):
        if not parameter.validators:
            raise RuntimeError(f"ctkSliderWidget needs a range for the parameter {parameter.name}")
        super().__init__(parameter, widget)


class _EnumConnector(_Connector):
    signal = "currentIndexChanged(int)"

    def __init__(self, parameter, widget):
        super().__init__(parameter, widget)
        widget.clear()
        for each in parameter.valueType:
            widget.addItem(each.label() if hasattr(each, "label") else each.name)

    def read(self):
        return list(self.parameter.valueType)[self.widget.currentIndex]

    def write(self, value):
        self.widget.setCurrentIndex(list(self.parameter.valueType).index(value))


class _PathConnector(_Connector):
    signal = "currentPathChanged(QString)"

    def read(self):
        return pathlib.Path(self.widget.currentPath)

    def write(self, value):
        self.widget.setCurrentPath(str(value))


class _CheckConnector(_Connector):
    signal = "toggled(bool)"

    def __init__(self, parameter, widget):
        if not widget.checkable:
            raise RuntimeError(f"A button for the parameter {parameter.name} must be checkable")
        super().__init__(parameter, widget)

    def read(self):
        return self.widget.checked

    def write(self, value):
        self.widget.setChecked(value)


class _TextConnector(_Connector):
    signal = "textChanged(QString)"

    def read(self):
        return self.widget.text

    def write(self, value):
        self.widget.setText(value)


def _connector(parameter, widget):
    """By the exact type of the widget, as in Slicer: a subclass does not do."""
    connectors = {
        (slicer.qMRMLNodeComboBox, slicer.vtkMRMLNode): _NodeSelectorConnector,
        (qt.QSpinBox, int): _SpinBoxConnector,
        (ctk.ctkSliderWidget, float): _SliderConnector,
        (ctk.ctkSliderWidget, int): _SliderConnector,
        (qt.QComboBox, Enum): _EnumConnector,
        (ctk.ctkPathLineEdit, pathlib.Path): _PathConnector,
        (qt.QCheckBox, bool): _CheckConnector,
        (qt.QPushButton, bool): _CheckConnector,
        (qt.QLineEdit, str): _TextConnector,
    }
    for (widgetType, valueType), connector in connectors.items():
        isBool = parameter.valueType is bool
        if type(widget) is widgetType and issubclass(parameter.valueType, valueType) and isBool == (valueType is bool):
            return connector(parameter, widget)
    raise RuntimeError(
        f"No connection between a {type(widget).__name__} and the parameter {parameter.name} of type {parameter.valueType}"
    )


def install():
    """Make it importable from the package slicer."""
    module = types.ModuleType("slicer.parameterNodeWrapper")
    module.parameterNodeWrapper, module.WithinRange = parameterNodeWrapper, WithinRange
    sys.modules["slicer.parameterNodeWrapper"] = slicer.parameterNodeWrapper = module

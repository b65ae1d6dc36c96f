"""`slicer.parameterNodeWrapper`: typed access to a real vtkMRMLScriptedModuleNode, and its connection to widgets.

It behaves as Slicer documents it for bool, int, float, str, pathlib types, enumerations, classes of nodes and optional
ones of these. Other types, annotations and widgets are refused. See README.md for where it is stricter than Slicer.
"""

import enum
import pathlib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import ctk
import qt
import slicer
import vtk

_RESERVED = (
    *("allParameters", "parameterNode", "default", "isCached", "dataType", "getValue", "setValue"),
    *("connectGui", "connectParametersToGui", "disconnectGui"),
    *("StartModify", "EndModify", "Modified", "AddObserver", "RemoveObserver"),
)
_PATH_TYPES = (pathlib.Path, pathlib.PurePath, pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath)
_MISSING = object()


@dataclass(frozen=True)
class NotNone:
    def validate(self, value: Any) -> None:
        if value is None:
            raise ValueError("Value must not be None")


@dataclass(frozen=True)
class IsInstance:
    classtype: type | tuple[type, ...]

    def validate(self, value: Any) -> None:
        isNumber = isinstance(value, bool) and self.classtype in (int, (int, float))
        if value is not None and (isNumber or not isinstance(value, self.classtype)):
            raise TypeError(f"Value must be of type {self.classtype}; {value!r} is of type {type(value)}")


@dataclass(frozen=True)
class Minimum:
    minimum: float

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be {self.minimum} or greater; {value} is not")


@dataclass(frozen=True)
class Maximum:
    maximum: float

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be {self.maximum} or less; {value} is not")


@dataclass(frozen=True)
class WithinRange:
    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within [{self.minimum}, {self.maximum}]; {value} is not")


@dataclass(frozen=True)
class Choice:
    choices: tuple[Any, ...]

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value must be one of {self.choices}; {value!r} is not")


@dataclass(frozen=True)
class Exclude:
    excludedValues: tuple[Any, ...]

    def validate(self, value: Any) -> None:
        if value in self.excludedValues:
            raise ValueError(f"Value must be none of {self.excludedValues}; {value!r} is")


@dataclass(frozen=True)
class Default:
    value: Any


@dataclass(frozen=True)
class Decimals:
    value: int


@dataclass(frozen=True)
class SingleStep:
    value: float


_VALIDATORS = (NotNone, IsInstance, Minimum, Maximum, WithinRange, Choice, Exclude)
_KNOWN_ANNOTATIONS = (*_VALIDATORS, Default, Decimals, SingleStep)


class _Parameter:
    """A parameter by its declaration; subclasses keep its value in the node, each in its way.

    A value is validated when it is written, but not when it is read: an old scene may hold any.
    """

    def __init__(self, name: str, valueType: Any, annotations: tuple[Any, ...]):
        self.name, self.valueType, self.annotations = name, valueType, annotations
        given = self.annotation(Default)
        self.default = self.typeDefault() if given is None else given.value

    def annotation(self, kind: type) -> Any:
        return next((each for each in self.annotations if isinstance(each, kind)), None)

    def validate(self, value: Any) -> None:
        for validator in (*self.typeValidators(), *self.annotations):
            if isinstance(validator, _VALIDATORS):
                validator.validate(value)

    def write(self, node: Any, value: Any) -> None:
        self.validate(value)
        self.store(node, value)

    def read(self, node: Any) -> Any:
        if not node.HasParameter(self.name):
            self.write(node, self.default)
        return self.restore(node)

    def typeDefault(self) -> Any:
        raise NotImplementedError

    def typeValidators(self) -> tuple[Any, ...]:
        raise NotImplementedError

    def store(self, node: Any, value: Any) -> None:
        raise NotImplementedError

    def restore(self, node: Any) -> Any:
        raise NotImplementedError


class _TextParameter(_Parameter):
    """Kept as text; an enumerator by its name."""

    def typeDefault(self) -> Any:
        return next(iter(self.valueType)) if issubclass(self.valueType, enum.Enum) else self.valueType()

    def typeValidators(self) -> tuple[Any, ...]:
        return (NotNone(), IsInstance((int, float) if self.valueType is float else self.valueType))

    def store(self, node: Any, value: Any) -> None:
        node.SetParameter(self.name, value.name if isinstance(value, enum.Enum) else str(value))

    def restore(self, node: Any) -> Any:
        text = node.GetParameter(self.name)
        if issubclass(self.valueType, enum.Enum):
            return self.valueType[text]
        return text == "True" if self.valueType is bool else self.valueType(text)


class _NodeParameter(_Parameter):
    """Kept as a reference from the parameter node; the value type is a tuple of classes."""

    def typeDefault(self) -> None:
        return None

    def typeValidators(self) -> tuple[Any, ...]:
        return (IsInstance(self.valueType),)

    def store(self, node: Any, value: Any) -> None:
        node.SetParameter(self.name, "")  # says that there is a value, which may be None
        node.SetNodeReferenceID(self.name, None if value is None else value.GetID())

    def restore(self, node: Any) -> Any:
        return node.GetNodeReference(self.name)


class _OptionalParameter(_TextParameter):
    """Serializer of optional values: a text, and a parameter that tells whether it is None."""

    def typeDefault(self) -> None:
        return None

    def typeValidators(self) -> tuple[Any, ...]:
        return super().typeValidators()[1:]

    def validate(self, value: Any) -> None:
        if value is not None:
            super().validate(value)

    def store(self, node: Any, value: Any) -> None:
        node.SetParameter(self._markName(), str(value is None))
        if value is None:
            node.SetParameter(self.name, "")
        else:
            super().store(node, value)

    def restore(self, node: Any) -> Any:
        return None if node.GetParameter(self._markName()) == "True" else super().restore(node)

    def _markName(self) -> str:
        return f"{self.name}.isNone"


def _makeParameter(name: str, declared: Any, default: Any) -> _Parameter:
    annotations: tuple[Any, ...] = ()
    if typing.get_origin(declared) is typing.Annotated:
        declared, *rest = typing.get_args(declared)
        annotations = tuple(each() if each is NotNone else each for each in rest)
    unknown = [each for each in annotations if not isinstance(each, _KNOWN_ANNOTATIONS)]
    if unknown:
        raise NotImplementedError(f"The host does not know the annotations {unknown} of the parameter '{name}'")
    if default is not _MISSING:
        annotations = (*annotations, Default(default))
    isUnion = typing.get_origin(declared) in (typing.Union, types.UnionType)
    members = typing.get_args(declared) if isUnion else (declared,)
    return _parameterOfType(name, members, annotations)


def _parameterOfType(name: str, members: tuple[Any, ...], annotations: tuple[Any, ...]) -> _Parameter:
    values = tuple(each for each in members if each is not type(None))
    if all(_isSubclass(each, slicer.vtkMRMLNode) for each in values):
        return _NodeParameter(name, values, annotations)
    isKnown = values[0] in (bool, int, float, str, *_PATH_TYPES) or _isSubclass(values[0], enum.Enum)
    if len(values) != 1 or not isKnown:
        raise NotImplementedError(f"The host does not know the type {members} of the parameter '{name}'")
    kind = _TextParameter if len(members) == 1 else _OptionalParameter
    return kind(name, values[0], annotations)


def _isSubclass(candidate: Any, base: type) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, base)


def parameterNodeWrapper(declaration: type | None = None) -> Any:
    """Class decorator: what the class annotates becomes the parameters of the node that an instance is made of."""
    if declaration is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(declaration, include_extras=True)
    for name in _RESERVED:
        if name in hints or hasattr(declaration, name):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
    parameters = {
        name: _makeParameter(name, declared, vars(declaration).get(name, _MISSING)) for name, declared in hints.items()
    }
    members = {name: _accessor(parameter) for name, parameter in parameters.items()}
    about = {"__doc__": declaration.__doc__, "__module__": declaration.__module__, "allParameters": parameters}
    return type(declaration.__name__, (_ParameterNodeWrapper, declaration), {**members, **about})


def isParameterNodeWrapper(candidate: Any) -> bool:
    return isinstance(candidate, _ParameterNodeWrapper) or _isSubclass(candidate, _ParameterNodeWrapper)


def _accessor(parameter: _Parameter) -> property:
    def read(self: Any) -> Any:
        return parameter.read(self.parameterNode)

    def write(self: Any, value: Any) -> None:
        parameter.write(self.parameterNode, value)

    return property(read, write)


class _ParameterNodeWrapper:
    allParameters: ClassVar[dict[str, _Parameter]]

    def __init__(self, parameterNode: Any):
        self.parameterNode = parameterNode
        self._guiConnections: dict[int, _GuiConnection] = {}
        self._nextTag = 0
        for parameter in self.allParameters.values():
            if not parameterNode.HasParameter(parameter.name):
                parameter.write(parameterNode, parameter.default)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.allParameters and name != "parameterNode" and not name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no parameter '{name}'")
        super().__setattr__(name, value)

    def default(self, name: str) -> Default:
        return Default(self._parameter(name).default)

    def getValue(self, name: str) -> Any:
        return self._parameter(name).read(self.parameterNode)

    def setValue(self, name: str, value: Any) -> None:
        self._parameter(name).write(self.parameterNode, value)

    def _parameter(self, name: str) -> _Parameter:
        if name not in self.allParameters:
            raise ValueError(f"There is no parameter '{name}' among {', '.join(self.allParameters)}")
        return self.allParameters[name]

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModifying: int) -> int:
        return self.parameterNode.EndModify(wasModifying)

    def Modified(self) -> None:
        self.parameterNode.Modified()

    def AddObserver(self, event: Any, callback: Callable[..., None], priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def connectParametersToGui(self, widgets: Mapping[str, Any]) -> int:
        """Keep the parameters of these names and the widgets equal; returns a tag for `disconnectGui`."""
        connectors = [_makeConnector(self._parameter(name), widget) for name, widget in widgets.items()]
        tag = self._nextTag
        self._nextTag += 1
        self._guiConnections[tag] = _GuiConnection(self, connectors)
        return tag

    def connectGui(self, gui: Any) -> None:
        """Connect the widgets that have a property SlicerParameterName.

        It returns no tag, as in versions of Slicer.
        """
        isWidget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(qt.QWidget) if isWidget else vars(gui).values()
        named = ((widget.property("SlicerParameterName"), widget) for widget in widgets)
        self.connectParametersToGui({name: widget for name, widget in named if name})

    def disconnectGui(self, tag: int) -> None:
        if tag not in self._guiConnections:
            raise ValueError(f"{tag!r} is no tag of connected widgets; connectParametersToGui returns one")
        self._guiConnections.pop(tag).disconnect()


class _GuiConnection:
    """Between the parameters of a node and widgets, until it is disconnected."""

    def __init__(self, wrapper: _ParameterNodeWrapper, connectors: Iterable["_Connector"]):
        self._wrapper, self._connectors = wrapper, list(connectors)
        self._isUpdatingWidgets = False
        for connector in self._connectors:
            connector.write(wrapper.getValue(connector.parameter.name))
            connector.connect(self._onWidget)
        self._observation = wrapper.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onNode)

    def _onWidget(self, connector: "_Connector") -> None:
        if not self._isUpdatingWidgets:
            with slicer.util.NodeModify(self._wrapper):
                self._wrapper.setValue(connector.parameter.name, connector.read())

    def _onNode(self, _caller: Any, _event: str) -> None:
        if self._isUpdatingWidgets:
            return
        self._isUpdatingWidgets = True
        try:
            with slicer.util.NodeModify(self._wrapper):
                for connector in self._connectors:
                    connector.write(self._wrapper.getValue(connector.parameter.name))
        finally:
            self._isUpdatingWidgets = False

    def disconnect(self) -> None:
        self._wrapper.RemoveObserver(self._observation)
        for connector in self._connectors:
            connector.disconnect()


class _Connector:
    """Between one parameter and one widget; `signal` tells of changes by the user."""

    signal: ClassVar[str]

    def __init__(self, parameter: _Parameter, widget: Any):
        self.parameter, self.widget = parameter, widget
        self._slot: Callable[[], None] | None = None

    def connect(self, onChanged: Callable[["_Connector"], None]) -> None:
        self._slot = lambda: onChanged(self)
        self.widget.connect(self.signal, self._slot)

    def disconnect(self) -> None:
        self.widget.disconnect(self.signal, self._slot)

    def read(self) -> Any:
        raise NotImplementedError

    def write(self, value: Any) -> None:
        raise NotImplementedError


class _NodeSelectorConnector(_Connector):
    signal = "currentNodeChanged(vtkMRMLNode*)"

    def __init__(self, parameter: _Parameter, widget: Any):
        super().__init__(parameter, widget)
        widget.nodeTypes = [each.__name__ for each in parameter.valueType]  # in place of those of the .ui file

    def read(self) -> Any:
        return self.widget.currentNode()

    def write(self, value: Any) -> None:
        self.widget.setCurrentNode(value)


class _NumberConnector(_Connector):
    """Sets the widget's range, step and decimals from the annotations."""

    unbounded: tuple[float, float] | None = None

    def __init__(self, parameter: _Parameter, widget: Any):
        super().__init__(parameter, widget)
        for kind, name in ((Decimals, "decimals"), (SingleStep, "singleStep")):
            annotation = parameter.annotation(kind)
            if annotation is not None:
                setattr(widget, name, annotation.value)
        widget.minimum, widget.maximum = self._range()

    def _range(self) -> tuple[float, float]:
        within = self.parameter.annotation(WithinRange)
        if within is not None:
            return within.minimum, within.maximum
        least, most = self.parameter.annotation(Minimum), self.parameter.annotation(Maximum)
        if self.unbounded is None and (least is None or most is None):
            raise RuntimeError(f"A {type(self.widget).__name__} needs a range for '{self.parameter.name}'")
        return (
            self.unbounded[0] if least is None else least.minimum,
            self.unbounded[1] if most is None else most.maximum,
        )

    def read(self) -> Any:
        return self.parameter.valueType(self.widget.value)

    def write(self, value: Any) -> None:
        self.widget.value = value


class _SliderConnector(_NumberConnector):
    signal = "valueChanged(int)"


class _SpinBoxConnector(_NumberConnector):
    signal = "valueChanged(int)"
    unbounded = (-(2**31), 2**31 - 1)


class _SliderWidgetConnector(_NumberConnector):
    signal = "valueChanged(double)"


class _DoubleSpinBoxConnector(_NumberConnector):
    signal = "valueChanged(double)"
    unbounded = (float("-inf"), float("inf"))


class _ListConnector(_Connector):
    """Fills a combo box anew: with the enumerators, or with the choices of the annotation."""

    signal = "currentIndexChanged(int)"

    def __init__(self, parameter: _Parameter, widget: Any):
        super().__init__(parameter, widget)
        self._values = list(self._choices())
        widget.clear()
        for value in self._values:
            widget.addItem(self._label(value))

    def _choices(self) -> Iterable[Any]:
        if _isSubclass(self.parameter.valueType, enum.Enum):
            return self.parameter.valueType
        choice = self.parameter.annotation(Choice)
        if choice is None:
            raise RuntimeError(f"A combo box needs the annotation Choice for '{self.parameter.name}'")
        return choice.choices

    def _label(self, value: Any) -> str:
        if isinstance(value, enum.Enum):
            return value.label() if hasattr(value, "label") else value.name
        return str(value)

    def read(self) -> Any:
        return self._values[self.widget.currentIndex]

    def write(self, value: Any) -> None:
        if value not in self._values:
            raise ValueError(f"'{self.parameter.name}' is {value!r}, which is not among the choices {self._values}")
        self.widget.currentIndex = self._values.index(value)


class _PathConnector(_Connector):
    signal = "currentPathChanged(QString)"

    def read(self) -> pathlib.PurePath:
        return self.parameter.valueType(self.widget.currentPath)

    def write(self, value: pathlib.PurePath) -> None:
        self.widget.currentPath = str(value)


class _CheckConnector(_Connector):
    signal = "toggled(bool)"

    def __init__(self, parameter: _Parameter, widget: Any):
        super().__init__(parameter, widget)
        if not widget.checkable:
            raise RuntimeError(f"The button of the parameter '{parameter.name}' is not checkable")

    def read(self) -> bool:
        return self.widget.checked

    def write(self, value: bool) -> None:
        self.widget.checked = value


class _LineConnector(_Connector):
    signal = "textChanged(QString)"

    def read(self) -> str:
        return self.widget.text

    def write(self, value: str) -> None:
        self.widget.text = value


_SCALARS = (bool, int, float, str, enum.Enum)
# By the exact class of the widget: which parameters it can show, and how.
_CONNECTORS: dict[str, tuple[tuple[type, ...], type[_Connector]]] = {
    "qMRMLNodeComboBox": ((slicer.vtkMRMLNode,), _NodeSelectorConnector),
    "QSpinBox": ((int,), _SpinBoxConnector),
    "QSlider": ((int,), _SliderConnector),
    "QDoubleSpinBox": ((int, float), _DoubleSpinBoxConnector),
    "ctkSliderWidget": ((int, float), _SliderWidgetConnector),
    "QComboBox": (_SCALARS, _ListConnector),
    "ctkComboBox": (_SCALARS, _ListConnector),
    "ctkPathLineEdit": (_PATH_TYPES, _PathConnector),
    "QCheckBox": ((bool,), _CheckConnector),
    "QPushButton": ((bool,), _CheckConnector),
    "QLineEdit": ((str,), _LineConnector),
}


def _makeConnector(parameter: _Parameter, widget: Any) -> _Connector:
    kind = type(widget)
    valueTypes, connector = _CONNECTORS.get(kind.__name__, ((), _Connector))
    isExact = any(getattr(library, kind.__name__, None) is kind for library in (qt, ctk, slicer))
    if not isExact or isinstance(parameter, _OptionalParameter) or not _isShownAs(parameter, valueTypes):
        raise RuntimeError(
            f"Unable to connect a {kind.__name__} to the parameter '{parameter.name}' of type {parameter.valueType}"
        )
    return connector(parameter, widget)


def _isShownAs(parameter: _Parameter, valueTypes: tuple[type, ...]) -> bool:
    if isinstance(parameter, _NodeParameter):
        return slicer.vtkMRMLNode in valueTypes
    isEnumeration = enum.Enum in valueTypes and issubclass(parameter.valueType, enum.Enum)
    return isEnumeration or parameter.valueType in valueTypes

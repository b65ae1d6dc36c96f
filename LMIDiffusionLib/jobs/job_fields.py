"""Dataclasses from plain JSON types, as a worker process receives them."""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from ..errors import UserError

_Job = TypeVar("_Job")


def from_fields(kind: type[_Job], fields: Any) -> _Job:
    """Build a dataclass from a JSON object; missing fields have their defaults.

    Paths are texts, tuples are lists, and dataclasses within are objects again.

    Raises:
        UserError: a field is unknown, missing or of another type, or its value is refused by the dataclass.
    """
    if not isinstance(fields, dict):
        raise _mistake(f"{kind.__name__} is no object")
    types_of = typing.get_type_hints(kind)
    unknown = fields.keys() - types_of.keys()
    if unknown:
        raise _mistake(f"{kind.__name__} has no field {min(unknown)}")
    required = {each.name for each in dataclasses.fields(kind) if each.default is dataclasses.MISSING}  # type: ignore[arg-type]
    if missing := required - fields.keys():
        raise _mistake(f"{kind.__name__} lacks the field {min(missing)}")
    return kind(**{name: _value(types_of[name], value, name) for name, value in fields.items()})


def _value(kind: Any, value: Any, name: str) -> Any:
    """Convert one JSON value to a type; numbers, texts and truth values must have the very type."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _first_fitting(parts, value, name)
    if origin is tuple and isinstance(value, list) and len(value) == len(parts):
        return tuple(_value(part, each, name) for part, each in zip(parts, value, strict=True))
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return from_fields(kind, value)  # type: ignore[arg-type]
    if (kind, type(value)) == (float, int) or (kind is Path and _may_be_path(value)):
        return kind(value)
    if type(value) is kind or (origin is typing.Literal and value in parts):
        return value
    raise _mistake(f"{name} cannot be {value!r}")


def _may_be_path(value: Any) -> bool:
    """Tell texts apart that no file system takes as a name."""
    try:
        return type(value) is str and b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False


def _first_fitting(kinds: tuple[Any, ...], value: Any, name: str) -> Any:
    for kind in kinds:
        if dataclasses.is_dataclass(kind) and isinstance(value, dict):
            return _value(kind, value, name)  # whose own sentence is the better one
        try:
            return _value(kind, value, name)
        except UserError:
            continue
    raise _mistake(f"{name} cannot be {value!r}")


def _mistake(reason: str) -> UserError:
    return UserError(f"The job cannot be run: {reason}.")

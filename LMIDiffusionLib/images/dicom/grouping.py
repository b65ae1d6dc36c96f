"""Volumes among DICOM slices: the slices of one patient, study and series, with one image of each place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .headers import TRAITS, Slice, number_of, text_of

Decoder = Callable[[Sequence[Slice]], list[NDArray[np.number]]]
"""Gives the voxels of each slice."""

_SAME_AXES = 1e-3  # between direction cosines, and of the size of a pixel
_SAME_PLACE = 1e-2  # millimeters
_SAME_NUMBER = 5e-3  # relative, between echo times and the like
_NO_BRACKETS = str.maketrans("", "", "[]'")
# Attributes that never differ within a volume but for noise in a few slices, and that many slices.
_OF_ONE_VOLUME = ("echo", "echo time", "inversion time", "component", "description")
_FEW = 3
# Attributes that rise from image to image: the first image of each place makes the first volume.
_RISING = ("trigger time", "acquisition time", "content time", "image number")
_SECONDARY = "SECONDARY"  # of an ImageType, such as that of a screenshot


@dataclass(frozen=True)
class Stack:
    """Slices that may make a volume.

    Attributes:
        slices: in no order.
        details: a word on each attribute that tells it from other stacks of the series.
        captures: secondary images among primary ones, such as screenshots, which are left out.
        is_merged: true if each slice names a series of its own.
    """

    slices: tuple[Slice, ...]
    details: tuple[str, ...] = ()
    captures: tuple[Slice, ...] = ()
    is_merged: bool = False

    def text(self, attribute: str) -> str:
        """An attribute of the first slice."""
        return text_of(self.slices[0].header, attribute)

    def __str__(self) -> str:
        name = self.text("SeriesDescription") or self.text("ProtocolName") or "without a name"
        number = self.text("SeriesNumber")
        known = [f"scanner's number {number}"] if number else []
        told = ", ".join([*known, *self.details])
        return f"{name} ({told})" if told else name


def stacks_of(slices: Sequence[Slice], decode: Decoder) -> list[Stack]:
    """Group slices by the volume they belong to, in an order that follows from the headers alone.

    A slice is a copy of another one, and left out, only if place, attributes and voxels are the same.
    """
    stacks = [
        part
        for stack in _merged_series(_by_series(slices))
        for one in _without_captures(stack)
        for part in _told_apart(_without_copies(one, decode))
    ]
    return _named_apart(sorted(stacks, key=_order))


def multiplicity(slices: Iterable[Slice]) -> int:
    """The largest number of images of one place."""
    return max(map(len, _places(slices)))


def _places(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Slices by their height, from the lowest."""
    places: list[list[Slice]] = []
    for each in sorted(slices, key=lambda each: each.height):
        if places and each.height - places[-1][0].height < _SAME_PLACE:
            places[-1].append(each)
        else:
            places.append([each])
    return places


_IDENTIFIERS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Rows", "Columns")


def _by_series(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices whose identifiers, image size, directions and pixel size agree; an absent identifier agrees with any."""
    series: list[tuple[dict[str, str], list[Slice]]] = []
    unstudied = _series_without_study(slices)
    for each in slices:
        own = {keyword: value for keyword in _IDENTIFIERS if (value := text_of(each.header, keyword))}
        if own.get("SeriesInstanceUID") in unstudied:
            own.pop("StudyInstanceUID", None)
        for identity, alike in series:
            if all(identity.get(name, value) == value for name, value in own.items()) and _have_same_axes(
                each, alike[0]
            ):
                identity.update(own)
                alike.append(each)
                break
        else:
            series.append((own, [each]))
    return [alike for _, alike in series]


def _series_without_study(slices: Sequence[Slice]) -> set[str]:
    """Series with another StudyInstanceUID in every slice, which therefore says nothing."""
    studies: dict[str, list[str]] = defaultdict(list)
    for each in slices:
        studies[text_of(each.header, "SeriesInstanceUID")].append(text_of(each.header, "StudyInstanceUID"))
    return {series for series, found in studies.items() if len(found) >= _FEW and len(set(found)) == len(found)}


def _have_same_axes(one: Slice, other: Slice) -> bool:
    sizes = [np.linalg.norm(each.axes, axis=0) for each in (one, other)]
    directions = [each.axes / size for each, size in zip((one, other), sizes, strict=True)]
    return bool(
        np.abs(directions[0] - directions[1]).max() <= _SAME_AXES
        and (np.abs(sizes[0] - sizes[1]) <= _SAME_AXES * sizes[0]).all()
    )


def _merged_series(series: list[list[Slice]]) -> list[Stack]:
    """One stack of series of one slice each that differ in nothing but their identifiers, as some scanners write."""
    singles: dict[Hashable, list[Slice]] = defaultdict(list)
    stacks = []
    keywords = ("PatientID", "SeriesNumber", "SeriesDescription", "Rows", "Columns")
    for slices in series:
        if len(slices) == 1:
            first = slices[0]
            axes = first.axes.round(1).ravel().tolist()
            singles[(*(text_of(first.header, keyword) for keyword in keywords), *axes)].append(first)
        else:
            stacks.append(Stack(tuple(slices)))
    for slices in singles.values():
        if len(slices) >= _FEW and multiplicity(slices) == 1:
            stacks.append(Stack(tuple(slices), is_merged=True))
        else:
            stacks += [Stack((each,)) for each in slices]
    return stacks


def _without_captures(stack: Stack) -> list[Stack]:
    """The stack without the few secondary images among its primary ones; two stacks if there are more of them."""
    secondary = [each for each in stack.slices if _SECONDARY in _image_type(each)]
    others = tuple(each for each in stack.slices if _SECONDARY not in _image_type(each))
    if not secondary or not others:
        return [stack]
    if len(secondary) < _FEW <= len(others):
        return [replace(stack, slices=others, captures=tuple(secondary))]
    return [replace(stack, slices=others), replace(stack, slices=tuple(secondary), details=("secondary images",))]


def _image_type(each: Slice) -> str:
    return f"{text_of(each.header, 'ImageType')} {text_of(each.header, 'FrameType')}"


def _without_copies(stack: Stack, decode: Decoder) -> Stack:
    groups: dict[Hashable, list[Slice]] = defaultdict(list)
    for number, place in enumerate(_places(stack.slices)):
        for each in place:
            groups[(number, *each.position.round(2), *(_value(each, trait) for trait in TRAITS))].append(each)
    suspects = [each for alike in groups.values() if len(alike) > 1 for each in alike]
    if not suspects:
        return stack
    contents = {id(each): plane.tobytes() for each, plane in zip(suspects, decode(suspects), strict=True)}
    kept: list[Slice] = []
    for alike in groups.values():
        kept += {contents.get(id(each), b""): each for each in alike[::-1]}.values()
    return replace(stack, slices=tuple(kept))


def _told_apart(stack: Stack) -> list[Stack]:
    """A stack, or the ones with one image of each place that it is made of."""
    count = multiplicity(stack.slices)
    if count == 1:
        return _told_apart_in_space(stack)
    partial: list[Stack] = []
    for divide in _DIVISIONS:
        parts = divide(stack, count)
        if len(parts) == count and all(multiplicity(part.slices) == 1 for part in parts):
            return parts
        if 1 < len(parts) <= count and not partial:
            partial = parts
    return [each for part in partial for each in _told_apart(part)] if partial else [stack]


def _told_apart_in_space(stack: Stack) -> list[Stack]:
    """A stack, or the volumes that lie beside each other or between each other's slices."""
    for trait in _OF_ONE_VOLUME:
        parts = _by_value(trait)(stack, len(stack.slices))
        if len(parts) > 1 and all(len(part.slices) >= _FEW for part in parts):
            return [each for part in parts for each in _told_apart_in_space(part)]
    return [stack]


_Division = Callable[[Stack, int], list[Stack]]


def _by_value(trait: str) -> _Division:
    """Divide a stack by the value of an attribute."""

    def divide(stack: Stack, count: int) -> list[Stack]:
        return _parts(stack, trait, [_value(each, trait) for each in stack.slices])

    return divide


def _by_rank(trait: str) -> _Division:
    """Divide a stack by an attribute that rises from image to image, within a volume and from one to the next."""

    def divide(stack: Stack, count: int) -> list[Stack]:
        places = [sorted(place, key=lambda each: _rising(each, trait)) for place in _places(stack.slices)]
        volumes = [[_rising(each, trait) for each in volume] for volume in zip(*places, strict=False)]
        if len({len(place) for place in places}) > 1 or not np.isfinite(volumes).all() or not _are_apart(volumes):
            return [stack]
        groups = zip(*places, strict=True)
        names = [f"{trait} {min(values):g} to {max(values):g}" for values in volumes]
        return [
            replace(stack, slices=tuple(group), details=(*stack.details, name))
            for group, name in zip(groups, names, strict=True)
        ]

    return divide


def _are_apart(volumes: list[list[float]]) -> bool:
    """True if each volume's values lie above those of the one before, or at one distance from them everywhere."""
    for one, next_one in pairwise(volumes):
        distances = np.subtract(next_one, one)
        if distances.min() <= 0 or not (min(next_one) > max(one) or np.ptp(distances) == 0):
            return False
    return True


def _by_dimension(index: int) -> _Division:
    """Divide a stack of frames by one of their DimensionIndexValues."""

    def divide(stack: Stack, count: int) -> list[Stack]:
        values = [_dimension(each, index) for each in stack.slices]
        return _parts(stack, f"dimension {index + 1}", values)

    return divide


def _by_file(stack: Stack, count: int) -> list[Stack]:
    """Divide a stack of frames by their files."""
    are_frames = all(each.is_frame for each in stack.slices)
    return _parts(stack, "file", [each.path.name for each in stack.slices]) if are_frames else [stack]


_DIVISIONS: list[_Division] = [
    *(_by_value(trait) for trait in TRAITS),
    *(_by_dimension(index) for index in range(6)),
    *(_by_rank(trait) for trait in _RISING),
    _by_file,
]


def _parts(stack: Stack, trait: str, values: Sequence[float | str]) -> list[Stack]:
    """The stack divided by values; numbers that differ by little are one, in order."""
    numbers = sorted({each for each in values if isinstance(each, float)})
    names: dict[float | str, float | str] = {}
    first = None
    for each in numbers:
        if first is None or each - first > _SAME_NUMBER * abs(first):
            first = each
        names[each] = first
    parts: dict[float | str, list[Slice]] = defaultdict(list)
    for one, value in zip(stack.slices, values, strict=True):
        parts[names.get(value, value)].append(one)
    ordered = sorted(parts.items(), key=lambda item: (isinstance(item[0], str), item[0]))
    return [
        replace(stack, slices=tuple(slices), details=(*stack.details, f"{trait} {_shown(value)}"))
        for value, slices in ordered
    ]


def _shown(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, float) else value or "unknown"


def _value(each: Slice, trait: str) -> float | str:
    """An attribute of a slice: a number where it is one."""
    for keyword in TRAITS[trait]:
        if keyword in each.header:
            number = number_of(each.header, keyword)
            # pydicom's lists print as Python's.
            return text_of(each.header, keyword).translate(_NO_BRACKETS) if number is None else number
    return ""


def _rising(each: Slice, trait: str) -> float:
    value = _value(each, trait)
    return value if isinstance(value, float) else np.nan


def _dimension(each: Slice, index: int) -> float | str:
    values: Any = each.header.get("DimensionIndexValues")
    try:
        return float(values[index])
    except (TypeError, ValueError, LookupError):
        return ""


def _order(stack: Stack) -> tuple[Any, ...]:
    """A sort key without names of files: scanner's number, patient, study, then what tells volumes apart."""
    first = min(stack.slices, key=lambda each: (_sortable(_value(each, "image number")), each.height))
    number = number_of(first.header, "SeriesNumber")
    texts = [text_of(first.header, keyword) for keyword in ("PatientID", "StudyInstanceUID")]
    values = [_sortable(_value(first, trait)) for trait in TRAITS]
    place = (first.height, *first.position, text_of(first.header, "SeriesInstanceUID"))
    return (np.inf if number is None else number, *texts, *values, *place)


def _sortable(value: float | str) -> tuple[bool, float, str]:
    return (False, value, "") if isinstance(value, float) else (True, 0.0, value)


def _named_apart(stacks: list[Stack]) -> list[Stack]:
    """The stacks, with the patient in their description where there are several."""
    patients = [stack.text("PatientID") or stack.text("PatientName") for stack in stacks]
    if len(set(patients)) < 2:
        return stacks
    return [
        replace(stack, details=(f"patient {patient or 'unknown'}", *stack.details))
        for stack, patient in zip(stacks, patients, strict=True)
    ]

"""Properties of the events between a translation and whoever listens to it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from LMIDiffusionLib.errors import OutOfMemory, UserError
from LMIDiffusionLib.interface.events import (
    ClassVolume,
    Error,
    ErrorKind,
    Event,
    JobEnded,
    JobStarted,
    Result,
    Stage,
    failure,
    parse,
    to_line,
)
from LMIDiffusionLib.interface.notices import Notice, NoticeKind
from LMIDiffusionLib.interface.progress import Progress

EVENTS: list[Event] = [
    *Stage,
    Progress(slice=3, slices=40, step=1, steps=2, fraction=0.25, seconds_left=12.5),
    Result(Path("t1w.nii"), None, None, (), 4.5),
    Result(
        *(Path("a/ü.nii.gz"), Path("labels.nii"), Path("error.nii")),
        (ClassVolume(1, "CSF", 12.5), ClassVolume(2, "gray matter", 600.0)),
        33.0,
        sample=Path("sample.nii"),
        expected_error=0.071,
    ),
    Notice(NoticeKind.GAPS, "scan.nii", "has gaps."),
    JobStarted(3),
    JobEnded(3, holds_gpu=True),
    *(Error(kind, "is broken; mend it.", "scan.nii") for kind in ErrorKind),
]
PROGRESS = json.loads(to_line(EVENTS[len(Stage)]))


@pytest.mark.parametrize("event", EVENTS, ids=repr)
def test_events_survive_the_round_trip_through_a_line(event: Event) -> None:
    line = to_line(event)
    assert "\n" not in line
    assert parse(line) == event


@pytest.mark.parametrize(
    "line",
    [
        *("", "text", "{", "[]", "3", "null", '"stage"', "NaN", "[" * 100_000, "\x00"),
        *({}, {"event": "stage"}, {"event": "stage", "stage": "dreaming"}, {"event": ["stage"]}, {"event": "dream"}),
        *({**PROGRESS, "fraction": "half"}, {**PROGRESS, "slice": None}, {**PROGRESS, "steps": float("inf")}),
        {"event": "result", "output": None, "classes": [], "seconds": 1},
        {"event": "result", "output": "a", "segmentation": None, "uncertainty": None, "classes": [1], "seconds": 1},
        {"event": "error", "text": "no kind", "place": ""},
        {"event": "error", "kind": "other", "text": "no such kind", "place": ""},
    ],
    ids=lambda line: str(line)[:40],
)
def test_lines_that_are_no_events_are_ignored(line: object) -> None:
    assert parse(line if isinstance(line, str) else json.dumps(line)) is None


@pytest.mark.parametrize(("fraction", "expected"), [(-0.5, 0.0), (1.5, 1.0), (float("nan"), 0.0)])
def test_parsed_progress_fractions_are_clipped_to_0_and_1(fraction: float, expected: float) -> None:
    progress = parse(json.dumps({**PROGRESS, "fraction": fraction}))
    assert isinstance(progress, Progress)
    assert progress.fraction == expected


def _caught(code: str) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 (of any kind, on purpose)
        exec(code)
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UserError("Give another file."), ErrorKind.BAD_INPUT),
        (OutOfMemory("Too little memory; free some."), ErrorKind.OUT_OF_MEMORY),
        (_caught("bytearray(2**62)"), ErrorKind.OUT_OF_MEMORY),
        (_caught("import numpy; numpy.empty(2**58)"), ErrorKind.OUT_OF_MEMORY),
        (_caught("import torch; torch.empty(2**58)"), ErrorKind.OUT_OF_MEMORY),
        (KeyboardInterrupt(), ErrorKind.CANCELLED),
        (_caught("import no_such_package"), ErrorKind.BAD_INPUT),
        (_caught("{}[5]"), ErrorKind.INTERNAL),
        (_caught("import LMIDiffusionLib.nothing"), ErrorKind.INTERNAL),
        (RuntimeError("two lines\nof text"), ErrorKind.INTERNAL),
    ],
    ids=repr,
)
def test_exceptions_become_errors_of_one_sentence_and_the_right_kind(error: BaseException, kind: ErrorKind) -> None:
    event = failure(error)
    assert event.kind is kind
    assert event.message.endswith(".") and "\n" not in event.message
    if isinstance(error, UserError):
        assert event.message == str(error)


@pytest.mark.parametrize("module", ["events", "notices", "checkpoint_header", "presets", "progress", "resources"])
def test_the_interface_for_other_programs_needs_the_standard_library_alone(module: str) -> None:
    code = f"""
import sys
before = set(sys.modules)
import LMIDiffusionLib.interface.{module}
loaded = {{name.partition(".")[0] for name in set(sys.modules) - before}}
sys.exit(str(loaded - sys.stdlib_module_names - {{"LMIDiffusionLib"}} or ""))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""

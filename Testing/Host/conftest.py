"""The host itself, started once a process."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing" / "SlicerHost")]

import host

host.start()

import slicer


@pytest.fixture(autouse=True)
def clean_scene() -> Iterator[None]:
    slicer.mrmlScene.Clear(0)
    host.slotErrors().clear()
    yield
    assert host.slotErrors() == []

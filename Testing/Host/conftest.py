"""The host itself, started once a process; an empty scene, no dialog and no error in a slot around each test."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing" / "SlicerHost"), str(ROOT / "tools")]

import missing

if lack := missing.of_slicer():
    pytest.exit(f"These tests need {lack}.", returncode=pytest.ExitCode.USAGE_ERROR)

import host

host.start()

import dialogs
import slicer

SAMPLES = ROOT / "LMIDiffusion" / "Resources" / "SampleData"


@pytest.fixture(autouse=True)
def clean_scene() -> Iterator[None]:
    slicer.mrmlScene.Clear(0)
    host.slotErrors().clear()
    yield
    host.setTesting(True)
    unused = dialogs.unusedAnswers()
    dialogs.clear()
    assert unused == []
    assert host.slotErrors() == []

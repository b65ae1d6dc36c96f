"""The module's own self-test, as Slicer's Reload and Test and ctest run it."""

import sys
import unittest
from typing import Any

import pytest


def test_the_tests_that_ctest_finds_in_the_module_pass_and_none_is_skipped(
    module: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """ctest looks for them as `unittest` does in a module, *Reload and Test* calls `runTest`."""
    suite = unittest.defaultTestLoader.loadTestsFromName("LMIDiffusion")
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    assert result.wasSuccessful()
    told = capfd.readouterr().err
    assert told.count("... ok") >= 5 and "... skipped" not in told


def test_loading_the_module_imports_nothing_heavy(module: Any) -> None:
    heavy = {"torch", "nibabel", "sklearn", "safetensors", "tqdm", "scipy"}
    assert heavy.isdisjoint(sys.modules)


def test_the_module_says_what_it_is(module: Any) -> None:
    parent = module.instance.parent if hasattr(module, "instance") else module
    assert parent.categories == ["Image Synthesis"]
    for text in (parent.title, parent.helpText, parent.acknowledgementText, *parent.contributors):
        assert text
    assert "10.1109/TMI.2024.3382043" in parent.acknowledgementText
    assert "research" in parent.helpText

"""The module's own self-test, as Slicer's Reload and Test and ctest run it."""

import sys
import unittest
from typing import Any


def test_the_modules_own_tests_pass(module: Any) -> None:
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(sys.modules["LMIDiffusion"].LMIDiffusionTest)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    assert suite.countTestCases() >= 4
    assert result.wasSuccessful()


def test_run_test_runs_them_all(module: Any) -> None:
    sys.modules["LMIDiffusion"].LMIDiffusionTest().runTest()


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

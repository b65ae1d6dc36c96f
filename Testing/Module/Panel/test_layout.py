"""Layout of the panel: it fits on a screen, and works from the keyboard."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import conftest
import host
import pytest
import qt
import slicer

_FILE = conftest.ROOT / "LMIDiffusion" / "Resources" / "UI" / "LMIDiffusion.ui"
_USABLE = (
    *("QPushButton", "QComboBox", "QCheckBox", "QSpinBox", "QTableWidget", "QPlainTextEdit", "ctkSliderWidget"),
    *("ctkPathLineEdit", "qMRMLNodeComboBox", "qMRMLSegmentationShow3DButton"),
)


@pytest.fixture(scope="module")
def tree() -> Any:
    return ElementTree.parse(_FILE)


def _property(widget: Any, name: str) -> str | None:
    return next((each[0].text for each in widget.findall("property") if each.get("name") == name), None)


def test_every_label_beside_a_widget_leads_to_it(tree: Any) -> None:
    for form in tree.iter("layout"):
        for item in form.findall("item[@column='0']"):
            label = item.find("widget[@class='QLabel']")
            if label is not None and item.get("colspan") is None:
                assert _property(label, "buddy"), label.get("name")
                assert tree.find(f".//widget[@name='{_property(label, 'buddy')}']") is not None


def test_mnemonics_differ(tree: Any) -> None:
    texts = [_property(widget, "text") or "" for widget in tree.iter("widget")]
    letters = [letter.lower() for text in texts for letter in re.findall(r"&(\w)", text)]
    assert len(letters) >= 8
    assert len(set(letters)) == len(letters)


def test_tab_visits_every_widget_from_top_to_bottom(tree: Any) -> None:
    usable = [widget.get("name") for widget in tree.iter("widget") if widget.get("class") in _USABLE]
    assert [each.text for each in tree.iter("tabstop")] == usable


def test_the_panel_with_a_result_needs_no_scrolling_at_1080_pixels(
    module: Any, widget: Any, ui: Any, head: Any, checkpoint: Path
) -> None:
    """Slicer's bars and the data probe leave about 900 of them."""
    node = conftest.choose_fastest(widget, checkpoint)
    node.sourceVolume, node.useCheckpointFile = head, False
    conftest.package("Scene.Settings").hintIsKnown()
    node.seed = 1  # shows the parameters anew
    ui.resultCollapsibleButton.collapsed = False
    panel = module.widgetRepresentation()
    panel.setFixedWidth(480)
    panel.show()
    host.processEvents(0.2)
    assert panel.sizeHint().height() <= 900
    places = [ui.__dict__[name].mapTo(panel, qt.QPoint(0, 0)).y() for name in _ORDER]
    assert places == sorted(places)
    panel.hide()


_ORDER = (
    *("inputCollapsibleButton", "modelCollapsibleButton", "outputCollapsibleButton", "translateButton"),
    *("resultCollapsibleButton", "logCollapsibleButton"),
)


def test_texts_are_american(tree: Any) -> None:
    texts = " ".join(each.text or "" for each in tree.iter("string"))
    texts += slicer.modules.lmidiffusion.helpText
    assert not re.search(r"colour|grey|licence|millilitre|centre|neighbour|behaviour", texts, re.IGNORECASE)


def test_the_help_leads_to_the_documentation(module: Any) -> None:
    assert re.search(r'<a href="https://\S+/docs/slicer\.md">', slicer.modules.lmidiffusion.helpText)

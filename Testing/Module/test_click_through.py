"""The whole job as a user does it: bundled checkpoint, bundled scan, the real worker, pictures looked at."""

from typing import Any

import host
import numpy as np
import pytest
import slicer
from conftest import package


def test_a_new_user_gets_a_segmentation_over_the_sample_scan_in_two_clicks(widget: Any, ui: Any) -> None:
    if not package("Checkpoints").findCheckpoints().get(package("Checkpoints").defaultCheckpoint()):
        pytest.skip("no default checkpoint is bundled yet")
    slicer.app.startupCompleted.emit()
    ui.sampleButton.click()
    source = ui.sourceVolumeSelector.currentNode()
    assert source.GetName() == "SRI24 PDw"
    assert ui.brainMaskSelector.currentNode().GetName() == "SRI24 brain mask"
    assert "72 x 91" in ui.volumeInfoLabel.text
    ui.qualityComboBox.currentText = package("Presets").Quality.FAST.label()

    ui.translateButton.click()
    fractions, texts = [], set()
    host.waitUntil(
        lambda: fractions.append(ui.progressBar.value) or texts.add(ui.statusLabel.text) or widget._run is None, 900
    )
    assert ui.statusLabel.text.startswith("Done in"), ui.statusLabel.text
    assert len(set(fractions)) > 5
    assert any("slice" in text and "left" in text for text in texts)

    volume = ui.outputVolumeSelector.currentNode()
    segmentation = ui.outputSegmentationSelector.currentNode()
    np.testing.assert_array_equal(package("Geometry").ijkToRas(volume), package("Geometry").ijkToRas(source))
    array = slicer.util.arrayFromVolume(volume)
    assert array.shape == slicer.util.arrayFromVolume(source).shape
    assert array.min() >= 0 and 0.3 < array.max() <= 1
    names = [segmentation.GetSegmentation().GetNthSegment(index).GetName() for index in range(3)]
    assert names == ["CSF", "gray matter", "white matter"]
    volumes = [float(ui.volumesTable.item(row, 1).text()) for row in range(3)]
    brain = np.count_nonzero(slicer.util.arrayFromVolume(ui.brainMaskSelector.currentNode())) * 0.008
    assert sum(volumes) == pytest.approx(brain, rel=1e-3)

    view = host.view2D()
    view.fit()
    shown = view.pixels().astype(int)
    segmentation.GetDisplayNode().SetVisibility(False)
    hidden = view.pixels().astype(int)
    segmentation.GetDisplayNode().SetVisibility(True)
    assert np.count_nonzero((shown != hidden).any(-1)) > 1000
    assert np.count_nonzero(hidden.std(-1) < 3) > 0.9 * hidden.shape[0] * hidden.shape[1], "without segments it is grey"

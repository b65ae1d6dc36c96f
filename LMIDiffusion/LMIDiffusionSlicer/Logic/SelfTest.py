"""Self-tests of the module for Slicer (*Reload and Test*, ctest) and the test host, with or without a main window."""

import pathlib
import unittest

import numpy as np
import slicer

from LMIDiffusionLib.interface.resources import known_checkpoints

from ..Base import Dependencies
from ..Base.Errors import TranslationError
from ..Scene import Geometry, SampleScans
from .LMIDiffusionLogic import LMIDiffusionLogic


class SelfTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        self.logic = LMIDiffusionLogic()

    def tearDown(self):
        self.logic.cancel()
        self.logic.endWorker()

    def test_sampleScansLoad(self):
        SampleScans.registerSamples()
        volume, mask = SampleScans.loadPDwSample()
        self.assertIsNone(Geometry.whyNotTranslatable(volume))
        self.assertEqual(slicer.util.arrayFromVolume(volume).shape, slicer.util.arrayFromVolume(mask).shape)

    def test_voxelOrderIsThatOfTheSource(self):
        source = _leftHandedVolume()
        path = pathlib.Path(slicer.util.tempDirectory()) / "volume.nii"
        Geometry.writeVolume(source, path)
        readBack = Geometry.readVolume(path, "vtkMRMLScalarVolumeNode")
        path.unlink()
        path.parent.rmdir()
        np.testing.assert_array_equal(Geometry.arrayInOrderOf(source, readBack), slicer.util.arrayFromVolume(source))

    def test_badVolumeIsRefusedWithTheReason(self):
        volume = _leftHandedVolume()
        slicer.util.arrayFromVolume(volume)[:] = 1
        with self.assertRaisesRegex(TranslationError, "same value"):
            self.logic.translate(volume)

    def test_sampleSliceIsTranslated(self):
        if Dependencies.missingPackages():
            self.skipTest("Python packages are missing: " + Dependencies.describe(Dependencies.missingPackages()))
        if not known_checkpoints():
            self.skipTest("There is no checkpoint")
        SampleScans.registerSamples()
        volume, mask = SampleScans.loadPDwSample()
        middle = Geometry.axialSliceCount(volume) // 2
        result = self.logic.translate(volume, brainMask=mask, slices=(middle, middle + 1), steps=4)
        np.testing.assert_array_equal(Geometry.ijkToRas(result.volume), Geometry.ijkToRas(volume))
        translated = slicer.util.arrayFromVolume(result.volume)
        self.assertEqual(np.flatnonzero(translated.any(axis=(1, 2))).tolist(), [middle])
        self.assertEqual(result.segmentation.GetSegmentation().GetNumberOfSegments(), 3)
        self.assertEqual(result.table.GetNumberOfRows(), 3)


def _leftHandedVolume():
    shape = (5, 6, 7)
    ijkToRas = np.diag([-2.0, 3.0, 4.0, 1.0])
    ijkToRas[:3, 3] = [10, -20, 30]
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return slicer.util.addVolumeFromArray(array, ijkToRas, "left-handed")

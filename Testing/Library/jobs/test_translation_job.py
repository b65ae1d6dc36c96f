"""From files to files: what is said of odd sources, and where results go."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import save_series
from grids import assert_same_in_space

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.dicom.series import Series
from LMIDiffusionLib.images.volume import Volume, read_volume, write_volume
from LMIDiffusionLib.interface.events import Event, Result, Stage
from LMIDiffusionLib.interface.notices import Notice, NoticeKind
from LMIDiffusionLib.jobs.translation_job import DrawnFiles, ModelChoice, TranslationJob
from LMIDiffusionLib.model.checkpoint import Checkpoint, save_checkpoint
from LMIDiffusionLib.translation.options import TranslationOptions


class _Listener:
    """Keeps the events, and lets another program write a file when the result is about to be."""

    def __init__(self, rival: Path | None = None) -> None:
        self.events: list[Event] = []
        self._rival = rival

    def report(self, event: Event) -> None:
        self.events.append(event)
        if event is Stage.WRITING and self._rival is not None:
            self._rival.write_text("another program's")

    def close(self) -> None:
        pass


@pytest.fixture
def job(tiny_checkpoint: Checkpoint, head: Volume, tmp_path: Path) -> TranslationJob:
    """One that takes three of the head's slices."""
    save_checkpoint(tiny_checkpoint, tmp_path / "tiny.safetensors")
    write_volume(tmp_path / "scan.nii", head)
    return _job(tmp_path, slices=(9, 12))


def _job(folder: Path, **options: Any) -> TranslationJob:
    chosen = TranslationOptions(steps=2, samples=1, **options)
    source, output, checkpoint = (folder / name for name in ("scan.nii", "t1w.nii", "tiny.safetensors"))
    return TranslationJob(source, output, ModelChoice(str(checkpoint), "cpu"), options=chosen)


def test_a_dicom_series_is_translated_like_the_same_nifti_scan_into_any_output_format(
    job: TranslationJob, head: Volume, tmp_path: Path
) -> None:
    """The translation equals that of the same scan from NIfTI, voxel by voxel and in place."""
    whole = head.with_array(head.array.astype(np.int16))
    write_volume(tmp_path / "scan.nii", whole)
    save_series(tmp_path / "dicom", head.with_array(whole.array[::-1].copy()), SeriesNumber=1)
    save_series(tmp_path / "dicom", whole, SeriesNumber=2)
    write_volume(tmp_path / "mask.nrrd", head.with_array((head.array > 700).astype(np.uint8)))
    results = []
    for source, ending in ((tmp_path / "scan.nii", ".nii"), (Series(tmp_path / "dicom", 2), ".nrrd")):
        paths = [tmp_path / f"{name}{ending}" for name in ("translation", "segmentation", "spread")]
        options = dataclasses.replace(job.options, samples=2)
        chosen = dataclasses.replace(job, source=source, mask=tmp_path / "mask.nrrd", options=options)
        output, segmentation, spread = paths
        dataclasses.replace(chosen, output=output, segmentation=segmentation, drawn=DrawnFiles(spread)).run(_Listener())
        results.append([read_volume(path) for path in paths])
    for from_nifti, from_dicom in zip(*results, strict=True):
        assert from_nifti.array.any()
        assert_same_in_space(from_dicom, from_nifti)


def test_a_file_that_appears_at_the_output_path_during_the_run_is_kept(job: TranslationJob, tmp_path: Path) -> None:
    listener = _Listener(rival=job.output)
    job.run(listener)
    (notice,) = (event for event in listener.events if isinstance(event, Notice))
    assert notice.message == f"{job.output} has appeared meanwhile; the result goes to {tmp_path / 't1w-2.nii'}."
    assert job.output.read_text() == "another program's"
    assert read_volume(tmp_path / "t1w-2.nii").array.any()
    (result,) = (event for event in listener.events if isinstance(event, Result))
    assert result.output == tmp_path / "t1w-2.nii"


@pytest.mark.parametrize("name", ["output", "segmentation", "uncertainty", "sample"])
def test_an_output_that_cannot_hold_sheared_axes_is_refused_before_minutes_are_spent(
    job: TranslationJob, head: Volume, tmp_path: Path, name: str
) -> None:
    affine = head.affine.copy()
    affine[0, 1] = 0.5
    write_volume(tmp_path / "scan.nii", Volume(head.array, affine))
    path = tmp_path / "sample.mha"
    chosen = {"drawn": DrawnFiles(**{name: path})} if name in ("uncertainty", "sample") else {name: path}
    listener = _Listener()
    with pytest.raises(UserError, match=r"sample\.mha cannot hold axes that are not at right angles"):
        dataclasses.replace(job, **chosen).run(listener)
    assert Stage.TRANSLATING not in listener.events
    assert {each.name for each in tmp_path.iterdir()} == {"scan.nii", "tiny.safetensors"}


@pytest.mark.parametrize("slices", [None, (0, 1)], ids=["bright specks", "slices of air"])
def test_a_scan_without_a_head_leaves_no_file(
    job: TranslationJob, head: Volume, tmp_path: Path, slices: tuple[int, int] | None
) -> None:
    if slices is None:
        specks = np.zeros(head.array.shape, np.float32)
        specks[3:5, 4, 5:8] = np.arange(1000, 1006).reshape(2, 3)
        write_volume(tmp_path / "scan.nii", head.with_array(specks))
    with pytest.raises(UserError, match="No head was found"):
        _job(tmp_path, slices=slices).run(_Listener())
    assert not job.output.exists()


def test_a_label_map_as_source_is_translated_with_a_notice(job: TranslationJob, head: Volume, tmp_path: Path) -> None:
    write_volume(
        tmp_path / "scan.nii",
        head.with_array(np.digitize(head.array.astype(float), [150, 500, 900, 1500]).astype(np.int16)),
    )
    listener = _Listener()
    notices = job.run(listener).notices
    assert [each.kind for each in notices] == [NoticeKind.PLAUSIBILITY]
    assert notices[0].message.startswith(
        f"{tmp_path / 'scan.nii'} does not look like a scan of a head but like a label map"
    )
    assert notices[0] in listener.events
    assert job.output.exists()

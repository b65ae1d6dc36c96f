"""Subjects of a folder, and who of them is held out."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.training.data.subjects import find_subjects, split_subjects


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number in range(3):
        for suffix in ("T1w", "brain"):
            (tmp_path / f"s{number}_{suffix}.nii.gz").touch()
    return tmp_path


def test_subjects_are_found_with_their_masks(data: Path) -> None:
    subjects = find_subjects(data, modality="T1w", brain_suffixes=("brain",))
    assert [subject.name for subject in subjects] == ["s0", "s1", "s2"]
    assert all(subject.brain is not None for subject in subjects)
    assert find_subjects(data, modality="T1w", brain_suffixes=("none",))[0].brain is None


def test_a_folder_without_the_modality_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file named"):
        find_subjects(data, modality="T2w", brain_suffixes=("brain",))
    with pytest.raises(UserError, match="does not exist"):
        find_subjects(tmp_path / "missing", modality="T1w", brain_suffixes=("brain",))


def test_the_split_is_by_subject_complete_and_always_the_same(data: Path) -> None:
    found = find_subjects(data, modality="T1w", brain_suffixes=("brain",))
    subjects = [dataclasses.replace(subject, name=f"{subject.name} {copy}") for copy in range(5) for subject in found]
    training, held_out = split_subjects(subjects, held_out=4)
    assert (len(training), len(held_out)) == (11, 4)
    assert {subject.name for subject in (*training, *held_out)} == {subject.name for subject in subjects}
    np.random.seed(1)
    torch.manual_seed(1)
    assert split_subjects(subjects, held_out=4) == (training, held_out)
    for count in (0, 15):
        with pytest.raises(UserError, match="cannot be held out"):
            split_subjects(subjects, held_out=count)


def test_more_files_move_nobody_from_the_held_out_subjects_but_by_taking_a_place(data: Path) -> None:
    subject = find_subjects(data, modality="T1w", brain_suffixes=("brain",))[0]
    subjects = [dataclasses.replace(subject, name=f"IXI{number:03}") for number in range(100)]
    more = [dataclasses.replace(subject, name=f"IXI{number:03}") for number in range(100, 173)]
    _, before = split_subjects(subjects, held_out=10)
    _, after = split_subjects([*subjects, *more], held_out=10)
    newcomers = [each for each in after if each in more]
    assert 0 < len(newcomers) < 10
    assert [each for each in after if each not in more] == [each for each in before if each in after]
    assert len(after) == 10

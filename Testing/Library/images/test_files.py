"""Properties of file names and of atomic writing."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from LMIDiffusionLib.errors import ScanWarning, UserError
from LMIDiffusionLib.images.files import (
    VOLUME_ENDINGS,
    atomic_path,
    check_folder,
    check_output,
    ending,
    is_file,
    is_folder,
    named_volumes,
    stem,
    unused,
)
from LMIDiffusionLib.images.volume import read_volume
from LMIDiffusionLib.interface.resources import bundled_checkpoints, known_checkpoints
from LMIDiffusionLib.runs.file_lists import read_file_list


@pytest.mark.parametrize("each", VOLUME_ENDINGS)
def test_a_volumes_name_is_split_before_its_whole_ending(each: str) -> None:
    path = Path("folder.d") / f"anna.b_T1w{each}"
    assert ending(path) == each
    assert stem(path) == "anna.b_T1w"


def test_other_names_are_split_at_the_last_dot() -> None:
    assert (stem(Path("a.b.csv")), ending(Path("a.b.csv"))) == ("a.b", ".csv")
    assert (stem(Path("plain")), ending(Path("plain"))) == ("plain", "")


def test_volumes_of_a_modality_are_found_by_name_whatever_their_ending(tmp_path: Path) -> None:
    names = ("bert_T1w.nii", "anna_T1w.nii.gz", "anna_T2w.nii.gz", "carl_T1w.txt", "T1w.nii")
    for name in names:
        (tmp_path / name).touch()
    found = named_volumes(tmp_path, "T1w")
    assert found == {"anna": tmp_path / "anna_T1w.nii.gz", "bert": tmp_path / "bert_T1w.nii"}
    assert list(found) == ["anna", "bert"]


def test_a_scan_that_is_there_compressed_and_not_is_one_subject_with_a_word(tmp_path: Path) -> None:
    for name in ("anna_T1w.nii", "anna_T1w.nii.gz"):
        (tmp_path / name).touch()
    with pytest.warns(ScanWarning, match=r"anna_T1w\.nii is left out"):
        assert named_volumes(tmp_path, "T1w") == {"anna": tmp_path / "anna_T1w.nii.gz"}


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii"])
def test_a_path_that_is_taken_gives_the_next_number(tmp_path: Path, name: str) -> None:
    end = ending(tmp_path / name)
    assert unused(tmp_path / name) == tmp_path / name
    (tmp_path / name).touch()
    (tmp_path / f"scan-2{end}").mkdir()
    assert unused(tmp_path / name) == tmp_path / f"scan-3{end}"


def test_an_output_that_cannot_be_written_is_refused_in_one_sentence(tmp_path: Path) -> None:
    existing, folder = tmp_path / "there.csv", tmp_path / "folder.csv"
    existing.touch()
    folder.mkdir()
    for path, reason in (
        (tmp_path / "new.txt", "must end in .csv"),
        (folder, "is a folder"),
        (existing, "exists already"),
        (tmp_path / "nowhere" / "new.csv", "does not exist"),
        (tmp_path / f"{'x' * 300}.csv", "File name too long"),
    ):
        with pytest.raises(UserError, match=reason) as refusal:
            check_output(path, overwrite=False, endings=(".csv",))
        assert str(path.parent if "nowhere" in path.parts else path) in str(refusal.value)
    check_output(existing, overwrite=True, endings=(".csv",))
    check_output(tmp_path / "new.csv", overwrite=False, endings=(".csv",))


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii", "weights.safetensors", "plain"])
def test_a_finished_write_leaves_the_file_alone(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("old")
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary != path
        assert temporary.name.endswith("".join(path.suffixes))
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "name", ["x" * 248 + ".nii.gz", "\u00fc" * 124 + ".nii.gz"], ids=["plain", "two bytes a letter"]
)
def test_a_name_as_long_as_the_disk_takes_is_written(tmp_path: Path, name: str) -> None:
    """Its temporary name is as short as need be: it would be found out after minutes of work."""
    with atomic_path(tmp_path / name) as temporary:
        temporary.write_text("new")
    assert (tmp_path / name).read_text() == "new"
    assert len([*tmp_path.iterdir()]) == 1


@pytest.mark.parametrize("look", [is_file, is_folder, read_volume])
def test_a_name_longer_than_any_disk_takes_is_refused_in_one_sentence(look: Callable[[Path], object]) -> None:
    with pytest.raises(UserError, match="File name too long"):
        look(Path(f"{'x' * 5000}.nii"))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_nothing_new(tmp_path: Path, error: type[BaseException]) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "scan.nii.gz") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert list(tmp_path.iterdir()) == []


def test_an_exception_keeps_the_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_text("old")

    def write() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002])
def test_the_mode_of_a_new_file_follows_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with atomic_path(tmp_path / "scan.nii") as temporary:
            temporary.write_text("new")
        assert os.umask(mask) == mask, "the umask was changed"
    finally:
        os.umask(before)
    assert (tmp_path / "scan.nii").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_symbolic_link_is_written_through(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    for target in ("there.nii", "new.nii"):
        link = tmp_path / f"link_{target}"
        link.symlink_to(folder / target)
        (folder / "there.nii").write_text("old")
        check_output(link, overwrite=True, endings=(".nii",))
        with atomic_path(link) as temporary:
            temporary.write_text("new")
        assert link.is_symlink()
        assert (folder / target).read_text() == "new"
    assert sorted(path.name for path in folder.iterdir()) == ["new.nii", "there.nii"]


@pytest.mark.parametrize("is_there", [True, False], ids=["fetched", "not fetched"])
def test_a_link_of_git_annex_is_replaced_on_request_and_its_object_left_alone(tmp_path: Path, is_there: bool) -> None:
    thing, link = tmp_path / ".git" / "annex" / "objects" / "KEY", tmp_path / "scan.nii"
    if is_there:
        thing.parent.mkdir(parents=True)
        thing.write_text("content of that name")
    link.symlink_to(".git/annex/objects/KEY")
    with pytest.raises(UserError, match="exists already"):
        check_output(link, overwrite=False, endings=(".nii",))
    check_output(link, overwrite=True, endings=(".nii",))
    with atomic_path(link) as temporary:
        temporary.write_text("new")
    assert link.read_text() == "new" and not link.is_symlink()
    assert thing.exists() is is_there
    assert not is_there or thing.read_text() == "content of that name"


def test_a_link_into_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scan.nii").symlink_to(tmp_path / "gone" / "scan.nii")
    with pytest.raises(UserError, match=r"gone of the output does not exist"):
        check_output(tmp_path / "scan.nii", overwrite=False, endings=(".nii",))


def test_a_file_system_without_modes_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    monkeypatch.setattr(Path, "chmod", refuse)
    with atomic_path(tmp_path / "scan.nii") as temporary:
        temporary.write_text("new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["new"]


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, reason in (
        ("file", r"is no folder; give one with scans"),
        ("missing", r"does not exist; give a folder with scans"),
    ):
        with pytest.raises(UserError, match=rf"{name} {reason}\.$"):
            check_folder(tmp_path / name, wanted="scans")


def test_a_home_that_cannot_be_looked_into_holds_no_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/" + 300 * "a")
    assert known_checkpoints() == bundled_checkpoints()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o700)
    unreadable, rows = tmp_path / "unreadable.nii", tmp_path / "rows.csv"
    unreadable.touch(mode=0o600)
    (tmp_path / "locked" / "scan.nii").touch()
    rows.write_text("locked/scan.nii\n")
    assert read_file_list(rows, required=["source"]).rows  # and Python may not find its codecs as another user
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.name.startswith("pytest-"):
            parent.chmod(0o755)
    os.seteuid(65534)
    try:
        if not os.access(tmp_path, os.X_OK, effective_ids=True):
            pytest.skip("other users cannot enter the folder for temporary files")
        with pytest.raises(UserError, match="cannot be entered"):
            is_file(tmp_path / "locked" / "scan.nii")
        with pytest.raises(UserError, match="cannot be entered"):
            check_output(tmp_path / "locked" / "scan.nii", overwrite=True, endings=(".nii",))
        with pytest.raises(UserError, match="cannot be entered"):
            check_folder(tmp_path / "locked", wanted="scans")
        with pytest.raises(UserError, match="locked cannot be entered"):
            read_volume(tmp_path / "locked")
        with pytest.raises(UserError, match="locked cannot be entered"):
            read_volume(tmp_path / "locked" / "scan.nii")
        with pytest.raises(UserError, match=r"cannot be read \(Permission denied\)"):
            read_volume(unreadable)
        with pytest.raises(UserError, match="may not be read"):
            read_file_list(rows, required=["source"])
        with pytest.raises(UserError, match="cannot be written to"):
            check_output(tmp_path / "scan.nii", overwrite=True, endings=(".nii",))
    finally:
        os.seteuid(0)

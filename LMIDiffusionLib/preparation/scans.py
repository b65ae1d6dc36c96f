"""Search for scans in folders and IXI archives, by subject and modality."""

from __future__ import annotations

import contextlib
import re
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import UserError
from ..images.files import VOLUME_ENDINGS, check_folder, named_volumes

# File names of the IXI data set, such as IXI012-HH-1211-PD.nii.gz.
_IXI_NAME = re.compile(r"(IXI\d+)-\w+-\d+-(T1|T2|PD)\.nii\.gz")
_IXI_MODALITIES = {"T1": "T1w", "T2": "T2w", "PD": "PDw"}


@dataclass(frozen=True)
class RawScan:
    """A scan in a file or in a member of a tar archive."""

    path: Path
    member: str | None = None

    @contextlib.contextmanager
    def as_file(self) -> Iterator[Path]:
        """Yield the file itself, or a temporary copy of the archive's member.

        Raises:
            UserError: the archive is damaged.
        """
        if self.member is None:
            yield self.path
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / PurePosixPath(self.member).name
            try:
                with tarfile.open(self.path) as archive, archive.extractfile(self.member) as file:  # type: ignore[union-attr]
                    copy.write_bytes(file.read())
            except (tarfile.TarError, OSError, EOFError) as error:
                raise UserError(f"{self.path} is damaged ({error}); download it again.") from error
            yield copy


Subjects = dict[str, dict[str, RawScan]]
"""Scans by subject and modality."""


def find_scans(folder: Path, modalities: list[str]) -> Subjects:
    """Find scans of the given modalities: IXI's, NAME_<modality>.nii.gz and NAME/<modality>.nii.gz.

    IXI's archives lie in the folder itself, IXI's files anywhere below; other files may have any ending of volumes. Of
    several scans of one subject and modality, the first in this order is taken.

    Raises:
        UserError: the folder does not exist, an archive is damaged, or nothing is found.
    """
    check_folder(folder, wanted="IXI archives or NAME_<modality>.nii.gz files")
    found: Subjects = defaultdict(dict)
    for name, modality, scan in [*_ixi_archives(folder), *_ixi_files(folder), *_named_files(folder, modalities)]:
        if modality in modalities:
            found[name].setdefault(modality, scan)
    if not found:
        raise UserError(
            f"{folder} holds neither IXI scans nor files named NAME_<modality>.nii.gz of {', '.join(modalities)}."
        )
    return dict(sorted(found.items()))


def _ixi_archives(folder: Path) -> list[tuple[str, str, RawScan]]:
    scans = []
    for path in sorted(folder.glob("IXI-*.tar")):
        try:
            with tarfile.open(path) as archive:
                members = sorted(archive.getnames())
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UserError(f"{path} is damaged ({error}); download it again.") from error
        scans += _ixi_scans((PurePosixPath(member).name, RawScan(path, member)) for member in members)
    return scans


def _ixi_files(folder: Path) -> list[tuple[str, str, RawScan]]:
    return _ixi_scans((path.name, RawScan(path)) for path in sorted(folder.rglob("IXI*.nii.gz")))


def _ixi_scans(files: Iterator[tuple[str, RawScan]]) -> list[tuple[str, str, RawScan]]:
    matches = ((_IXI_NAME.fullmatch(name), scan) for name, scan in files)
    return [(match[1], _IXI_MODALITIES[match[2]], scan) for match, scan in matches if match]


def _named_files(folder: Path, modalities: list[str]) -> list[tuple[str, str, RawScan]]:
    named, in_folders = [], []
    for modality in modalities:
        named += [(name, modality, RawScan(path)) for name, path in named_volumes(folder, modality).items()]
        paths = (path for each in VOLUME_ENDINGS for path in sorted(folder.glob(f"*/{modality}{each}")))
        in_folders += [(path.parent.name, modality, RawScan(path)) for path in paths]
    return named + in_folders

"""Python packages that the worker needs: which are missing, and the extension that chooses a build of PyTorch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import slicer
from slicer.i18n import tr as _

from .Errors import TranslationError
from .Paths import resourcePath

TORCH = "torch>=2.6"
BRAIN_FINDER = "deepbet>=1.0.2"
_TORCH_EXTENSION = "PyTorch"
# Downloads in megabytes: PyTorch's builds for NVIDIA GPUs bring CUDA along.
_TORCH_SIZES = {"Darwin": 80, "Windows": 2700, "Linux": 2700}
_SIZES = {"deepbet": 30, "nibabel": 4, "numpy": 18, "safetensors": 1, "scipy": 36, "tqdm": 1}


@dataclass(frozen=True)
class Package:
    """A requirement, the size of its download, and the version that is installed and too old, if any."""

    requirement: str
    megabytes: int
    present: str | None = None

    @property
    def name(self) -> str:
        return _parsed(self.requirement).name


def missingPackages(*, optional: Sequence[str] = ()) -> list[Package]:
    """Return the packages that are not installed yet, or too old; nothing is imported to find out.

    :param optional: requirements besides those of every translation.
    """
    requirements = [TORCH, *_requirementsFile(), *optional]
    return [Package(each, _downloadSize(each), _installed(each)) for each in requirements if not isMet(each)]


def installedVersions() -> dict[str, str | None]:
    """Return the version of each package that a translation may import; None where it is missing."""
    return {each: _installed(each) for each in (TORCH, *_requirementsFile(), BRAIN_FINDER)}


def describe(packages: list[Package]) -> str:
    """Return the names of packages and the size of their download, in words."""
    names = ", ".join(
        _("{requirement} (in place of {version})").format(requirement=each.requirement, version=each.present)
        if each.present
        else each.requirement
        for each in packages
    )
    total = sum(package.megabytes for package in packages)
    size = _("{size:.1f} GB").format(size=total / 1000) if total >= 1000 else _("{size} MB").format(size=total)
    return _("{packages} (up to {size} to download)").format(packages=names, size=size)


def whyNotInstallable(packages: list[Package]) -> str | None:
    """Return why a download would be in vain; None if nothing speaks against it."""
    if not needsTorch(packages):
        return None
    if (sys.platform, platform.machine()) == ("darwin", "x86_64"):
        return _(
            "PyTorch 2.6 or newer, which LMIDiffusion needs, does not exist for Slicer's build for Macs with Intel"
            " processors; use Slicer's build for Apple processors (arm64) or another computer."
        )
    if not hasTorchExtension() and _extensions().isExtensionInstalled(_TORCH_EXTENSION):
        return _("The extension PyTorch is installed but not loaded; restart Slicer, and enable it if need be.")
    return None


def needsTorch(packages: list[Package]) -> bool:
    return TORCH in [package.requirement for package in packages]


def hasTorchExtension() -> bool:
    """Tell whether the PyTorch extension is loaded, which knows the build that fits the graphics driver."""
    return importlib.util.find_spec("PyTorchUtils") is not None


def installTorchExtension() -> None:
    """Install it without another question of Slicer's; it is loaded after a restart.

    :raises TranslationError: it could not be installed.
    """
    model = _extensions()
    wasInteractive = model.interactive
    model.interactive = False
    try:
        isInstalled = model.installExtensionFromServer(_TORCH_EXTENSION, False)
    finally:
        model.interactive = wasInteractive
    if not isInstalled:
        raise TranslationError(
            _("The extension PyTorch could not be installed; install it in the Extensions Manager and restart Slicer.")
        )


def _extensions():
    return slicer.app.extensionsManagerModel()


def inUse(packages: list[Package]) -> list[Package]:
    """Return the packages that Slicer itself has loaded in the version that is replaced."""
    return [package for package in packages if package.present and package.name in sys.modules]


def _requirementsFile() -> list[str]:
    lines = resourcePath("requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def isMet(requirement: str) -> bool:
    version = _installed(requirement)
    return version is not None and _parsed(requirement).specifier.contains(version, prereleases=True)


def _installed(requirement: str) -> str | None:
    try:
        return importlib.metadata.version(_parsed(requirement).name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _parsed(requirement: str):
    from packaging.requirements import Requirement

    return Requirement(requirement)


def _downloadSize(requirement: str) -> int:
    if requirement == TORCH:
        return _TORCH_SIZES.get(platform.system(), max(_TORCH_SIZES.values()))
    return _SIZES.get(_parsed(requirement).name, 5)

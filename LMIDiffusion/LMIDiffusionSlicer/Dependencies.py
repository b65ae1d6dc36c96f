"""Python packages that the worker needs: what is missing, and its installation at the point of use."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import platform
import sys
from dataclasses import dataclass

from slicer.i18n import tr as _

from .Errors import TranslationError
from .Library import resourcePath

TORCH = "torch>=2.4"
# Downloads in megabytes: PyTorch's builds for NVIDIA GPUs bring CUDA along.
_TORCH_SIZES = {"Darwin": 80, "Windows": 2700, "Linux": 2700}
_SIZES = {"nibabel": 4, "numpy": 18, "safetensors": 1, "tqdm": 1}


@dataclass(frozen=True)
class Package:
    requirement: str
    megabytes: int


def missingPackages() -> list[Package]:
    """What is not installed yet, or too old; nothing is imported to find out."""
    requirements = [TORCH, *_requirementsFile()]
    return [Package(each, _downloadSize(each)) for each in requirements if not _isInstalled(each)]


def describe(packages: list[Package]) -> str:
    """What is needed and how large it is, in words."""
    names = ", ".join(package.requirement for package in packages)
    total = sum(package.megabytes for package in packages)
    size = _("{size:.1f} GB").format(size=total / 1000) if total >= 1000 else _("{size} MB").format(size=total)
    return _("{packages} (up to {size} to download)").format(packages=names, size=size)


def whyNotInstallable(packages: list[Package]) -> str | None:
    """Why nothing needs to be downloaded to know that it would be in vain; None if nothing speaks against it."""
    needsTorch = TORCH in [package.requirement for package in packages]
    if needsTorch and (sys.platform, platform.machine()) == ("darwin", "x86_64"):
        return _(
            "PyTorch 2.4 or newer, which LMIDiffusion needs, does not exist for Slicer's build for Macs with Intel"
            " processors; use Slicer's build for Apple processors (arm64) or another computer."
        )
    return None


def install(packages: list[Package]) -> None:
    """Install into Slicer's Python. Call it from the main thread.

    :raises TranslationError: it failed; Slicer goes on as before.
    """
    requirements = [package.requirement for package in packages]
    try:
        if TORCH in requirements:
            _installTorch()
        others = [each for each in requirements if each != TORCH]
        if others:
            _pipInstall(others)
    except Exception as error:  # pip and the PyTorch extension raise what they like
        raise TranslationError(
            _(
                "The Python packages could not be installed ({reason}); check the internet connection and the free"
                " space, restart Slicer and try again."
            ).format(reason=_lastLine(error)),
            repr(error),
        ) from error
    importlib.invalidate_caches()
    left = missingPackages()
    if left:
        raise TranslationError(_("Some Python packages are still missing: {packages}.").format(packages=describe(left)))


def _lastLine(error: Exception) -> str:
    return next(reversed(str(error).split("\n")), "").strip() or type(error).__name__


def _installTorch() -> None:
    """The PyTorch extension knows which build fits the graphics driver; without it, pip takes the default one."""
    if importlib.util.find_spec("PyTorchUtils") is None:
        _pipInstall([TORCH])
        return
    from packaging.requirements import Requirement
    from PyTorchUtils import PyTorchUtilsLogic

    PyTorchUtilsLogic().installTorch(askConfirmation=False, torchVersionRequirement=str(Requirement(TORCH).specifier))


def _pipInstall(requirements: list[str]) -> None:
    try:
        from slicer.packaging import pip_install
    except ImportError:  # before Slicer 5.12
        from slicer.util import pip_install
    pip_install(requirements)


def _requirementsFile() -> list[str]:
    lines = resourcePath("requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _isInstalled(requirement: str) -> bool:
    from packaging.requirements import Requirement

    parsed = Requirement(requirement)
    try:
        return parsed.specifier.contains(importlib.metadata.version(parsed.name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False


def _downloadSize(requirement: str) -> int:
    if requirement == TORCH:
        return _TORCH_SIZES.get(platform.system(), max(_TORCH_SIZES.values()))
    return next((size for name, size in _SIZES.items() if requirement.startswith(name)), 5)

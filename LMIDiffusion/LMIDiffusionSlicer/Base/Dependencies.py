"""Python packages that the worker needs: what is missing, and its installation at the point of use."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import qt
import slicer
from slicer.i18n import tr as _

from .Errors import TranslationError
from .Paths import resourcePath

TORCH = "torch>=2.4"
BRAIN_FINDER = "deepbet>=1.0.2"
_TORCH_EXTENSION = "PyTorch"
# Downloads in megabytes: PyTorch's builds for NVIDIA GPUs bring CUDA along.
_TORCH_SIZES = {"Darwin": 80, "Windows": 2700, "Linux": 2700}
_SIZES = {"deepbet": 30, "nibabel": 4, "numpy": 18, "safetensors": 1, "scipy": 36, "tqdm": 1}


@dataclass(frozen=True)
class Package:
    """`present` is the version that is installed and too old, or None."""

    requirement: str
    megabytes: int
    present: str | None = None

    @property
    def name(self) -> str:
        return _parsed(self.requirement).name


def missingPackages(*, optional: Sequence[str] = ()) -> list[Package]:
    """What is not installed yet, or too old; nothing is imported to find out.

    :param optional: requirements besides those of every translation.
    """
    requirements = [TORCH, *_requirementsFile(), *optional]
    return [Package(each, _downloadSize(each), _installed(each)) for each in requirements if not _isMet(each)]


def installedVersions() -> dict[str, str | None]:
    """Of all that a translation may import; None where a package is missing."""
    return {each: _installed(each) for each in (TORCH, *_requirementsFile(), BRAIN_FINDER)}


def describe(packages: list[Package]) -> str:
    """What is needed and how large it is, in words."""
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
    """What makes a download vain; None if nothing speaks against it."""
    if not needsTorch(packages):
        return None
    if (sys.platform, platform.machine()) == ("darwin", "x86_64"):
        return _(
            "PyTorch 2.4 or newer, which LMIDiffusion needs, does not exist for Slicer's build for Macs with Intel"
            " processors; use Slicer's build for Apple processors (arm64) or another computer."
        )
    if not hasTorchExtension() and _extensions().isExtensionInstalled(_TORCH_EXTENSION):
        return _("The extension PyTorch is installed but not loaded; restart Slicer, and enable it if need be.")
    return None


def needsTorch(packages: list[Package]) -> bool:
    return TORCH in [package.requirement for package in packages]


def hasTorchExtension() -> bool:
    """Whether the PyTorch extension is loaded; it knows which build of PyTorch fits the graphics driver."""
    return importlib.util.find_spec("PyTorchUtils") is not None


def installTorchExtension() -> None:
    """Slicer restarts when it is there.

    :raises TranslationError: it could not be installed.
    """
    if not _extensions().installExtensionFromServer(_TORCH_EXTENSION):
        raise TranslationError(
            _("The extension PyTorch could not be installed; install it in the Extensions Manager and restart Slicer.")
        )


def _extensions():
    return slicer.app.extensionsManagerModel()


def install(packages: list[Package], log: Callable[[str], None]) -> None:
    """Install into Slicer's Python. Call it from the main thread; the event loop runs meanwhile.

    :param log: is given each line of pip's output, from Slicer 5.12 on.
    :raises TranslationError: it failed; Slicer goes on as before.
    """
    try:
        if needsTorch(packages):
            _installTorch()
        others = [package.requirement for package in packages if package.requirement != TORCH]
        if others:
            _pipInstall(others, log)
    except Exception as error:  # pip and the PyTorch extension raise what they like
        raise TranslationError(
            _(
                "The Python packages could not be installed ({reason}); check the internet connection and the free"
                " space, restart Slicer and try again."
            ).format(reason=_lastLine(error)),
            repr(error),
        ) from error
    importlib.invalidate_caches()
    left = [package for package in packages if not _isMet(package.requirement)]
    if left:
        raise TranslationError(_("Some Python packages are still missing: {packages}.").format(packages=describe(left)))


def inUse(packages: list[Package]) -> list[Package]:
    """Those that Slicer itself has loaded in the version that is replaced."""
    return [package for package in packages if package.present and package.name in sys.modules]


def _lastLine(error: Exception) -> str:
    return next(reversed(str(error).split("\n")), "").strip() or type(error).__name__


def _installTorch() -> None:
    from PyTorchUtils import PyTorchUtilsLogic

    PyTorchUtilsLogic().installTorch(askConfirmation=False, torchVersionRequirement=str(_parsed(TORCH).specifier))


def _pipInstall(requirements: list[str], log: Callable[[str], None]) -> None:
    try:
        from slicer.packaging import pip_install
    except ImportError:  # before Slicer 5.12
        slicer.util.pip_install(requirements)
        return
    loop, codes = qt.QEventLoop(), []

    def onCompleted(code: int) -> None:
        codes.append(code)
        loop.quit()

    # Not blocking, it shows no dialog of its own: the log and the message of the panel are enough.
    pip_install(requirements, blocking=False, show_progress=False, logCallback=log, completedCallback=onCompleted)
    if not codes:
        # Its name depends on the version of Qt.
        (loop.exec if hasattr(loop, "exec") else loop.exec_)()
    if codes[0] != 0:
        raise RuntimeError(_("pip ended with code {code}; see the log").format(code=codes[0]))


def _requirementsFile() -> list[str]:
    lines = resourcePath("requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _isMet(requirement: str) -> bool:
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

"""Diagnosis of an installation: packages, devices, checkpoints, and what works with them.

It must run where anything is missing, so it imports only the standard library when it is loaded.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import time
from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..interface.checkpoint_header import read_header, read_offer
from ..interface.events import failure
from ..interface.resources import (
    DEFAULT_CHECKPOINT,
    bundled_checkpoints,
    file_hash,
    resource,
    user_checkpoint_folder,
    user_checkpoints,
)

_MODULES = {"pillow": "PIL", "scikit-image": "skimage", "scikit-learn": "sklearn"}


@dataclass(frozen=True)
class Purpose:
    """A feature of the library and the packages that it needs.

    Attributes:
        name: of the feature.
        packages: names under which they are installed.
        remedy: command that installs them, in the checkout.
    """

    name: str
    packages: tuple[str, ...]
    remedy: str


TRANSLATION = Purpose("translate", ("torch", "numpy", "scipy", "nibabel", "safetensors", "tqdm"), "pip install .")
PURPOSES = (
    TRANSLATION,
    Purpose("translate from and to NRRD, MetaImage, DICOM", ("SimpleITK", "pydicom"), "pip install ."),
    Purpose("demo", ("pillow",), "pip install ."),
    Purpose("translate --find-brain", ("deepbet",), "pip install '.[brain]'"),
    Purpose("completion in shells", ("shtab",), "pip install ."),
    Purpose("translate-cohort", ("jinja2", "lightning", "pillow"), "pip install '.[cohort]'"),
    Purpose(
        "prepare, train, benchmark",
        ("lightning", "SimpleITK", "matplotlib", "scikit-image", "tensorboard", "scikit-learn", "pillow"),
        "pip install '.[train]'",
    ),
)

Rows = list[tuple[str, str]]


@dataclass(frozen=True)
class Diagnosis:
    """Findings about an installation.

    Attributes:
        sections: rows of name and state, by heading.
        problem: one sentence on why nothing can be translated; empty if translation works.
    """

    sections: dict[str, Rows]
    problem: str


def diagnose() -> Diagnosis:
    """Check the whole installation and translate one slice."""
    packages = {name: _version(name) for each in PURPOSES for name in each.packages}
    missing = {name for name, (version, _) in packages.items() if not version}
    problem, outcome = _lack(TRANSLATION, missing), ""
    complete = not problem
    if complete:
        problem, outcome = _try_translation()
    sections = {
        "Versions": [
            ("LMIDiffusion", __version__),
            ("Python", platform.python_version()),
            ("System", platform.platform()),
        ],
        "Packages": [(name, version or _reason(name, reason)) for name, (version, reason) in packages.items()],
        "Devices": [("unknown", "torch is needed to look")] if "torch" in missing else _devices(),
        "Checkpoints": _checkpoints(load=complete),
        "What works": [
            (TRANSLATION.name, f"no: {problem}" if problem else f"yes: {outcome}"),
            *((each.name, _verdict(_lack(each, missing), works=not problem)) for each in PURPOSES[1:]),
        ],
    }
    return Diagnosis(sections, problem)


def _verdict(lack: str, *, works: bool) -> str:
    """Say whether a feature works, which needs its packages and a working translation."""
    if lack:
        return f"no: {lack}"
    return "yes" if works else f"no: {TRANSLATION.name} has to work first"


def _version(package: str) -> tuple[str, str]:
    """Return the version of a package that can be loaded, or else an empty text and the reason."""
    name = _MODULES.get(package, package)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        return "", "missing" if error.name == name else f"broken: it needs {error.name}, which is missing"
    except Exception as error:  # a library that lacks another one raises what it likes
        return "", f"broken: {type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    try:
        return importlib.metadata.version(package), ""
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(module, "__version__", "unknown")), ""


def _reason(package: str, reason: str) -> str:
    """Return why a package is not there, and that it is needed for training alone, if so."""
    is_for_training = package not in {name for each in PURPOSES[:-1] for name in each.packages}
    return "not installed (only for training)" if is_for_training and reason == "missing" else reason


def _lack(purpose: Purpose, missing: set[str]) -> str:
    lacking = [name for name in purpose.packages if name in missing]
    return f"{', '.join(lacking)} cannot be loaded; in the checkout: {purpose.remedy}" if lacking else ""


def _devices() -> Rows:
    import torch

    from ..model.devices import select_precision

    fast = select_precision("auto", torch.device("cpu")) is torch.bfloat16
    rows = [("cpu", f"threads: {torch.get_num_threads()}, {'bfloat16' if fast else 'float32'} with --precision auto")]
    for number in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(number)
        rows.append((f"cuda:{number}", f"{device.name}, {device.total_memory / 2**30:.0f} GiB"))
    if len(rows) == 1:
        built = torch.version.cuda or torch.version.hip
        rows.append(("cuda", "none found" if built else "none: this PyTorch is built without it"))
    rows.append(("mps", "available" if torch.backends.mps.is_available() else "none"))
    return rows


def _checkpoints(*, load: bool) -> Rows:
    """List all named checkpoints and whether they can be used."""
    found = [*bundled_checkpoints().values(), *user_checkpoints().values()]
    sums = {offer.file_name: offer.sha256 for offer in map(read_offer, found) if offer}
    rows = [(path.stem, _state(path, sums.get(path.name), load=load)) for path in found]
    return [*rows, ("your own", f"in {user_checkpoint_folder()}")]


def _state(path: Path, expected: str | None, *, load: bool) -> str:
    try:
        header = read_header(path)
        if load:
            from ..model.checkpoint import load_checkpoint

            load_checkpoint(path)
        found = file_hash(path)
    except Exception as error:  # whatever is wrong with one checkpoint, the others are looked at
        return failure(error).message
    if expected and expected.lower() != found:
        return f"{path} is not the file that another checkpoint names (its SHA-256 is {found}); download it again."
    state = "readable" if load else "its header is readable"
    check = ", SHA-256 as named" if expected else f", SHA-256 {found[:12]}..."
    default = ", the default" if path.stem == DEFAULT_CHECKPOINT else ""
    return f"{header.modality}, {header.pixel_size:g} mm, {state}{check}{default}"


def _try_translation() -> tuple[str, str]:
    """Translate one slice of the bundled scan; return an empty text and the outcome, or else the problem."""
    try:
        return "", _translate_a_slice()
    except Exception as error:  # drivers, damaged files, missing libraries: all of it is what this command is for
        return failure(error).message, ""


def _translate_a_slice() -> str:
    from ..images.volume import read_volume
    from ..translation.lmi_diffusion import LMIDiffusion
    from ..translation.options import TranslationOptions
    from ..translation.scan_pipeline import translate

    volume, translator = read_volume(resource("SampleData", "sri24_PDw.nii.gz")), LMIDiffusion(precision="auto")
    start = time.perf_counter()
    translate(volume, translator, TranslationOptions.from_preset("fast", slices=(40, 41)))
    return f"one slice in {time.perf_counter() - start:.1f} s on {translator.device}"

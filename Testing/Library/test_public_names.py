"""What `import LMIDiffusionLib as lmi` gives."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import LMIDiffusionLib as lmi

SOURCE = ast.parse(Path(lmi.__file__).read_text())


def test_importing_the_package_needs_the_standard_library_alone_and_loads_nothing_of_its_own() -> None:
    code = """
import sys
before = set(sys.modules)
import LMIDiffusionLib
loaded = set(sys.modules) - before
print(*(name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["LMIDiffusionLib"]


@pytest.mark.parametrize("name", lmi.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(lmi, name)
    assert name in dir(lmi)
    if inspect.isclass(value) or inspect.isfunction(value):
        own = value.__doc__
        assert own and not own.startswith(f"{name}("), "the text that dataclasses make up says nothing"


def test_type_checkers_see_the_names_that_there_are() -> None:
    (block,) = (each for each in SOURCE.body if isinstance(each, ast.If))
    imports = [each for each in block.body if isinstance(each, ast.ImportFrom)]
    seen = {alias.asname: each.module for each in imports for alias in each.names}
    assert seen == lmi._HOMES
    assert (Path(lmi.__file__).parent / "py.typed").is_file()


def test_another_name_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match="no attribute translator"):
        lmi.translator  # noqa: B018


def test_three_lines_translate_a_file(tmp_path: Path) -> None:
    """As the package's own text has it, but for one slice of the sample scan."""
    volume = lmi.read_volume(str(Path(__file__).parents[2] / "LMIDiffusion/Resources/SampleData/sri24_PDw.nii.gz"))
    checkpoint = lmi.load_checkpoint()
    options = lmi.TranslationOptions.of_preset("fast", slices=(40, 41))
    method = lmi.LMIDiffusion(checkpoint, device=torch.device("cpu"))
    translation = lmi.translate(volume, checkpoint, options, method=method)
    lmi.write_volume(str(tmp_path / "t1w.nii.gz"), translation.volume)
    written = lmi.read_volume(tmp_path / "t1w.nii.gz")
    assert written.array.shape == volume.array.shape
    assert written.array[..., 40].max() > 0.3

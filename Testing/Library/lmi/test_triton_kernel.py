"""The kernel for GPUs, in Triton's interpreter, which needs none: it gives what the plain version does."""

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from packaging.version import Version

from LMIDiffusionLib import lmi
from LMIDiffusionLib.lmi import GaussianKernel, HistogramKernel, PairKernel, tiles

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux"),
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton; pip install triton"),
]

# Shape, side of the patches, reach of the search.
_CASES = [
    ((2, 1, 10, 12), 3, 1, "GaussianKernel()"),
    ((2, 1, 10, 12), 3, 0, "HistogramKernel(6)"),
    ((1, 1, 9, 7), 5, 0, "GaussianKernel(0.1)"),
    ((3, 1, 1, 4), 3, 0, "GaussianKernel()"),
]
_SCRIPT = """
import json, sys, torch
from LMIDiffusionLib.lmi import tiles
from LMIDiffusionLib.lmi import GaussianKernel, HistogramKernel, local_mutual_information
local_mutual_information(torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4))
assert "triton" not in sys.modules, "a CPU need not load it"
from LMIDiffusionLib import lmi
from LMIDiffusionLib.lmi import triton_kernel
assert lmi._triton_works(torch.device("cpu")), "in the interpreter it does"
generator, found = torch.Generator().manual_seed(0), []
for shape, patch_size, search, kernel in json.loads(sys.argv[1]):
    reference, image = torch.rand(2, *shape, generator=generator) * 1.4 - 0.2
    options = dict(patch_size=patch_size, search=search, kernel=eval(kernel))
    fast, plain = (each.largest_information(reference, image, **options) for each in (triton_kernel, tiles))
    found.append([fast.shape == plain.shape, float((fast - plain).abs().max()), float(plain.std())])
print(json.dumps(found))
"""


def test_it_gives_what_the_plain_version_gives() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _SCRIPT, json.dumps(_CASES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    for case, (has_shape, difference, spread) in zip(_CASES, json.loads(done.stdout), strict=True):
        assert has_shape, case
        assert difference < 1e-5 < 0.01 < spread, case


_COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from LMIDiffusionLib.lmi.triton_kernel import _information
pointers = dict.fromkeys(("reference", "image", "result"), "*fp32")
numbers = dict.fromkeys(("count", "height", "width"), "i32")
for patch, search, hard in ((3, 1, False), (7, 2, True)):
    constants = {"patch": patch, "search": search, "hard": hard, "log_samples": 2.0, "block": 256}
    places = {(_information.arg_names.index(name),): value for name, value in constants.items()}
    signature = {**pointers, **numbers, **dict.fromkeys(constants, "constexpr")}
    source = ASTSource(_information, signature=signature, constexprs=places)
    print(len(triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm["cubin"]))
"""


def test_it_compiles_for_a_gpu(tmp_path: Path) -> None:
    """The interpreter takes Python that Triton's compiler refuses; the compiler needs no GPU."""
    if Version(importlib.metadata.version("triton")) < Version("3.3"):
        pytest.skip("this Triton takes a source in another form")
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", _COMPILE], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert min(map(int, done.stdout.split())) > 1000


class _OtherKernel:
    def prepare(self, image: torch.Tensor) -> torch.Tensor:
        return image

    def similarity(self, first: torch.Tensor, second: torch.Tensor, out: torch.Tensor) -> None:
        torch.eq(first, second, out=out)


@pytest.mark.parametrize(
    ("on_gpu", "dtype", "kernel", "works", "is_plain"),
    [
        (True, torch.float32, GaussianKernel(), True, False),
        (True, torch.float32, HistogramKernel(), True, False),
        (True, torch.float32, GaussianKernel(), False, True),
        (True, torch.float64, GaussianKernel(), True, True),
        (True, torch.float32, _OtherKernel(), True, True),
        (False, torch.float32, GaussianKernel(), True, True),
    ],
)
def test_it_serves_what_it_can_and_the_plain_version_the_rest(
    on_gpu: bool, dtype: torch.dtype, kernel: PairKernel, works: bool, is_plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmi, "_triton_works", lambda device: works)
    reference = SimpleNamespace(is_cuda=on_gpu, dtype=dtype, device=torch.device("cuda"))
    chosen = lmi._implementation(reference, kernel)  # type: ignore[arg-type]
    assert (chosen is tiles.largest_information) == is_plain


def test_triton_without_a_compiler_is_noticed_once_and_without_an_error() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert not lmi._triton_works(torch.device("cpu"))

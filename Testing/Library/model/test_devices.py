"""Choice of the device."""

import pytest
import torch
from translating import CPU

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.model.devices import select_device, select_precision

NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
NO_MPS = pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has MPS")


@pytest.mark.parametrize(
    "name",
    [
        *("", "gpu", "cuda:x", "cuda:-1", "meta", "xpu", "Cpu", "cpu:3", f"cuda:{max(7, torch.cuda.device_count())}"),
        *(pytest.param(name, marks=NO_CUDA) for name in ("cuda", "cuda:0", "cuda:7")),
        pytest.param("mps", marks=NO_MPS),
    ],
)
def test_a_missing_device_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(UserError) as refusal:
        select_device(name)
    message = str(refusal.value)
    assert name in message
    assert message.endswith(".") and "\n" not in message


def test_the_cpu_is_always_there() -> None:
    assert select_device("cpu") == CPU


@NO_CUDA
@NO_MPS
def test_auto_is_the_cpu_where_there_is_nothing_else() -> None:
    assert select_device("auto") == CPU


def test_auto_is_bfloat16_only_on_processors_that_gain_from_it() -> None:
    gains = hasattr(torch.cpu, "_is_avx512_bf16_supported") and torch.cpu._is_avx512_bf16_supported()
    assert select_precision("auto", CPU) == (torch.bfloat16 if gains else torch.float32)
    assert select_precision("auto", torch.device("cuda")) == torch.float32
    assert select_precision("32", CPU) == torch.float32
    assert select_precision("bf16", CPU) == torch.bfloat16


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="auto, 32, bf16"):
        select_precision("16", CPU)

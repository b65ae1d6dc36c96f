"""Properties of translations on any hardware: memory that runs out, precision, threads."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from translating import CPU, MIDDLE, STEPS, counted, image, run

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.interface.progress import Progress
from LMIDiffusionLib.translation.lmi_diffusion import LMIDiffusion

Array = NDArray[np.number]


OUT_OF_MEMORY = pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.5 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
    ids=["cuda", "mps", "cpu"],
)


@OUT_OF_MEMORY
def test_out_of_memory_halves_the_batch_and_changes_no_result(
    method: LMIDiffusion, head: Volume, whole: Array, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    batches = counted(monkeypatch, lambda batch, call: error if batch > 2 else None)
    progress: list[Progress] = []
    result = image(method, head, slices=(1, 10), on_progress=progress.append)
    assert batches[:3] == [8, 4, 2]
    assert set(batches[2:]) == {2, 1}, "the batch grew again"
    np.testing.assert_allclose(result[..., 1:10], whole[..., 1:10], atol=1e-4)
    fractions = [each.fraction for each in progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)


def test_out_of_memory_within_a_batch_restarts_it_without_progress_falling(
    method: LMIDiffusion, head: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = image(method, head, slices=(7, 12), samples=2, batch_size=4)
    error = torch.OutOfMemoryError("CUDA out of memory.")
    counted(monkeypatch, lambda batch, call: error if call == STEPS + 2 else None)
    progress: list[Progress] = []
    result = image(method, head, slices=(7, 12), samples=2, batch_size=4, on_progress=progress.append)
    np.testing.assert_allclose(result, undisturbed, atol=1e-4)
    fractions = [each.fraction for each in progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)


@OUT_OF_MEMORY
def test_out_of_memory_with_a_single_slice_is_a_user_error(
    method: LMIDiffusion, head: Volume, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    batches = counted(monkeypatch, lambda batch, call: error)
    with pytest.raises(UserError, match="too little memory") as refusal:
        run(method, head)
    assert batches == [8, 4, 2, 1]
    message = str(refusal.value)
    assert message.endswith(".") and "\n" not in message


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), ValueError("memory"), KeyboardInterrupt()])
def test_errors_other_than_out_of_memory_propagate(
    method: LMIDiffusion, head: Volume, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    batches = counted(monkeypatch, lambda batch, call: error)
    with pytest.raises(type(error)) as raised:
        run(method, head)
    assert raised.value is error
    assert len(batches) == 1


def test_bfloat16_changes_the_result_by_little_more_than_its_rounding(
    method: LMIDiffusion, head: Volume, middle: Array
) -> None:
    rounded = LMIDiffusion(method.checkpoint, device=CPU, precision=torch.bfloat16)
    difference = image(rounded, head, slices=MIDDLE) - middle
    assert 0 < float(np.abs(difference).max()) < 0.05
    assert float(np.sqrt((difference**2).mean())) < 0.01


def test_bfloat16_rounds_the_networks_products_alone(method: LMIDiffusion, head: Volume) -> None:
    rounded = LMIDiffusion(method.checkpoint, device=CPU, precision=torch.bfloat16)
    dtypes: list[torch.dtype] = []
    inner = rounded.network.unet.first
    handles = [
        inner.register_forward_hook(lambda module, inputs, output: dtypes.append(output.dtype)),
        rounded.network.register_forward_pre_hook(lambda module, inputs: dtypes.extend(x.dtype for x in inputs[:3])),
    ]
    image(rounded, head, slices=MIDDLE)
    for handle in handles:
        handle.remove()
    assert dtypes == [torch.float32, torch.float32, torch.float32, torch.bfloat16] * STEPS


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_threads_change_nothing(method: LMIDiffusion, head: Volume, precision: torch.dtype) -> None:
    chosen = LMIDiffusion(method.checkpoint, device=CPU, precision=precision)
    threads = torch.get_num_threads()
    results = []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(image(chosen, head, slices=MIDDLE))
    torch.set_num_threads(threads)
    tolerance = 1e-4 if precision == torch.float32 else 0.02
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=tolerance)

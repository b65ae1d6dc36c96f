"""Jobs shared out among processes on several devices and nodes; a job that fails does not stop the others."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import lightning
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.strategies.ddp import DDPStrategy
from lightning.fabric.utilities.exceptions import MisconfigurationException

from ..errors import UserError
from ..images.files import write_text
from ..interface.events import failure
from .rendezvous import meet_on_loopback

_Job = TypeVar("_Job")

_HEARTBEAT = 0.2  # seconds
# Processes wait for the slowest at the end.
_PATIENCE = datetime.timedelta(days=30)


def check_shared_device(device: str) -> None:
    """Check that a device is a kind such as "cuda", not a single one such as "cuda:1".

    Raises:
        UserError: it is a single device.
    """
    if ":" in device:
        raise UserError(f"{device} names one GPU; give --device cuda and --devices.")


def launch(device: str, *, devices: str, nodes: int) -> lightning.Fabric:
    """Start one process per device, or join the processes that SLURM or torchrun has started."""
    chosen: dict[str, Any] = {"accelerator": device, "devices": devices, "num_nodes": nodes}
    if _is_alone_in_slurm():
        chosen["plugins"] = [LightningEnvironment()]
    try:
        fabric = lightning.Fabric(**chosen)
    except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
        reason = next(iter(str(error).splitlines()), "").rstrip(".")
        raise UserError(f"These devices and nodes cannot be used ({reason}); choose other --devices.") from error
    if fabric.world_size > 1:
        strategy = DDPStrategy(timeout=_PATIENCE)
        fabric = lightning.Fabric(**chosen, strategy=strategy)
        if nodes == 1:
            meet_on_loopback(strategy.cluster_environment, rank=fabric.global_rank, processes=fabric.world_size)
    fabric.launch()
    return fabric


def _is_alone_in_slurm() -> bool:
    """True in a batch script that asked for several tasks but was not started by srun, which would start them."""
    return "SLURM_NTASKS" in os.environ and "SLURM_STEP_ID" not in os.environ


def share(jobs: Sequence[_Job], fabric: lightning.Fabric) -> Sequence[_Job]:
    """Return this process's part of the jobs: consecutive ones, which often read the same files."""
    rank, processes = fabric.global_rank, fabric.world_size
    return jobs[len(jobs) * rank // processes : len(jobs) * (rank + 1) // processes]


@contextlib.contextmanager
def failures_kept(paths: Iterable[Path]) -> Iterator[None]:
    """Write the reason of an exception to these files and suppress it; remove the files of an earlier failure first.

    The first line of a file is a sentence for the user, the rest a traceback.
    """
    paths = [*paths]
    for path in paths:
        path.unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, failure_text(error))


def end_with_parent(parent: int) -> None:
    """End this process once its parent has been killed, so that it does not write beside the next call."""
    while os.getppid() == parent:
        time.sleep(_HEARTBEAT)
    os._exit(1)


def failure_text(error: BaseException, shown: Callable[[str], str] = str) -> str:
    """Return a sentence for the user, then lines for a programmer; `shown` renames the file that the sentence names."""
    event = failure(error)
    message = dataclasses.replace(event, place=shown(event.place)).message
    return f"{message}\n{''.join(traceback.format_exception(error))}"


def kept_failure(path: Path) -> str:
    """Read the sentence for the user from a file of a failure."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[0] if lines else "It failed, and the reason is lost; call again."

"""Jobs shared out among processes on several devices and nodes; a job that fails does not stop the others."""

from __future__ import annotations

import contextlib
import datetime
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import lightning
from lightning.fabric.strategies.ddp import DDPStrategy

from ..errors import UserError
from ..images.files import atomic_path
from ..interface.events import failure

_Job = TypeVar("_Job")

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
    fabric = lightning.Fabric(**chosen)
    if fabric.world_size > 1:
        fabric = lightning.Fabric(**chosen, strategy=DDPStrategy(timeout=_PATIENCE))
    fabric.launch()
    return fabric


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
            with atomic_path(path) as temporary:
                temporary.write_text(f"{failure(error).message}\n{traceback.format_exc()}", encoding="utf-8")


def kept_failure(path: Path) -> str:
    """Read the sentence for the user from a file of `failures_kept`."""
    return path.read_text(encoding="utf-8").splitlines()[0]

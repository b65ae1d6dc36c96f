"""Jobs that processes on several devices and nodes share out among themselves, and failures that do not stop them."""

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
    """Make sure that a device names a kind, of which several may work.

    Raises:
        UserError: it names one of them.
    """
    if ":" in device:
        raise UserError(f"The device {device} is too narrow here; give --device cuda and --devices.")


def launch(device: str, *, devices: str, nodes: int) -> lightning.Fabric:
    """Start a process for every device, each of which comes here, or join those that SLURM or torchrun has started."""
    chosen: dict[str, Any] = {"accelerator": device, "devices": devices, "num_nodes": nodes}
    fabric = lightning.Fabric(**chosen)
    if fabric.world_size > 1:
        fabric = lightning.Fabric(**chosen, strategy=DDPStrategy(timeout=_PATIENCE))
    fabric.launch()
    return fabric


def share(jobs: Sequence[_Job], fabric: lightning.Fabric) -> Sequence[_Job]:
    """This process's part: jobs that follow one another, which often read the same files."""
    rank, processes = fabric.global_rank, fabric.world_size
    return jobs[len(jobs) * rank // processes : len(jobs) * (rank + 1) // processes]


@contextlib.contextmanager
def failures_kept(paths: Iterable[Path]) -> Iterator[None]:
    """Where something goes wrong, write the reason to these files, and go on; files of an earlier failure go.

    Their first line is a sentence for the user, the rest is for a programmer.
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
    """The sentence for the user in a file of `failures_kept`."""
    return path.read_text(encoding="utf-8").splitlines()[0]

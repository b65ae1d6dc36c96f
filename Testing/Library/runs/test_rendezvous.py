"""Processes of one machine meet where no other machine can reach them, however they were started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's list of sockets")

# Each process lists the addresses of its own listening sockets.
_LISTENING = """
import ipaddress, json, os, sys
from pathlib import Path

def tell(rank):
    own = set()
    for each in Path("/proc/self/fd").iterdir():
        try:
            own.add(os.readlink(each))
        except OSError:
            pass
    hosts = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/self/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                words = bytes.fromhex(fields[1].partition(":")[0])
                turned = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
                hosts.add(str(ipaddress.ip_address(turned)))
    Path(sys.argv[1], f"{rank}.json").write_text(json.dumps(sorted(hosts)))
"""

_COHORT = """
from LMIDiffusionLib.runs.distributed import launch

fabric = launch("cpu", devices="2", nodes=1)
assert fabric.broadcast(fabric.global_rank) == 0
tell(fabric.global_rank)
fabric.barrier()
"""

_TRAINING = """
from lightning.pytorch import Callback
from lightning.pytorch.demos.boring_classes import BoringModel
from LMIDiffusionLib.training.options import FitOptions
from LMIDiffusionLib.training.trainer import make_trainer

class Tell(Callback):
    def on_train_start(self, trainer, module):
        tell(trainer.global_rank)

trainer = make_trainer(Path(sys.argv[1], "out"), FitOptions(steps=1, steps_per_epoch=1, devices="2"), [Tell()])
assert trainer.world_size == 2
trainer.fit(BoringModel())
"""


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _own_address() -> str:
    return socket.gethostname()


def _environments(starter: str) -> list[dict[str, str]]:
    """Return what each started process finds in its environment."""
    if starter == "Lightning":
        return [{}]
    if starter == "Slurm without srun":
        return [{"SLURM_JOB_ID": "77", "SLURM_NTASKS": "8", "SLURM_JOB_NAME": "job"}]
    port = {"MASTER_ADDR": _own_address(), "MASTER_PORT": str(_free_port())}
    if starter == "by hand":
        return [{**port, "LOCAL_RANK": str(rank)} for rank in range(2)]
    job = {"SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_JOB_NAME": "job", **port}
    job |= {"SLURM_NODELIST": _own_address(), "SLURM_NODEID": "0", "SLURM_NTASKS_PER_NODE": "2"}
    return [{**job, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)} for rank in range(2)]


@pytest.mark.parametrize(
    ("starter", "work"),
    [
        ("Lightning", _COHORT),
        ("by hand", _COHORT),
        ("Slurm", _COHORT),
        ("Slurm without srun", _COHORT),
        ("Lightning", _TRAINING),
    ],
    ids=[
        "cohort by Lightning",
        "cohort by hand",
        "cohort by Slurm",
        "cohort by Slurm without srun",
        "training by Lightning",
    ],
)
def test_two_processes_of_one_machine_listen_on_its_loopback_interface_alone(
    starter: str, work: str, tmp_path: Path
) -> None:
    script = tmp_path / "work.py"
    script.write_text(_LISTENING + work)
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(("MASTER_", "TORCHELASTIC_"))}
    started = [
        subprocess.Popen(
            [sys.executable, script, tmp_path],
            env={**inherited, "OMP_NUM_THREADS": "1", **more},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for more in _environments(starter)
    ]
    try:
        remarks = [each.communicate(timeout=300)[1] for each in started]
    finally:
        for each in started:
            with contextlib.suppress(ProcessLookupError):  # all have ended, as they should
                os.killpg(each.pid, signal.SIGKILL)
    assert [each.returncode for each in started] == [0] * len(started), remarks
    heard = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert heard[0], "no process hosts a store: the test looks at the wrong thing"
    assert {host for hosts in heard for host in hosts} == {"127.0.0.1"}

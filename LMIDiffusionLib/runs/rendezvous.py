"""A meeting place for the processes of one machine that no other machine can reach.

PyTorch's own store listens on all network interfaces, and Gloo and NCCL on the interface of the machine's name. Where
all processes run on one machine, the first one hosts the store on the loopback interface, as `torchrun` hosts one, and
Gloo and NCCL are told to stay there too.
"""

from __future__ import annotations

import os
import socket

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment

from ..errors import UserError

_LOOPBACK = "127.0.0.1"
_hosted: list[object] = []  # they serve until the process ends


def meet_on_loopback(environment: ClusterEnvironment | None, *, rank: int, processes: int) -> None:
    """Let the processes of this machine meet on its loopback interface; call it before they join.

    `torchrun` has a store of its own, and PyTorch takes no socket for one on Windows: both stay as they are.

    Args:
        environment: how the processes were started; it knows the port.
        rank: number of this process among all.
        processes: number of processes, all of them on this machine.

    Raises:
        UserError: the port is in use.
    """
    if environment is None or "TORCHELASTIC_RUN_ID" in os.environ or os.name == "nt":
        return
    port = environment.main_port
    if rank == 0:
        _hosted.append(_host(port, processes))
    os.environ |= {
        "MASTER_ADDR": _LOOPBACK,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": str(True),  # all processes are guests of a store, the first one too
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(name, _loopback_interface())


def _host(port: int, processes: int) -> object:
    """Start a store that listens on the loopback interface alone."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_LOOPBACK, port))
        except OSError as error:
            raise UserError(
                f"Port {port} is in use; set the environment variable MASTER_PORT to a free one."
            ) from error
        return torch.distributed.TCPStore(  # type: ignore[attr-defined]  # PyTorch does not list it as its own
            _LOOPBACK,
            port,
            processes,
            is_master=True,
            wait_for_workers=False,
            multi_tenant=True,
            master_listen_fd=listener.detach(),
            use_libuv=False,  # the store built on libuv cannot take over a socket in PyTorch 2.6
        )


def _loopback_interface() -> str:
    names = [name for _, name in socket.if_nameindex()]
    return next((name for name in ("lo", "lo0") if name in names), "lo")

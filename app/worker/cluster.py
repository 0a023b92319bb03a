"""Working on a Ray cluster instead of this machine: what was asked for, and the executor that comes of it. Ray is imported once
somebody asks."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from core.errors import BadInput, Unavailable
from core.executors.cluster import spool
from core.executors.cluster.connection import Connection, Node
from core.executors.cluster.executor import RayExecutor
from core.executors.cluster.fleet import Wanted
from core.executors.lanes import LanesExecutor
from core.executors.protocol import Executor, Slot
from storage import queue
from storage.home import Home

if TYPE_CHECKING:
    from sqlite_utils import Database

_NAMED = 4
"""Machines that are named in a line; of more there is only the number."""


@dataclass(frozen=True)
class Asked:
    """The options of `--executor ray`, as plain data. `slots` are those on each machine."""

    address: str | None = None
    devices: tuple[str, ...] = ()
    slots: int | None = None
    threads: int | None = None
    memory_fraction: float | None = None
    lanes: int | None = None
    gpu_share: float | None = None

    def refuse(self) -> None:
        """Raises BadInput for what does not go together, without asking any cluster."""
        if len(self.devices) > 1 or any(device not in ("auto", "cpu", "cuda") for device in self.devices):
            raise BadInput(
                f"--device {' --device '.join(self.devices)}: a cluster hands its devices out itself; use auto, cpu or cuda"
            )
        if self.gpu_share is not None and not 0 < self.gpu_share <= 1:
            raise BadInput(f"--gpu-share {self.gpu_share:g}: expected more than 0 and at most 1")
        if self.memory_fraction is not None and not 0 < self.memory_fraction <= 1:
            raise BadInput(f"--memory-fraction {self.memory_fraction:g}: expected more than 0 and at most 1")


class Cluster:
    """A cluster that answers. Its connection goes to the first executor that is made; a later one makes its own."""

    def __init__(self, home: Home, asked: Asked) -> None:
        """Raises BadInput for options that do not go together and where Ray is not installed, Unavailable where no cluster
        answers, or none of its machines has what was asked for by name."""
        asked.refuse()
        self._home = home
        self._asked = asked
        self._connection: Connection | None = self._connect()
        nodes = self._connection.nodes()
        self._wanted = _wanted(asked, nodes)
        self.words = _in_words(self._wanted, nodes)
        """How much room there is, and where."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """One like all of them."""
        return (self._wanted.slot,)

    def executor(self, db: Database, say: Callable[[str], None]) -> RayExecutor:
        """To work with; closing it gives the connection up. `say` hears of machines that come to nothing."""
        connection, self._connection = self._connection or self._connect(), None
        done = partial(queue.is_complete, db)
        return RayExecutor(connection, self._wanted, _home_id(self._home), say, done)

    def close(self) -> None:
        """Give up a connection that no executor has."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> Connection:
        return Connection(self._asked.address, self._home.logs / "ray.log")


def executor_for(
    home: Home, db: Database, slots: Sequence[Slot], cluster: Cluster | None, say: Callable[[str], None]
) -> Executor:
    """What carries a worker's trials: processes of this machine with these slots, or a cluster."""
    return LanesExecutor(slots, home.logs / "children.log") if cluster is None else cluster.executor(db, say)


def _wanted(asked: Asked, nodes: Sequence[Node]) -> Wanted:
    device = asked.devices[0] if asked.devices else "auto"
    gpus = any(node.gpus > 0 for node in nodes)
    if device == "auto":
        device = "cuda" if gpus else "cpu"
    if device == "cuda" and not gpus:
        raise Unavailable("--device cuda: no machine of the cluster has a GPU that Ray knows of; use --device cpu")
    if device == "cpu" and (asked.lanes is not None or asked.gpu_share is not None):
        raise BadInput(
            "--lanes and --gpu-share are for GPUs, and this is for cpu; --slots counts trials on each machine"
        )
    if device == "cuda" and asked.slots is not None:
        raise BadInput("--slots counts CPU slots on each machine of a cluster; --lanes counts trials on each GPU")
    return Wanted(device, asked.threads or 1, asked.slots, asked.memory_fraction, asked.lanes, asked.gpu_share or 1.0)


def _in_words(wanted: Wanted, nodes: Sequence[Node]) -> str:
    useful = [node for node in nodes if wanted.on(node)]
    rooms = sum(wanted.on(node) for node in useful)
    machines = f"{len(nodes)} machine{'' if len(nodes) == 1 else 's'}"
    if not useful:
        return f"cluster of {machines}, none of which has room yet"
    noun = "slot" if wanted.device == "cpu" else "GPU" if wanted.gpu_share == 1.0 else f"{wanted.gpu_share:g}-GPU share"
    names = ", ".join(node.name for node in useful) if len(useful) <= _NAMED else f"on {len(useful)} of them"
    return f"cluster of {machines}: {rooms} {noun}{'' if rooms == 1 else 's'} on {wanted.device} ({names})"


def _home_id(home: Home) -> str:
    """What the spools of a cluster know this home by; it goes where the home goes."""
    path = home.root / "cluster-id"
    with contextlib.suppress(OSError):
        known = path.read_text(encoding="ascii", errors="replace").strip()
        if len(known) == 32 and known.isalnum():
            return known
    made = uuid.uuid4().hex
    try:
        spool.place(home.root, path.name, made.encode())
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror or os.strerror(error.errno or 0)})") from None
    return made

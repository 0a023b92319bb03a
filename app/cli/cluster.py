"""The options that take the work to a Ray cluster, and what comes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.context import Context
from core.errors import BadInput

if TYPE_CHECKING:
    from app.worker.cluster import Asked, Cluster

ExecutorName = Annotated[str, typer.Option("--executor", help="process (this machine), or ray (a cluster's machines).")]
Address = Annotated[
    str | None,
    typer.Option(help="Of the Ray cluster: HOST:PORT or auto; RAY_ADDRESS, else this machine's if not given."),
]
GpuShare = Annotated[
    float | None,
    typer.Option("--gpu-share", help="Share of a GPU that the cluster is asked for at a time, such as 0.5."),
]


def cluster_asked(
    executor: str,
    address: str | None,
    gpu_share: float | None,
    slots: int | None,
    device: list[str] | None,
    threads: int | None,
    memory_fraction: float | None,
    lanes: int | None,
) -> Asked | None:
    """What is asked of a cluster; None for this machine. Raises BadInput for what does not go together."""
    from app.worker.cluster import Asked

    if executor not in ("process", "ray"):
        raise BadInput(f"--executor {executor}: not one of process, ray")
    if executor == "process":
        for option, value in (("--address", address), ("--gpu-share", gpu_share)):
            if value is not None:
                raise BadInput(f"{option} is for a cluster; add --executor ray")
        return None
    asked = Asked(address, tuple(device or ()), slots, threads, memory_fraction, lanes, gpu_share)
    asked.refuse()
    return asked


def joined(context: Context, asked: Asked) -> Cluster:
    """The cluster, once what it has was said. Raises as `Cluster`."""
    from app.worker.cluster import Cluster

    cluster = Cluster(context.home, asked)
    context.say(cluster.words)
    return cluster

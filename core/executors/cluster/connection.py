"""The connection to a Ray cluster, which says nothing of its own on the terminal. The only place that starts Ray."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import BadInput, Unavailable

_REACH_SECONDS = 5.0
_DEFAULT_PORT = 6379


@dataclass(frozen=True)
class Node:
    """A living machine of the cluster."""

    id: str
    name: str
    """Its host's name; where several nodes share one, with a number."""
    cpus: int
    gpus: float


class Connection:
    """Connected until `close`. `log` takes what Ray would print."""

    def __init__(self, address: str | None, log: Path) -> None:
        """Raises BadInput where Ray is not installed, Unavailable where no cluster answers at `address` (None: RAY_ADDRESS, else
        the one of this machine, which is started if there is none)."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns that it will be so one day
        try:
            import ray
        except ImportError:
            raise BadInput("--executor ray: Ray is not installed here: pip install 'innate[ray]'") from None
        self.ray: Any = ray
        self._log = log
        self._names: dict[str, str] = {}
        address = address or os.environ.get("RAY_ADDRESS") or None
        self._own = not ray.is_initialized()
        if not self._own:
            return
        if address in (None, "auto"):
            address = _known(address) or "local"
        if address != "local":
            _reach(address)
        _print_into(log)
        with _own_signals():
            try:
                ray.init(
                    address=address,
                    namespace="innate",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    include_dashboard=False if address == "local" else None,
                )
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                lines = str(error).strip().splitlines() or [type(error).__name__]
                raise Unavailable(
                    f"no Ray cluster answers at {address} ({lines[0]}); ray start --head begins one"
                ) from None

    def nodes(self) -> list[Node]:
        """The living machines."""
        found = []
        for told in self._told():
            if not told["Alive"]:
                continue
            resources = told["Resources"]
            found.append(
                Node(
                    told["NodeID"],
                    self._name(told["NodeID"], told["NodeManagerHostname"]),
                    int(resources.get("CPU", 0)),
                    float(resources.get("GPU", 0)),
                )
            )
        return found

    def lives(self, node: str) -> bool:
        """Whether a machine is still part of the cluster."""
        return any(told["NodeID"] == node and told["Alive"] for told in self._told())

    def _told(self) -> list[dict[str, Any]]:
        try:
            return list(self.ray.nodes())
        except Exception as error:  # its own kinds for a head that is gone
            raise Unavailable(f"the Ray cluster no longer answers ({type(error).__name__})") from None

    def note(self, text: str) -> None:
        """For the log alone: what Ray says at length."""
        _append(self._log, text.splitlines())

    def close(self) -> None:
        """Leave the cluster, unless somebody else joined it."""
        if self._own:
            with contextlib.suppress(Exception), _own_signals():
                self.ray.shutdown()

    def _name(self, node: str, host: str) -> str:
        if node not in self._names:
            taken = set(self._names.values())
            number = 1
            while (name := host if number == 1 else f"{host}#{number}") in taken:
                number += 1
            self._names[node] = name
        return self._names[node]


def _known(address: str | None) -> str | None:
    """HOST:PORT of the cluster that runs on this machine, or was joined last; None where `address` asks for none and there is
    none. Ray 2.60 itself takes "auto", and then starts no actor."""
    from ray._private import services

    try:
        canonical: Any = services.canonicalize_bootstrap_address
        found = canonical(address)
    except ConnectionError:
        raise Unavailable("--address auto: no Ray cluster runs on this machine; ray start --head begins one") from None
    return None if found is None else str(found)


def _reach(address: str) -> None:
    """Raises Unavailable where nobody listens: Ray itself tries for many minutes."""
    if address.startswith("ray://"):
        raise BadInput(
            f"--address {address}: give the cluster's own address, HOST:{_DEFAULT_PORT}; a Ray client is not enough"
        )
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise BadInput(f"--address {address}: expected HOST:PORT, auto or local")
    deadline, wrong = time.monotonic() + _REACH_SECONDS, "no answer"
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host.strip("[]"), int(port)), 2.0).close()
            return
        except OSError as error:
            wrong = error.strerror or str(error) or wrong
            if isinstance(error, ConnectionRefusedError | socket.gaierror):
                break
    raise Unavailable(f"no Ray cluster answers at {address} ({wrong}); ray start --head --port {port} begins one there")


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself, which is ours to answer."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _append(log: Path, lines: Sequence[str]) -> None:
    with contextlib.suppress(OSError), log.open("a", encoding="utf-8", errors="replace") as file:
        file.writelines(f"{line}\n" for line in lines)


def _print_into(log: Path) -> None:
    """Have what Ray's background threads print, on stdout of all places, appended to a file."""
    from ray._private import worker

    def printed(data: Mapping[str, Any], *_: Any, **__: Any) -> None:
        _append(log, [f"({data.get('pid')}) {line}" for line in data.get("lines", ())])

    replaced: Callable[..., None] = printed
    with contextlib.suppress(AttributeError):
        worker.print_to_stdstream = replaced

"""The actor that holds a station. Its class travels by value: the worker process of a cluster may find somebody else's `core`
first, and so gets ours on its path before anything of ours is unpickled. For the same reason arguments and answers are bytes."""

from __future__ import annotations

import pickle
from typing import Any


def actor_class() -> Any:
    """The plain class, for `ray.remote`."""

    class InnateStation:
        """Three calls at a time: a report that waits, messages, the end."""

        def __init__(self, setup: bytes) -> None:
            from importlib import import_module

            launch = import_module("innate_launcher.__main__").launch_module()
            if launch is None:
                raise ImportError("core/launch.py is missing beside innate_launcher")
            launch.put_own_packages_first()
            from core.executors.cluster.station import Station

            self._refs: dict[str, Any] = {}
            self._station: Any = Station(pickle.loads(setup), self._fetched)

        def _fetched(self, content: Any) -> Any:
            """The bytes, where `content` names what was put for all machines; that is let go of."""
            import ray

            return ray.get(self._refs.pop(content)) if isinstance(content, str) else content

        def arrived(self) -> bytes:
            return pickle.dumps(self._station.arrived())

        def take(self, messages: bytes, refs: dict[str, Any]) -> None:
            self._refs.update(refs)
            self._station.take(pickle.loads(messages))

        def report(self, patience: float) -> bytes:
            return pickle.dumps(self._station.report(patience), protocol=pickle.HIGHEST_PROTOCOL)

        def close(self) -> None:
            self._station.close()

    return InnateStation

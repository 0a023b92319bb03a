"""Checkpoints written aside: by a thread, from a copy in the host's memory, while the training goes on. Imports torch: for
children only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from core.training import checkpoints


class Aside:
    """At most one checkpoint at `path` in `every` seconds; with 0 each is written at once, in this thread."""

    def __init__(self, path: Path, every: float) -> None:
        self._path = path
        self._every = every
        self._last = time.monotonic()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._last >= self._every

    def write(self, content: Mapping[str, Any]) -> None:
        """Write `content` as it is now. Raises what went wrong with the one before."""
        if self._every == 0:
            checkpoints.write(self._path, content)
            return
        self._join()
        self._last = time.monotonic()
        self._thread = threading.Thread(
            target=self._write, args=(on_the_host(content),), name="checkpoint", daemon=True
        )
        self._thread.start()

    def write_now(self, content: Mapping[str, Any]) -> None:
        """Write `content` and wait until it is on disk. Raises what went wrong, also with the one before."""
        self._join()
        checkpoints.write(self._path, content)
        self._last = time.monotonic()

    def _write(self, content: Mapping[str, Any]) -> None:
        try:
            checkpoints.write(self._path, content)
        except BaseException as error:  # raised in the thread that trains
            self._error = error

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error


def on_the_host(content: Any) -> Any:
    """A copy whose tensors lie in the host's memory and are nobody else's."""
    if isinstance(content, Tensor):
        return content.detach().to("cpu", copy=True)
    if isinstance(content, Mapping):
        return {key: on_the_host(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(on_the_host(value) for value in content)
    return content

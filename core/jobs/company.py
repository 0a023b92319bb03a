"""What a trial shares its process with, where it is not alone in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.datasets.arrays import Arrays
from core.records.data import DatasetSource

Load = Callable[[DatasetSource, Path, Path, str, str | None], tuple[Arrays, str]]
"""As `core.datasets.load_planned`."""


@dataclass(frozen=True)
class Company:
    """A process that runs several trials, each in a thread of its own; it has settled torch for all of them.

    `lanes` is how many it may run at once, `beside()` how many it has run at once beside the one that asks since that one last
    told anything.
    """

    lanes: int
    beside: Callable[[], int]
    load: Load

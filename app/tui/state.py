"""What the screens remember from one run to the next, in `tui.json` of the home. Losing it loses nothing else."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_COLUMNS = ("study", "optimizer", "activation", "seed", "state", "clean", "worst", "innate", "trust")


@dataclass
class Remembered:
    """The state of the screens. Marks and baseline are (study, trial id)."""

    screen: str = "runs"
    theme: str = "innate-dark"
    filter: str = ""
    sort: str | None = None
    descending: bool = False
    columns: list[str] = field(default_factory=lambda: list(DEFAULT_COLUMNS))
    preview: bool = True
    marks: list[tuple[str, str]] = field(default_factory=list)
    baseline: tuple[str, str] | None = None
    compare: dict[str, Any] = field(default_factory=dict)
    """The study, chart, score and factors looked at last."""
    draft: dict[str, Any] | None = None
    """The study being composed, in the study file's own keys."""


def load(path: Path | None) -> Remembered:
    """What was saved; a file that cannot be read or has another shape is forgotten."""
    from pydantic import TypeAdapter, ValidationError

    if path is None:
        return Remembered()
    try:
        return TypeAdapter(Remembered).validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return Remembered()


def save(state: Remembered, path: Path | None) -> None:
    """Write it whole or not at all; a home that cannot be written keeps what it has."""
    if path is None or not path.parent.is_dir():
        return
    partial = path.with_name(path.name + ".partial")
    with contextlib.suppress(OSError):
        partial.write_text(json.dumps(asdict(state)), encoding="utf-8")
        partial.replace(path)

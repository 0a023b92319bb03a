"""What the screens remember from one run to the next, in `tui.json` of the home. Losing it loses nothing else."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Remembered:
    """The state of the screens. Marks and baseline are (study, trial id)."""

    screen: str = "lab"
    theme: str = ""
    """The one that was chosen; none: as the terminal's ground."""
    filter: str = ""
    sort: str | None = None
    descending: bool = False
    columns: list[str] = field(default_factory=list)
    """Of the list of runs; none chosen: those that tell the runs apart, as many as have room."""
    preview: bool = True
    marks: list[tuple[str, str]] = field(default_factory=list)
    baseline: tuple[str, str] | None = None
    lab: dict[str, Any] = field(default_factory=dict)
    """The study, grouping, score and ε looked at last, and what is open."""
    views: dict[str, Any] = field(default_factory=dict)
    """What the Lab's views are turned to: factors, attack, curve."""
    findings: dict[str, Any] = field(default_factory=dict)
    """The study, what stands beside it and the part of the evidence looked at last."""
    left_at: float | None = None
    """When the screens were used last, in Unix seconds."""
    draft: dict[str, Any] | None = None
    """The study being composed, in the study file's own keys."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_text, value))


def _is_list_of(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(kind, value))


# By hand: importing pydantic for this file alone would cost a tenth of a second before the first screen.
_SHAPES: dict[str, Callable[[Any], bool]] = {
    "screen": _is_text,
    "theme": _is_text,
    "filter": _is_text,
    "sort": lambda value: value is None or _is_text(value),
    "descending": lambda value: isinstance(value, bool),
    "columns": _is_list_of(_is_text),
    "preview": lambda value: isinstance(value, bool),
    "marks": _is_list_of(_is_pair),
    "baseline": lambda value: value is None or _is_pair(value),
    "lab": lambda value: isinstance(value, dict),
    "views": lambda value: isinstance(value, dict),
    "findings": lambda value: isinstance(value, dict),
    "left_at": lambda value: value is None or (isinstance(value, float) and math.isfinite(value)),
    "draft": lambda value: value is None or isinstance(value, dict),
}


def load(path: Path | None) -> Remembered:
    """What was saved; whatever cannot be read or has another shape is forgotten."""
    state = Remembered()
    if path is None:
        return state
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return state
    for name, fits in _SHAPES.items():
        if isinstance(content, dict) and name in content and fits(content[name]):
            setattr(state, name, content[name])
    state.marks = [(study, trial) for study, trial in state.marks]
    state.baseline = None if state.baseline is None else (state.baseline[0], state.baseline[1])
    return state


def save(state: Remembered, path: Path | None) -> None:
    """Write it whole or not at all; a home that cannot be written keeps what it has."""
    if path is None or not path.parent.is_dir():
        return
    partial = path.with_name(path.name + ".partial")
    with contextlib.suppress(OSError):
        partial.write_text(json.dumps(asdict(state)), encoding="utf-8")
        partial.replace(path)

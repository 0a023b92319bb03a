"""Other weights of a trial, beside this home's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.report.text import moment, percent, table
from core.names import NORM_SIGNS, short_id

if TYPE_CHECKING:
    from storage.copies import Copy


def environment_text(environment: Mapping[str, Any] | None) -> str:
    """Where weights were trained, in a few words: device and torch."""
    if not environment:
        return "unknown where"
    torch = environment.get("torch")
    return f"{environment.get('device', '?')}{'' if torch is None else f', torch {torch}'}"


def other_weights(copy: Copy, width: int) -> list[str]:
    """A copy: whose it is, and how it fared where this home's own weights did."""
    lines = [
        f"other weights {short_id(copy.other_digest)}, trained on {environment_text(copy.other_environment)}",
        f"  from {copy.origin}, {moment(copy.merged_at)}; no score of this home counts them",
    ]
    rows = [
        [
            one.attack or "clean",
            "-" if one.norm is None else NORM_SIGNS.get(one.norm, one.norm),
            "-" if one.eps is None else f"{one.eps:g}",
            percent(one.own_accuracy),
            percent(one.accuracy),
            str(one.samples),
        ]
        for one in copy.results
    ]
    if rows:
        lines.append(table(["attack", "norm", "eps", "own %", "theirs %", "samples"], rows, width, right=(2, 3, 4, 5)))
    return lines

"""How far a running trial is, in words, for every screen that shows one at work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.tui.widgets.text import coarse

Row = Mapping[str, Any]


def stands(row: Row, *, with_time: bool = True) -> tuple[str, str]:
    """How far a running trial is, and the colour of that; a stalled one says so."""
    if row["stalled"]:
        return f"STALLED in {row['phase'] or 'its start'}: silent for {coarse(row['silent_for'])}", "bold $error"
    return _phase(dict(row), with_time=with_time), "$primary"


def _phase(row: dict[str, object], *, with_time: bool = True) -> str:
    """How far a running trial is: "epoch 2/5 (38 %, 12 s left)"."""
    far = []
    if isinstance(share := row["share"], float):
        far.append(f"{share:.0%}".replace("%", " %"))
    if with_time and isinstance(left := row["seconds_left"], float):
        far.append(f"{max(1, round(left))} s left" if left < 90 else f"{coarse(left)} left")
    name = str(row["phase"] or "starting")
    return f"{name} ({', '.join(far)})" if far else name

"""How far a running trial is, in words, for every screen that shows one at work."""

from __future__ import annotations

from app.report.progress import phase_name
from app.report.status import UnfinishedTrial
from app.tui.widgets.text import coarse


def stands(trial: UnfinishedTrial, *, with_time: bool = True) -> tuple[str, str]:
    """How far a running trial is, such as "epoch 2/5 (38 %, 12 s left)", and the colour of that; a stalled one says so."""
    now = trial.running
    name = phase_name(None if now is None else now.phase)
    if trial.stalled:
        return f"STALLED in {name}: silent for {coarse(trial.silent_for or 0.0)}", "bold $error"
    far = []
    if now is not None and now.share is not None:
        far.append(f"{now.share:.0%}".replace("%", " %"))
    if with_time and now is not None and (left := now.seconds_left) is not None:
        far.append(f"{max(1, round(left))} s left" if left < 90 else f"{coarse(left)} left")
    return f"{name} ({', '.join(far)})" if far else name, "$primary"

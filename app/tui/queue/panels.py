"""Running trials as panels of one to three lines: how far, how fast, loss and accuracy so far, survivors falling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from app.report.status import UnfinishedTrial
from app.tui.run.progress import stands
from app.tui.widgets.text import bar, size, sparkline
from core.names import short_id
from storage.rows import EpochRow
from storage.worker_state import AttackPhase, Phase, RunningRow, TrainingPhase

Part = str | tuple[str, str]

_QUIET = "$foreground 70%"
_KEPT = 600
"""Samples of survivors kept for a trial: ten minutes, one a second, then every other one is let go."""


@dataclass(frozen=True)
class RunningTrial:
    """A trial at work and the epochs it has finished."""

    trial: UnfinishedTrial
    epochs: Sequence[EpochRow]

    @property
    def phase(self) -> Phase | None:
        """None before its worker has told of it."""
        return None if self.trial.running is None else self.trial.running.phase


@dataclass
class Survivors:
    """The share of samples that stood at each look, under the attack that goes on now."""

    attack_id: str = ""
    shares: list[float] = field(default_factory=list)
    _last: object = None

    def look(self, trial: RunningTrial) -> None:
        """Take in what the trial tells now, if it has moved on."""
        now, row = trial.phase, trial.trial
        if not isinstance(now, AttackPhase) or not now.total or row.running is None:
            return
        # One sweep goes over all ε of an attack, upwards over what still stands: it falls through them all.
        if now.attack_id != self.attack_id:
            # It falls from what was right without an attack.
            self.attack_id, self._last = now.attack_id, None
            self.shares = [] if row.clean_accuracy is None else [row.clean_accuracy]
        if (row.running.share, now) != self._last:
            self._last = row.running.share, now
            self.shares.append(now.survivors / now.total)
            if len(self.shares) > _KEPT:
                self.shares = self.shares[::2]  # an odd number of them: the first and the last stay


def panels(
    trials: Sequence[RunningTrial], survivors: Mapping[str, Survivors], width: int, room: int, *, wide: bool
) -> list[Content]:
    """Every running trial in `room` lines, as richly as they allow."""
    if not trials or room < 1:
        return []
    lines_each = next((lines for lines in ((3, 2, 1) if wide else (2, 1)) if lines * len(trials) <= room), 1)
    shown = trials if lines_each * len(trials) <= room else trials[: room - 1]
    lines: list[Content] = []
    for trial in shown:
        falling = survivors.get(trial.trial.trial_id, Survivors())
        lines += {1: _one_line, 2: _two_lines, 3: _three_lines}[lines_each](trial, falling, width)
    if len(shown) < len(trials):
        lines.append(Content.assemble((f"  and {len(trials) - len(shown)} more run, in the table below", _QUIET)))
    return lines


def _one_line(trial: RunningTrial, falling: Survivors, width: int) -> list[Content]:
    far, colour = stands(trial.trial, with_time=False)
    label = set_cell_size(trial.trial.label, max(8, min(30, width - 50)))
    return [
        Content.assemble(("▶ ", "$primary"), (label, "bold"), "  ", (far, colour), "  ", *_curves(trial, falling, 8))
    ]


def _two_lines(trial: RunningTrial, falling: Survivors, width: int) -> list[Content]:
    far, colour = stands(trial.trial)
    device = "" if trial.trial.running is None else trial.trial.running.device
    room = width - cell_len(far) - 7 - cell_len(device)
    return [
        Content.assemble(
            ("▶ ", "$primary"), (_cut(trial.trial.label, room), "bold"), (f"  {device}  ", _QUIET), (far, colour)
        ),
        Content.assemble("  ", *_curves(trial, falling, 10 if width < 100 else 24), *_pace(trial.trial.running)),
    ]


def _three_lines(trial: RunningTrial, falling: Survivors, width: int) -> list[Content]:
    row, now = trial.trial, trial.trial.running
    far, colour = stands(row)
    place = [] if now is None else [now.device, f"pid {now.pid}" if now.pid else ""]
    about = "  ".join(part for part in (row.study, short_id(row.trial_id), *place) if part)
    share = 0.0 if now is None or now.share is None else now.share
    return [
        Content.assemble(
            ("▶ ", "$primary"), (_cut(row.label, width - cell_len(about) - 5), "bold"), (f"   {about}", _QUIET)
        ),
        Content.assemble("  ", (bar(share, 24), colour), "  ", (far, colour), "   ", *_pace(now)),
        Content.assemble("  ", *_curves(trial, falling, (width - 70) // 2, everything=True)),
    ]


def _curves(trial: RunningTrial, falling: Survivors, width: int, *, everything: bool = False) -> list[Part]:
    """Under attack the survivors, else loss and accuracy over the epochs so far and at this moment; or all of it."""
    now, clean = trial.phase, trial.trial.clean_accuracy
    attack = now if isinstance(now, AttackPhase) and now.total else None
    losses = [epoch.loss for epoch in trial.epochs]
    hits = [epoch.accuracy for epoch in trial.epochs]
    if isinstance(now, TrainingPhase):
        losses.append(now.loss)
        hits.append(now.accuracy)
    parts: list[Part] = []
    if attack is not None:
        parts += [
            (f"{attack.attack} ", _QUIET),
            (sparkline(falling.shares, width, 0.0, 1.0), "$warning"),
            f" {attack.survivors:,} of {attack.total:,} survive   ",
        ]
        if clean is not None and not everything:
            parts.append((f"clean {_percent(clean)}   ", _QUIET))
    if losses and (everything or attack is None):
        finite = [loss for loss in losses if loss == loss and abs(loss) != float("inf")]
        parts += [
            ("loss ", _QUIET),
            (sparkline(losses, width, 0.0, max(finite, default=0.0)), "$secondary"),
            f" {losses[-1]:.3f}   ",
            ("accuracy ", _QUIET),
            (sparkline(hits, width, 0.0, 1.0), "$success"),
            f" {_percent(hits[-1])}   ",
        ]
    return parts


def _pace(now: RunningRow | None) -> list[Part]:
    if now is None:
        return []
    told = [
        "" if now.rate is None else f"{now.rate:,.0f} images/s",
        "" if now.memory is None else size(now.memory),
    ]
    return [("  ".join(part for part in told if part), _QUIET)]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _cut(text: str, room: int) -> str:
    return text if cell_len(text) <= room else set_cell_size(text, max(1, room - 1)).rstrip() + "…"

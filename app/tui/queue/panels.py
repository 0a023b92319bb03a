"""Running trials as panels of one to three lines: how far, how fast, loss and accuracy so far, survivors falling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from app.tui.run.progress import stands
from app.tui.widgets.text import bar, size, sparkline
from storage.worker_state import Figures, figures

Row = Mapping[str, Any]
Part = str | tuple[str, str]

_QUIET = "$foreground 70%"
_KEPT = 600
"""Samples of survivors kept for a trial: ten minutes, one a second, then every other one is let go."""


@dataclass(frozen=True)
class RunningTrial:
    """A trial at work and the epochs it has finished."""

    row: Row
    epochs: Sequence[Row]

    @property
    def figures(self) -> Figures:
        return figures(self.row["detail"])


@dataclass
class Survivors:
    """The share of samples that stood at each look, under the attack that goes on now."""

    attack: str = ""
    shares: list[float] = field(default_factory=list)
    _last: object = None

    def look(self, trial: RunningTrial) -> None:
        """Take in what the trial tells now, if it has moved on."""
        now = trial.figures
        if now.survivors is None or not now.total:
            return
        # One sweep goes over all ε of an attack, upwards over what still stands: it falls through them all.
        attack = str(trial.row["phase"]).split(" ")[0]
        if attack != self.attack:
            # It falls from what was right without an attack.
            clean = trial.row["clean_accuracy"]
            self.attack, self.shares, self._last = attack, [] if clean is None else [clean], None
        mark = (trial.row["phase"], trial.row["share"], now.survivors)
        if mark != self._last:
            self._last = mark
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
        falling = survivors.get(trial.row["trial_id"], Survivors())
        lines += {1: _one_line, 2: _two_lines, 3: _three_lines}[lines_each](trial, falling, width)
    if len(shown) < len(trials):
        lines.append(Content.assemble((f"  and {len(trials) - len(shown)} more run, in the table below", _QUIET)))
    return lines


def _one_line(trial: RunningTrial, falling: Survivors, width: int) -> list[Content]:
    far, colour = stands(trial.row, with_time=False)
    label = set_cell_size(trial.row["label"], max(8, min(30, width - 50)))
    return [
        Content.assemble(("▶ ", "$primary"), (label, "bold"), "  ", (far, colour), "  ", *_curves(trial, falling, 8))
    ]


def _two_lines(trial: RunningTrial, falling: Survivors, width: int) -> list[Content]:
    far, colour = stands(trial.row)
    room = width - cell_len(far) - 7 - cell_len(trial.row["device"] or "")
    return [
        Content.assemble(
            ("▶ ", "$primary"),
            (_cut(trial.row["label"], room), "bold"),
            (f"  {trial.row['device'] or ''}  ", _QUIET),
            (far, colour),
        ),
        Content.assemble("  ", *_curves(trial, falling, 10 if width < 100 else 24), *_pace(trial.row)),
    ]


def _three_lines(trial: RunningTrial, falling: Survivors, width: int) -> list[Content]:
    row = trial.row
    far, colour = stands(row)
    facts = [row["study"], row["trial_id"][:10], row["device"] or "", f"pid {row['pid']}" if row["pid"] else ""]
    about = "  ".join(part for part in facts if part)
    share = row["share"] if row["share"] is not None else 0.0
    return [
        Content.assemble(
            ("▶ ", "$primary"), (_cut(row["label"], width - cell_len(about) - 5), "bold"), (f"   {about}", _QUIET)
        ),
        Content.assemble("  ", (bar(share, 24), colour), "  ", (far, colour), "   ", *_pace(row)),
        Content.assemble("  ", *_curves(trial, falling, (width - 70) // 2, everything=True)),
    ]


def _curves(trial: RunningTrial, falling: Survivors, width: int, *, everything: bool = False) -> list[Part]:
    """Under attack the survivors, else loss and accuracy over the epochs so far and at this moment; or all of it."""
    now, row = trial.figures, trial.row
    attacked = now.survivors is not None and now.total
    losses = [float(epoch["loss"]) for epoch in trial.epochs] + ([now.loss] if now.loss is not None else [])
    hits = [float(epoch["accuracy"]) for epoch in trial.epochs] + ([now.accuracy] if now.accuracy is not None else [])
    parts: list[Part] = []
    if attacked and now.survivors is not None and now.total:
        parts += [
            (f"{falling.attack or 'attack'} ", _QUIET),
            (sparkline(falling.shares, width, 0.0, 1.0), "$warning"),
            f" {now.survivors:,} of {now.total:,} survive   ",
        ]
        if row["clean_accuracy"] is not None and not everything:
            parts.append((f"clean {_percent(row['clean_accuracy'])}   ", _QUIET))
    if losses and (everything or not attacked):
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


def _pace(row: Row) -> list[Part]:
    told = [
        "" if row["rate"] is None else f"{row['rate']:,.0f} images/s",
        "" if row["memory"] is None else size(row["memory"]),
    ]
    return [("  ".join(part for part in told if part), _QUIET)]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _cut(text: str, room: int) -> str:
    return text if cell_len(text) <= room else set_cell_size(text, max(1, room - 1)).rstrip() + "…"

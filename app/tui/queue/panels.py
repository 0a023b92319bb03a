"""Running trials as panels of one to three lines: how far, how fast, loss and accuracy so far, survivors falling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from app.report.status import DeviceLanes, UnfinishedTrial
from app.terminal.cells import fitted
from app.tui.run.progress import stands
from app.tui.widgets.text import bar, curve, size, sparkline
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


@dataclass(frozen=True)
class Series:
    """One curve of a running trial, from 0 to `most`, and where it stands `now`."""

    name: str
    now: str
    values: Sequence[float]
    most: float
    colour: str


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
    trials: Sequence[RunningTrial],
    survivors: Mapping[str, Survivors],
    width: int,
    room: int,
    *,
    wide: bool,
    lanes: Sequence[DeviceLanes] = (),
) -> list[Content]:
    """Every running trial in `room` lines, as richly as they allow; those of a device with lanes below a line about it."""
    if not trials or room < 1:
        return []
    groups = _grouped(trials, lanes) if room > len(lanes) else [(None, list(trials))]
    room -= sum(device is not None for device, _ in groups)
    lines_each = next((lines for lines in (_WIDE if wide else _NARROW) if lines * len(trials) <= room), 1)
    shown = len(trials) if lines_each * len(trials) <= room else max(0, room - 1)
    lines: list[Content] = []
    left = shown
    for device, here in groups:
        if device is not None:
            lines.append(_device_line(device, here))
        for trial in here[:left]:
            lines += _panel(trial, survivors.get(trial.trial.trial_id, Survivors()), width, lines_each)
        left -= len(here[:left])
    if shown < len(trials):
        lines.append(Content.assemble((f"  and {len(trials) - shown} more run, in the table below", _QUIET)))
    return lines


def _grouped(
    trials: Sequence[RunningTrial], lanes: Sequence[DeviceLanes]
) -> list[tuple[DeviceLanes | None, list[RunningTrial]]]:
    """Trials by device, in the order of their lanes; those of devices without lanes last."""
    rest = list(trials)
    groups: list[tuple[DeviceLanes | None, list[RunningTrial]]] = []
    for device in lanes:
        here = [one for one in rest if one.trial.running is not None and one.trial.running.device == device.device]
        if here:
            groups.append((device, sorted(here, key=lambda one: one.trial.running.slot if one.trial.running else 0)))
            rest = [one for one in rest if one not in here]
    return [*groups, (None, rest)] if rest else groups


def _device_line(device: DeviceLanes, trials: Sequence[RunningTrial]) -> Content:
    rates = [one.trial.running.rate for one in trials if one.trial.running is not None and one.trial.running.rate]
    told = [device.told, f"{sum(rates):,.0f} images/s" if rates else ""]
    return Content.assemble((device.device, "bold"), (f"  {'  '.join(part for part in told if part)}", _QUIET))


def _panel(trial: RunningTrial, falling: Survivors, width: int, height: int) -> list[Content]:
    return _drawn(trial, falling, width, height) if height > len(_LOW) else _LOW[height - 1](trial, falling, width)


def _stands(trial: RunningTrial, *, with_time: bool = True) -> tuple[str, str]:
    """How far it is and the colour of that; one that learns nothing says so first."""
    far, colour = stands(trial.trial, with_time=with_time)
    if trial.trial.learns_nothing and not trial.trial.stalled:
        return f"LEARNS NOTHING, {far}", "bold $warning"
    return far, colour


def _one_line(trial: RunningTrial, falling: Survivors, width: int) -> list[Content]:
    far, colour = _stands(trial, with_time=False)
    label = set_cell_size(trial.trial.label, max(8, min(30, width - 50)))
    return [
        Content.assemble(("▶ ", "$primary"), (label, "bold"), "  ", (far, colour), "  ", *_curves(trial, falling, 8))
    ]


def _two_lines(trial: RunningTrial, falling: Survivors, width: int) -> list[Content]:
    far, colour = _stands(trial)
    device = "" if trial.trial.running is None else trial.trial.running.device
    room = width - cell_len(far) - 7 - cell_len(device)
    return [
        Content.assemble(
            ("▶ ", "$primary"), (_cut(trial.trial.label, room), "bold"), (f"  {device}  ", _QUIET), (far, colour)
        ),
        Content.assemble("  ", *_curves(trial, falling, 10 if width < 100 else 24), *_pace(trial.trial.running)),
    ]


def _drawn(trial: RunningTrial, falling: Survivors, width: int, height: int) -> list[Content]:
    """With real curves: loss, accuracy and survivors side by side, below what they are and where they stand."""
    row, now = trial.trial, trial.trial.running
    head = _two_lines(trial, falling, width)[0]
    pid = "" if now is None or not now.pid else f"pid {now.pid}"
    about: Part = (f"{row.study}  {short_id(row.trial_id)}  {pid}".rstrip(), _QUIET)
    for more in (*_pace(now), about):
        told = Content.assemble("   ", more)
        if head.cell_length + told.cell_length <= width:
            head = head + told
    figures = _series(trial, falling)
    if not figures:
        return [head, *[Content("")] * (height - 1)]
    room = min(48, (width - 2) // len(figures) - 2)
    drawn = [curve(one.values, room, height - 2, 0.0, one.most) for one in figures]
    titles: list[Part] = [(f"  {fitted(f'{one.name} {one.now}', room)}", _QUIET) for one in figures]
    lines = [head, Content.assemble(*titles)]
    for place in range(height - 2):
        parts: list[Part] = [(f"  {line[place]}", one.colour) for one, line in zip(figures, drawn, strict=True)]
        lines.append(Content.assemble(*parts))
    return lines


def _series(trial: RunningTrial, falling: Survivors) -> list[Series]:
    """What there is to draw, up to this moment."""
    now = trial.phase
    losses = [epoch.loss for epoch in trial.epochs]
    hits = [epoch.accuracy for epoch in trial.epochs]
    if isinstance(now, TrainingPhase):
        losses.append(now.loss)
        hits.append(now.accuracy)
    found = []
    if losses:
        most = max((loss for loss in losses if math.isfinite(loss)), default=0.0)
        found.append(Series("loss", f"{losses[-1]:.3f}", losses, most, "$secondary"))
        found.append(Series("accuracy", _percent(hits[-1]), hits, 1.0, "$success"))
    if isinstance(now, AttackPhase) and now.total:
        stand = f"{now.survivors:,} of {now.total:,} survive"
        found.append(Series(now.attack, stand, falling.shares, 1.0, "$warning"))
    return found


def _three_lines(trial: RunningTrial, falling: Survivors, width: int) -> list[Content]:
    row, now = trial.trial, trial.trial.running
    far, colour = _stands(trial)
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
    series, clean = _series(trial, falling), trial.trial.clean_accuracy
    attacked = isinstance(trial.phase, AttackPhase) and not everything
    parts: list[Part] = []
    for one in series[-1:] if attacked and series else series:
        parts += [(f"{one.name} ", _QUIET), (sparkline(one.values, width, 0.0, one.most), one.colour), f" {one.now}   "]
    if attacked and series and clean is not None:
        parts.append((f"clean {_percent(clean)}   ", _QUIET))
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


_LOW = (_one_line, _two_lines, _three_lines)
"""Panels without curves, by their number of lines."""
_WIDE, _NARROW = (8, 6, 3, 2, 1), (6, 2, 1)
"""Lines that a panel may have, the richest first."""

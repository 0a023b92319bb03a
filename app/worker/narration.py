"""What happens to a trial, in a line: for the log of a detached worker and the narration of a foreground one."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from core.events import Event
from core.names import NORM_SIGNS, full_name
from core.study.tuning import Chosen, More
from storage import journal

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.tuning import Judged


def in_words(seconds: float) -> str:
    """A duration as a person says it: "0.3 s", "48 s", "3 min", "2 h 05 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def told(event: Event, *, clean: float | None = None, epochs: bool = False) -> list[str]:
    """The lines that an event is worth while one looks on, none for most. `clean` is the trial's clean accuracy so far as
    it is known; `epochs` tells every epoch too, not only what is wrong with one."""
    return [
        line
        for entry in journal.entries(event)
        if epochs or not isinstance(entry, journal.EpochEnded)
        for line in _lines(entry, clean)
    ]


def logged(entry: journal.Entry) -> list[str]:
    """The same for the log: every entry, with its beginning, its end and the traceback of what failed."""
    match entry:
        case journal.Began(device, slot):
            return [f"begins on {device} (slot {slot + 1})"]
        case journal.Finished():
            return ["done"]
        case journal.Failed() | journal.AttackFailed() | journal.AuditFailed() | journal.LookFailed() if (
            entry.traceback
        ):
            return [*_lines(entry), entry.traceback]
    return _lines(entry)


def story(db: Database, trial_id: str) -> list[str]:
    """What has happened to a trial, oldest first, each line with its time."""
    lines = []
    for line in journal.lines_of(db, trial_id):
        moment = datetime.datetime.fromtimestamp(line.at).strftime("%Y-%m-%d %H:%M:%S")
        lines += [f"{moment}  {part}" for text in logged(line.entry) for part in text.splitlines()]
    return lines


def chosen(judged: Judged) -> str:
    """What a cell of a tuned study has come to, or what is tried next."""
    cell, step = judged.cell, judged.step
    trial = cell.compared
    choices = (trial.architecture, trial.optimizer, trial.activation, trial.defense)
    name = full_name(None if choice is None else choice.name for choice in choices)
    match step:
        case Chosen(value, accuracy, edge):
            told = f"{cell.search.option} {value:g}, {100 * accuracy:.1f} % of the validation images"
            return f"{name}: {told}{', on the edge of what was tried' if edge else ''}"
        case More(values):
            tried = ", ".join(f"{value:g}" for value in values)
            return f"{name}: the best {cell.search.option} is on the edge of its range; trying {tried} too"
    return f"{name}: {judged.reason}"


def _lines(entry: journal.Entry, clean: float | None = None) -> list[str]:
    match entry:
        case journal.Started(notes, resumed_after):
            return [*notes, *([] if resumed_after is None else [f"resumed after epoch {resumed_after}"])]
        case journal.EpochEnded():
            return [_epoch(entry)]
        case journal.Warned(warning):
            return [f"warning: {warning}"]
        case journal.TrainingEnded(seconds, notes):
            return [f"trained in {in_words(seconds)}", *notes]
        case journal.AttackEnded():
            known = "" if clean is None else f"clean {clean:.1%}, "
            return [f"{known}{_accuracies(entry)} in {in_words(entry.seconds)}", *entry.notes]
        case journal.AuditEnded():
            return [*_audit(entry), *entry.notes]
        case journal.AuditFailed(norm, reason):
            return [f"the audit in {NORM_SIGNS[norm]} failed: {reason}"]
        case journal.Suspected(reasons):
            return [f"suspect: {reason}" for reason in reasons]
        case journal.AttackFailed(attack, reason):
            return [f"{attack} failed: {reason}"]
        case journal.LookFailed(None, reason):
            return [f"its traits could not be measured: {reason}"]
        case journal.LookFailed(str(norm), reason):
            return [f"the look at the model in {NORM_SIGNS[norm]} failed, so its verdict is without it: {reason}"]
        case journal.Failed(reason) | journal.Crashed(reason):
            return [reason]
        case journal.Stopped():
            return ["stopped, checkpoint written"]
    return []


def _epoch(ended: journal.EpochEnded) -> str:
    probe = "" if ended.probe_accuracy is None else f", {ended.probe_accuracy:.1%} under the probe's PGD"
    return (
        f"epoch {ended.epoch}, loss {ended.loss:.4f}, accuracy {ended.accuracy:.1%}{probe} in {in_words(ended.seconds)}"
    )


def _audit(ended: journal.AuditEnded) -> list[str]:
    """What fell at each ε: "audited ℓ∞ in 2.1 s: 0.1→0 of 64 fell, 0.3→3 of 64 fell to apgd-targeted"."""
    parts = []
    for one in ended.radii:
        fell = f"{one.fell} of {one.audited} fell" if one.standing else "none stood"
        to = f" to {', '.join(one.felled_by)}" if one.fell else ""
        parts.append(f"{one.eps:g}→{fell}{to}")
    return [f"audited {NORM_SIGNS[ended.norm]} in {in_words(ended.seconds)}: {', '.join(parts)}"]


def _accuracies(ended: journal.AttackEnded) -> str:
    """Robust accuracy at each ε: "pgd ℓ∞ 0.05→81.0% 0.1→35.2%"; of a minimum-norm attack "cw ℓ2 median distance 1.23"."""
    parts = [f"{eps:g}→{accuracy:.1%}" for eps, accuracy in ended.robust]
    parts += [
        "no distance for half of the samples" if median is None else f"median distance {median:.3g}"
        for median in ended.medians
    ]
    return f"{ended.attack} {NORM_SIGNS[ended.norm]} {' '.join(parts)}"

"""Whether a trial that was trained again is the same, and if not, where it departs: as a record, as a page, for programs."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from app.report.text import distinct, table
from core.names import short_id

if TYPE_CHECKING:
    from app.worker.reproduction import Original, Rerun
    from storage.reading import Json, Options

Verdict = Literal["bit-identical", "within tolerance", "different"]

WEIGHTS_TOLERANCE = 0.01
"""Relative distance of all weights, ‖new - before‖₂ / ‖before‖₂, up to which they count as close."""
LOSS_TOLERANCE = 0.01
"""Relative difference of each epoch's loss, where the weights of before are gone."""
CLEAN_TOLERANCE = 0.005
"""Of the clean accuracy, or one image where that is more."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Apart:
    """Something recorded that is not what it was; None: not recorded."""

    what: str
    then: Json
    now: Json


@dataclass(frozen=True)
class Losses:
    """Of one epoch."""

    epoch: int
    then: float
    now: float


@dataclass(frozen=True)
class Reproduction:
    """What of a trial is the same when it is trained again."""

    trial_id: str
    verdict: Verdict
    initial_then: str | None
    initial_now: str | None
    final_then: str
    final_now: str | None
    first_apart: Losses | None
    """The first epoch whose loss is another."""
    largest_apart: float | None
    """Largest relative difference of a loss; None without an epoch that both have."""
    epochs: int
    distance: float | None
    """Relative, of all weights; None where those of before are gone."""
    record_contradicts: bool
    """The stored digest is not that of the stored weights, or of no training that could have gone otherwise."""
    clean_then: float | None
    clean_now: float | None
    images: int | None
    environment: tuple[Apart, ...]
    """Data included."""
    unknown_environment: bool
    several_environments: bool
    failure: str | None

    @property
    def initial_apart(self) -> bool:
        return self.initial_then is not None and self.initial_then != self.initial_now


def compare(before: Original, again: Rerun) -> Reproduction:
    """`again` has come to its end."""
    losses = [
        Losses(one.epoch, before.losses[one.epoch], one.loss) for one in again.history if one.epoch in before.losses
    ]
    apart = _environment(before, again)
    images = None if again.clean is None else len(again.clean.labels)
    clean = None if again.clean is None else float(again.clean.correct.mean())
    distance = None if again.weights is None else again.weights.distance
    same = again.final_digest == before.final_digest
    first = next((one for one in losses if one.then != one.now), None)
    untouched = not apart and bool(before.environment) and bool(losses) and first is None
    contradicts = not same and (
        untouched if again.weights is None else again.weights.stored_digest != before.final_digest
    )
    largest = max((abs(one.now - one.then) / max(abs(one.then), 1e-12) for one in losses), default=None)
    near = (
        again.failure is None
        and not contradicts
        and _near(distance, largest)
        and _clean_near(before.clean_accuracy, clean, images)
    )
    return Reproduction(
        trial_id=before.trial.id,
        verdict="bit-identical" if same else "within tolerance" if near else "different",
        initial_then=before.initial_digest,
        initial_now=again.initial_digest,
        final_then=before.final_digest,
        final_now=again.final_digest,
        first_apart=first,
        largest_apart=largest,
        epochs=len(losses),
        distance=distance,
        record_contradicts=contradicts and again.failure is None,
        clean_then=before.clean_accuracy,
        clean_now=clean,
        images=images,
        environment=tuple(apart),
        unknown_environment=not before.environment,
        several_environments=before.other_environments,
        failure=again.failure,
    )


def _environment(before: Original, again: Rerun) -> list[Apart]:
    then: dict[str, Json] = dict(before.environment)
    now: Mapping[str, Json] = dict(again.environment)  # type: ignore[arg-type]
    found = [
        Apart(key, then.get(key), now.get(key))
        for key in dict.fromkeys([*then, *now])
        if then and then.get(key) != now.get(key)
    ]
    if before.data is not None and before.data != again.data:
        found.append(Apart("data", before.data, again.data))
    return found


def _near(distance: float | None, loss: float | None) -> bool:
    """By the weights; where those of before are gone, by the losses."""
    if distance is not None:
        return distance <= WEIGHTS_TOLERANCE
    return loss is not None and loss <= LOSS_TOLERANCE


def _clean_near(then: float | None, now: float | None, images: int | None) -> bool:
    if then is None or now is None or not images:
        return True
    return abs(now - then) <= clean_tolerance(images) + _ROUNDING


def clean_tolerance(images: int) -> float:
    """As a share of `images` test images."""
    return max(CLEAN_TOLERANCE, 1.0 / images)


def page(found: Reproduction, label: str, width: int) -> str:
    """The verdict, why, and what was held against what."""
    lines = textwrap.wrap(f"{short_id(found.trial_id)}  {label}", width)
    lines += textwrap.wrap(f"{found.verdict}: {_headline(found)}", width, subsequent_indent="  ")
    for reason in reasons(found):
        lines += textwrap.wrap(reason, width, initial_indent="  ", subsequent_indent="  ")
    rows = [
        ["initial weights", _short(found.initial_then), _short(found.initial_now)],
        ["final weights", _short(found.final_then), _short(found.final_now)],
        *([] if found.clean_then is None else [["clean %", _share(found.clean_then), _share(found.clean_now)]]),
        *([one.what, *distinct([_value(one.then), _value(one.now)], (width - 28) // 2)] for one in found.environment),
    ]
    return "\n".join([*lines, "", table(["", "then", "now"], rows, width)])


def _headline(found: Reproduction) -> str:
    match found.verdict:
        case "bit-identical":
            return "every bit of the weights is what it was"
        case "within tolerance":
            return "not the same bits, but the same model as far as can be told"
    return "another model than the stored one"


def reasons(found: Reproduction) -> list[str]:
    """Why it is not the same, from the first thing that differs on; and what of the environment may be to blame."""
    said = []
    if found.failure is not None:
        said.append(f"Training fails now: {found.failure}.")
    if found.record_contradicts:
        said.append(
            "The stored digest is not that of the stored weights, or nothing else differs: the record has been changed."
        )
    if found.verdict != "bit-identical" and found.initial_apart:
        said.append("They differ before the first step: the initial weights are drawn otherwise.")
    first = found.first_apart
    if first is not None:
        begins = "" if found.initial_apart else "The initial weights are the same; "
        said.append(
            f"{begins}{'training' if begins else 'Training'} departs in epoch {first.epoch}: loss {first.then:.9g} then, "
            f"{first.now:.9g} now."
        )
    elif found.verdict != "bit-identical" and found.epochs:
        said.append(f"The losses of all {found.epochs} epochs are the same.")
    if found.verdict != "bit-identical" and found.failure is None:
        said += _measured(found)
    return [*said, *_about_environment(found)]


def _measured(found: Reproduction) -> list[str]:
    """How far apart they are, and what would count as close."""
    said = []
    if found.distance is not None:
        said.append(
            f"Weights: {_percent(found.distance)} apart (relative ℓ2 distance; close: {_percent(WEIGHTS_TOLERANCE)} at most)."
        )
    else:
        loss = (
            "no epoch to compare" if found.largest_apart is None else f"{_percent(found.largest_apart)} apart at most"
        )
        said.append(
            f"The weights of before are gone, so losses stand for them: {loss} (close: {_percent(LOSS_TOLERANCE)} at most)."
        )
    if found.clean_then is not None and found.clean_now is not None and found.images:
        apart = abs(found.clean_now - found.clean_then)
        said.append(
            f"Clean accuracy: {100 * apart:.2f} points apart on {found.images} images "
            f"(close: {100 * clean_tolerance(found.images):.2f} at most)."
        )
    return said


def _about_environment(found: Reproduction) -> list[str]:
    if found.unknown_environment:
        return ["What it was trained on was not recorded."]
    said = []
    if found.environment:
        said.append(f"Not as it was: {', '.join(one.what for one in found.environment)}.")
    elif found.verdict != "bit-identical":
        said.append("Nothing that was recorded of the environment differs.")
    if found.several_environments:
        said.append("It was trained in several attempts, not all on the same; the last is compared.")
    return said


def as_row(found: Reproduction) -> Options:
    """For programs; shares are fractions."""
    return {
        "trial_id": found.trial_id,
        "verdict": found.verdict,
        "initial_digest": {"then": found.initial_then, "now": found.initial_now},
        "final_digest": {"then": found.final_then, "now": found.final_now},
        "epochs": found.epochs,
        "first_epoch_apart": None
        if found.first_apart is None
        else {"epoch": found.first_apart.epoch, "then": found.first_apart.then, "now": found.first_apart.now},
        "largest_loss_apart": found.largest_apart,
        "weights_distance": found.distance,
        "weights_tolerance": WEIGHTS_TOLERANCE,
        "loss_tolerance": LOSS_TOLERANCE,
        "clean_accuracy": {"then": found.clean_then, "now": found.clean_now},
        "clean_tolerance": None if found.images is None else clean_tolerance(found.images),
        "record_contradicts": found.record_contradicts,
        "environment": [{"what": one.what, "then": one.then, "now": one.now} for one in found.environment],
        "failure": found.failure,
        "why": reasons(found),
    }


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if math.isfinite(share) else "not comparable"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _short(digest: str | None) -> str:
    return "-" if digest is None else short_id(digest)


def _value(value: Json) -> str:
    if value is None:
        return "-"
    return short_id(value) if isinstance(value, str) and len(value) in (40, 64) and " " not in value else str(value)

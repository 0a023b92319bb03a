"""One trial as another file tells it, with all that came of it, each part held against what it must be: its address is the hash
of what it is made of, bitmaps are as long as their counts, nothing is out of range."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Any

import numpy as np

from core.identity import digest
from core.records.outcome import Diagnosis
from core.records.trial import TrialSpec
from core.traits import Measured
from storage.merge.checked_attack import attack_of, text_list
from storage.merge.checked_audit import AuditTold, audits_of
from storage.merge.opened import Other
from storage.merge.values import (
    COUNT,
    MOMENT,
    NORM,
    SECONDS,
    SHARE,
    Check,
    Unsound,
    address,
    anything,
    blob,
    flat,
    json_of,
    list_of,
    number,
    one_of,
    optional,
    parsed,
    table_of,
    text,
    whole,
    within,
)

Row = dict[str, Any]

_MOST_SAMPLES = 100_000_000
_TRIAL: dict[str, Check] = {
    "id": address,
    "variant_id": address,
    "spec": text(100_000),
    "dataset": text(1000),
    "seed": optional(whole(-(2**63), 2**63 - 1)),
    "created_at": MOMENT,
    "weights": optional(text(1000)),
    "initial_digest": optional(address),
    "final_digest": optional(address),
    "train_seconds": optional(SECONDS),
    "peak_memory": optional(whole(0, 2**60)),
    "failure": optional(text()),
    "imported": optional(text(1000)),
}
ATTEMPT: dict[str, Check] = {
    "id": whole(-(2**63), 2**63 - 1),
    "number": whole(1, 10**6),
    "started_at": MOMENT,
    "ended_at": MOMENT,
    "device": optional(text(200)),
    "environment_id": optional(address),
    "exit_kind": optional(text(40)),
    "reason": optional(text()),
    "traceback": optional(text()),
    "data": optional(address),
}
EPOCH: dict[str, Check] = {
    "epoch": whole(1, 10**9),
    "loss": number(infinite=True),
    "accuracy": SHARE,
    "validation_accuracy": optional(SHARE),
    "lr": number(0.0),
    "seconds": SECONDS,
    "probe_accuracy": optional(SHARE),
    "ended_at": optional(MOMENT),
}
CLEAN: dict[str, Check] = {
    "samples": address,
    "count": whole(1, _MOST_SAMPLES),
    "classes": whole(1, 10**6),
    "majority_share": SHARE,
    "top_prediction_share": SHARE,
    "correct": blob,
}
_TRACE = json_of(
    list_of(
        table_of(
            {
                "eps": optional(number(0.0)),
                **dict.fromkeys(("attacked", "broken"), COUNT),
                **dict.fromkeys(("late", "moving", "last_restart"), optional(COUNT)),
                "reach": optional(number(0.0, infinite=True)),
                **dict.fromkeys(("unconfirmed", "outside", "zero_gradients", "bad_gradients"), COUNT),
            }
        ),
        10_000,
    )
)
EVALUATION: dict[str, Check] = {
    "id": whole(-(2**63), 2**63 - 1),
    "attack_id": address,
    "samples": address,
    "attempt_id": optional(whole(-(2**63), 2**63 - 1)),
    "state": one_of("done", "failed"),
    "reason": optional(text()),
    "traceback": optional(text()),
    "count": optional(whole(1, _MOST_SAMPLES)),
    "forward_passes": optional(COUNT),
    "backward_passes": optional(COUNT),
    "seconds": optional(SECONDS),
    "batch_size": optional(COUNT),
    "crafting": optional(text(40)),
    "notes": optional(text_list),
    "finished_at": MOMENT,
    "traces": optional(_TRACE),
    "data": optional(address),
}
LEDGER: dict[str, Check] = {
    "position": whole(0, 10_000),
    "eps": optional(number(0.0)),
    "adversarial_accuracy": optional(SHARE),
}
EXAMPLE: dict[str, Check] = {
    "position": whole(0, 10_000),
    "sample": whole(0, _MOST_SAMPLES),
    "eps": optional(number(0.0)),
    **dict.fromkeys(("label", "clean_prediction", "adversarial_prediction"), whole(0, 10**6)),
    **dict.fromkeys(("clean_confidence", "adversarial_confidence"), SHARE),
    "shape": json_of(list_of(whole(1, 100_000), 3)),
    "clean": blob,
    "adversarial": blob,
}
_COUNTS = (
    "images", "unsteady", "zero_gradients", "bad_gradients", "flat_softmax", "distant", "standing_at_one", "only_by_search",
    "only_by_noise", "measured",
)  # fmt: skip
_DIAGNOSIS_CONTENT = table_of(
    {
        "norm": NORM,
        "eps": number(0.0),
        **dict.fromkeys(_COUNTS, COUNT),
        "saturated_units": SHARE,
        "saturated_layer": text(200),
        "broken_by_gradient": list_of(COUNT),
        "seconds": SECONDS,
        "nearest": anything,
    }
)
_DIAGNOSIS: dict[str, Check] = {
    "samples": address,
    "norm": NORM,
    "eps": number(0.0),
    "content": text(),
    "made_at": MOMENT,
}
TRAITS: dict[str, Check] = {
    "samples": address,
    **{field.name: optional(number()) for field in fields_of(Measured)},
    "made_at": MOMENT,
}
EVENT: dict[str, Check] = {"at": MOMENT, "kind": text(40), "content": optional(json_of(anything))}


@dataclass(frozen=True)
class LedgerTold:
    """One row of table ledger, and its content."""

    row: Row
    bitmap: bytes
    distances: bytes | None


@dataclass(frozen=True)
class EvaluationTold:
    """One attack on the trial, with its ledgers and examples."""

    row: Row
    ledgers: tuple[LedgerTold, ...]
    examples: tuple[Row, ...]


@dataclass(frozen=True)
class TrialTold:
    """What another file says of one trial; of one that it has not trained, only how that was tried. `weights_of`: the number of
    the attempt whose folder has its weights."""

    spec: TrialSpec
    row: Row
    weights_of: int | None
    attempts: tuple[Row, ...]
    epochs: tuple[Row, ...]
    clean: tuple[Row, ...]
    evaluations: tuple[EvaluationTold, ...]
    audits: tuple[AuditTold, ...]
    diagnoses: tuple[Row, ...]
    traits: tuple[Row, ...]
    events: tuple[Row, ...]

    @property
    def trained(self) -> bool:
        return self.weights_of is not None


def trials(other: Other) -> Iterator[TrialTold]:
    """Every trial, one at a time, in the order in which they were made. Raises Unsound naming the trial."""
    for row in other.rows("trial", _TRIAL, "ORDER BY rowid"):
        yield within(f"trial {row['id'][:10]}", lambda told: _trial(other, told), row)


def _trial(other: Other, row: Row) -> TrialTold:
    trial_id, spec = row["id"], _spec(row)
    weights_of = folder_number(trial_id, row["weights"]) if row["final_digest"] is not None else None
    mine = ("WHERE trial_id = ?", (trial_id,))
    trained = weights_of is not None
    clean = tuple(other.rows("clean", CLEAN, *mine)) if trained else ()
    counts = {one["samples"]: one["count"] for one in clean}
    for one in clean:
        flat(one["correct"], (one["count"] + 7) // 8, "table clean, correct")
    return TrialTold(
        spec=spec,
        row=row,
        weights_of=weights_of,
        attempts=tuple(other.rows("attempt", ATTEMPT, f"{mine[0]} AND ended_at IS NOT NULL ORDER BY number", mine[1])),
        epochs=tuple(other.rows("epoch", EPOCH, f"{mine[0]} ORDER BY epoch", mine[1])) if trained else (),
        clean=clean,
        evaluations=tuple(_evaluations(other, trial_id, counts)) if trained else (),
        audits=tuple(audits_of(other, trial_id, counts)) if trained else (),
        diagnoses=tuple(_diagnoses(other, trial_id)) if trained else (),
        traits=tuple(other.rows("traits", TRAITS, *mine)) if trained else (),
        events=tuple(other.rows("event", EVENT, f"{mine[0]} ORDER BY id", mine[1])),
    )


def _spec(row: Row) -> TrialSpec:
    data = parsed(row["spec"])
    try:
        spec = TrialSpec.from_json(data)
        if digest(data) == spec.id == row["id"] and spec.variant_id == row["variant_id"]:
            return spec
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise Unsound(f"what it is made of cannot be read ({error})") from None
    raise Unsound("its id is not the hash of what it is made of")


def folder_number(trial_id: str, weights: str | None) -> int | None:
    """Of the attempt that trained it. Raises Unsound for weights that would lie anywhere but in the trial's own folder."""
    if weights is None:
        return None
    match = re.fullmatch(rf"{trial_id}/([1-9][0-9]{{0,5}})/weights\.pt", weights)
    if match is None:
        raise Unsound(f"weights: {weights!r:.80} is not inside the checkpoints of the trial")
    return int(match[1])


def _evaluations(other: Other, trial_id: str, counts: Mapping[str, int]) -> Iterator[EvaluationTold]:
    for row in other.rows("evaluation", EVALUATION, "WHERE trial_id = ? ORDER BY id", (trial_id,)):
        attack = attack_of(other, row["attack_id"])
        told = EvaluationTold(row, tuple(_ledgers(other, row)), tuple(_examples(other, row["id"])))
        if row["state"] == "done":
            wanted: list[float | None] = [*attack.eps] or [None]
            if [ledger.row["eps"] for ledger in told.ledgers] != wanted:
                raise Unsound(f"evaluation by {attack.name}: its ledgers are not at the ε of the attack")
            if row["count"] is None or row["count"] != counts.get(row["samples"]):
                raise Unsound(f"evaluation by {attack.name}: it counts other samples than the clean outcome")
            required = ("forward_passes", "backward_passes", "seconds")
            if any(row[name] is None for name in required):
                raise Unsound(f"evaluation by {attack.name}: it does not say what it cost")
        elif told.ledgers or told.examples:
            raise Unsound(f"evaluation by {attack.name}: it failed, and yet has ledgers")
        yield told


def _ledgers(other: Other, evaluation: Row) -> Iterator[LedgerTold]:
    key = (evaluation["id"],)
    contents = {
        row["position"]: row
        for row in other.rows(
            "ledger_content",
            {"position": whole(0, 10_000), "bitmap": blob, "distances": optional(blob)},
            "WHERE evaluation_id = ?",
            key,
        )
    }
    for place, row in enumerate(other.rows("ledger", LEDGER, "WHERE evaluation_id = ? ORDER BY position", key)):
        content = contents.get(place)
        if row["position"] != place or content is None:
            raise Unsound("table ledger: one of an evaluation's is missing")
        count = evaluation["count"] or 0
        flat(content["bitmap"], (count + 7) // 8, "table ledger_content, bitmap")
        flat(content["distances"], 4 * count, "table ledger_content, distances")
        if (content["distances"] is None) != (row["eps"] is not None):
            raise Unsound("table ledger: distances belong to a ledger without ε, and to no other")
        if content["distances"] is not None and not (np.frombuffer(content["distances"], "<f4") >= 0).all():
            raise Unsound("table ledger_content, distances: one is negative or no number")
        yield LedgerTold(row, content["bitmap"], content["distances"])


def _examples(other: Other, evaluation: int) -> Iterator[Row]:
    for row in other.rows("example", EXAMPLE, "WHERE evaluation_id = ? ORDER BY position LIMIT 1000", (evaluation,)):
        channels, height, width = [*json.loads(row["shape"]), 0, 0, 0][:3]
        for picture in ("clean", "adversarial"):
            flat(row[picture], 4 * channels * height * width, f"table example, {picture}")
            pixels = np.frombuffer(row[picture], "<f4")
            if not ((pixels >= 0) & (pixels <= 1)).all():
                raise Unsound(f"table example, {picture}: a pixel is not in [0, 1]")
        yield row


def _diagnoses(other: Other, trial_id: str) -> Iterator[Row]:
    for row in other.rows("diagnosis", _DIAGNOSIS, "WHERE trial_id = ?", (trial_id,)):
        content = parsed(row["content"])
        within("table diagnosis, content", _DIAGNOSIS_CONTENT, content)
        try:
            look = Diagnosis.from_json(content)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise Unsound(f"table diagnosis, content: {error}") from None
        if (look.norm, look.eps) != (row["norm"], row["eps"]) or any(
            getattr(look, name) > max(look.images, look.measured) for name in _COUNTS
        ):
            raise Unsound("table diagnosis, content: its counts do not fit")
        yield row

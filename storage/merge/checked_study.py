"""Studies as another file tells them, and what tells two grids of one name apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from core.errors import BadInput
from core.identity import digest
from core.records.study import Cell, Study
from storage.merge.checked_attack import attack_of
from storage.merge.checked_audit import audit_spec
from storage.merge.opened import Other
from storage.merge.values import (
    MOMENT,
    NORM,
    Check,
    Unsound,
    address,
    anything,
    json_of,
    list_of,
    number,
    one_of,
    optional,
    parsed,
    text,
    whole,
    within,
)
from storage.notes import MOST_LETTERS, tag_of
from storage.tuning import companion

Row = dict[str, Any]

_MOST_SEEDS = 1_000_000
_POSITION = whole(0, 2**62)
STUDY: dict[str, Check] = {
    "name": text(120),
    "description": text(100_000),
    "document": text(),
    "dataset": text(1000),
    "source_kind": text(200),
    "source_path": optional(text(4096)),
    "dataset_identity": text(200),
    "shape": json_of(list_of(whole(1, 100_000), 3)),
    "class_names": json_of(list_of(text(1000), 100_000)),
    "test_samples": optional(whole(1, 10**9)),
    "samples": address,
    "threat_norm": optional(NORM),
    "threat_eps": optional(number(0.0)),
    "created_at": MOMENT,
    "run_at": MOMENT,
    "tuning_of": optional(text(120)),
}
PLACE: dict[str, Check] = {
    "trial_id": address,
    "position": _POSITION,
    "state": one_of("queued", "running", "done", "failed", "cancelled"),
    "priority": whole(-(2**62), 2**62),
    "tuned": optional(json_of(anything)),
}
_CELL: dict[str, Check] = {"position": _POSITION, "cell": text()}
_CANDIDATE: dict[str, Check] = {
    "position": _POSITION,
    "value": number(0.0),
    "widened": whole(0, 1),
    "trial_id": address,
}
NOTE: dict[str, Check] = {
    "variant_id": optional(address),
    "text": text(MOST_LETTERS),
    "tags": json_of(list_of(lambda tag: _tag(tag), 1000)),
    "changed_at": MOMENT,
}
LOOK: dict[str, Check] = {
    "family": text(1000),
    "number": whole(1, 10**6),
    "content": json_of(anything),
    "margin": number(0.0, 100.0),
    "made_at": MOMENT,
}
SETTLED: dict[str, Check] = {"family": text(1000), "claim": text(10_000), "content": json_of(anything)}
ESCALATION: dict[str, Check] = {"trial_id": address, "norm": NORM, "eps": number(0.0), "asked_at": MOMENT}


@dataclass(frozen=True)
class StudyTold:
    """A study of the other file. `grid` is the same of two studies that ask the same of the same images, whatever their name,
    what is said of them and where their data lies. `attacks`, `audits`: (id, position) of each."""

    row: Row
    grid: str
    attacks: tuple[tuple[str, int], ...]
    audits: tuple[Row, ...]
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        return str(self.row["name"])


def studies(other: Other) -> Iterator[StudyTold]:
    """All but those that hold the candidates of a tuning. Raises Unsound naming the study."""
    for row in list(other.rows("study", STUDY, "WHERE tuning_of IS NULL ORDER BY run_at, name")):
        yield within(f"study {row['name']!r:.60}", lambda told: _study(other, told), row)


def candidates(other: Other, study: str) -> list[Row]:
    """What the cells of a tuned study try."""
    return list(other.rows("tuning_candidate", _CANDIDATE, "WHERE study = ? ORDER BY position, value", (study,)))


def places(other: Other, study: str) -> Iterator[Row]:
    """Its trials, in its order."""
    return other.rows("study_trial", PLACE, "WHERE study = ? ORDER BY position, trial_id", (study,))


def _study(other: Other, row: Row) -> StudyTold:
    name, document = row["name"], parsed(row["document"])
    resolved = resolved_study(document)
    if resolved.name != name:
        raise Unsound(f"its study file calls it {resolved.name!r:.60}")
    if (row["threat_norm"] is None) != (row["threat_eps"] is None) or len(json.loads(row["shape"])) != 3:
        raise Unsound("its row is not complete")
    attacks = tuple(
        (str(one["attack_id"]), int(one["position"]))
        for one in other.rows(
            "study_attack",
            {"attack_id": address, "position": _POSITION},
            "WHERE study = ? ORDER BY position",
            (name,),
        )
    )
    for attack_id, _ in attacks:
        attack_of(other, attack_id)
    audits = tuple(
        other.rows(
            "study_audit",
            {"spec_id": address, "norm": NORM, "spec": text(100_000), "position": _POSITION},
            "WHERE study = ? ORDER BY position",
            (name,),
        )
    )
    for audit in audits:
        if audit_spec(audit["spec"], audit["spec_id"]).norm != audit["norm"]:
            raise Unsound("an audit's norm is not that of its specification")
    cells = tuple(_cell(one) for one in other.rows("tuning_cell", _CELL, "WHERE study = ? ORDER BY position", (name,)))
    return StudyTold(row, grid_of(resolved, row, [attack_id for attack_id, _ in attacks]), attacks, audits, cells)


def _cell(row: Row) -> Cell:
    try:
        cell = Cell.from_json(parsed(row["cell"]))
        if cell.position == row["position"] and json.dumps(cell.as_json()) and cell.values:
            return cell
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise Unsound(f"table tuning_cell: cannot be read ({error})") from None
    raise Unsound("table tuning_cell: does not stand where it says")


def resolved_study(document: Any) -> Study:
    """The study that a stored study file means. Raises Unsound."""
    from core.study.resolve import study_from

    if not isinstance(document, Mapping):
        raise Unsound("its study file is no table")
    try:
        study = study_from(document, "study file")
    except BadInput as error:
        raise Unsound(str(error)) from None
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise Unsound(f"its study file cannot be read ({error})") from None
    if len(study.seeds) > _MOST_SEEDS:
        raise Unsound(f"{len(study.seeds):,} seeds are too many")
    return study


def grid_of(study: Study, row: Mapping[str, Any], attack_ids: list[str]) -> str:
    """The digest of all that decides what a study asks and of what: equal grids are shares of one."""
    return digest(
        {
            "data": [row["dataset_identity"], row["samples"], study.train_samples],
            "axes": [
                [choice.as_json() for choice in axis]
                for axis in (study.architectures, study.optimizers, study.activations, study.defenses)
            ],
            "seeds": [list(study.seeds), list(study.vary)],
            "training": study.training.as_json(),
            "attacks": attack_ids,
            "threat": [row["threat_norm"], row["threat_eps"]],
            "audit": asdict(study.audit),
            "tuning": None
            if study.tuning is None
            else {
                **asdict(study.tuning),
                "searches": {str(place): asdict(one) for place, one in study.tuning.searches.items()},
            },
        }
    )


def named(name: str, grid: str) -> str:
    """What a study is called here where another grid has its name: the same one, whoever brings it."""
    return f"{name[:90]}-{grid[:8]}"


def candidates_study(other: Other, name: str) -> Row | None:
    """The row of the study that holds the candidates of `name`. Raises Unsound for one that is called otherwise."""
    for row in other.rows("study", STUDY, "WHERE tuning_of = ?", (name,)):
        if row["name"] != companion(name):
            raise Unsound(f"study {row['name']!r:.60} cannot hold the candidates of {name!r:.60}")
        resolved_study(parsed(row["document"]))
        return row
    return None


def _tag(value: Any) -> str:
    try:
        return tag_of(text(100)(value))
    except BadInput as error:
        raise Unsound(str(error)) from None

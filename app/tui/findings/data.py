"""What Findings knows of a study, read on the readers' thread. What takes seconds is done only when something has changed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from app.report.effects import partner
from app.report.findings import Findings, findings
from app.report.settle import Outlook, outlook
from core.errors import InnateError
from core.verdict.findings import Finding
from core.verdict.findings.find import BARS
from core.verdict.findings.models import Model, varying
from storage.fingerprint import fingerprint
from storage.settling import under_way
from storage.studies import latest_study, studies

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.rows import ListedStudy


@dataclass(frozen=True, eq=False)
class Loaded:
    """`study` None where there is none at all. `found` may be of before: `stale` says that the data have moved on since."""

    study: str | None
    listed: ListedStudy | None = None
    others: tuple[str, ...] = ()
    """What studies there are besides."""
    found: Findings | None = None
    variants: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Finding that is open → the variants that it is about: further seeds of these settle it."""
    settling: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Finding → (ended, all) of the trials that were added last to settle it, as long as some are still to come."""
    partners: Mapping[str, str | None] = field(default_factory=dict)
    """Factor that varies → the other one that matters most beside it."""
    beside: Findings | None = None
    outlook: Outlook | str | None = None
    """What settling costs; the sentence that says why nobody can tell now; None where it was not asked for."""
    made_of: tuple[object, ...] = ()
    """The fingerprint of what `found`, `beside` and `outlook` were made of."""
    stale: bool = False
    took: float = 0.0
    """Seconds that what is here took to find."""
    at: float = 0.0
    """When it was found, on the monotonic clock."""


@dataclass(frozen=True, eq=False)
class Question:
    """`study` None: the one run last. `have` is what is on the screen; `look` allows what takes seconds."""

    study: str | None
    beside: str | None
    costs: bool
    """Whether what settling costs is asked for."""
    have: Loaded | None
    look: bool


def load(db: Database, question: Question) -> Loaded:
    """What is asked for, or, unless one may `look`, what was there before and whether it is `stale`."""
    listed = {row.study: row for row in studies(db)}
    study = question.study if question.study in listed else latest_study(db)
    if study is None:
        return Loaded(None)
    beside = question.beside if question.beside in listed and question.beside != study else None
    made_of = (study, fingerprint(db, study)), (beside, fingerprint(db, beside) if beside else ())
    have = question.have
    if have is None or have.study != study:
        have = Loaded(study)
    others = tuple(name for name in listed if name != study)
    have = replace(have, listed=listed[study], others=others, settling=_settling(have.variants, under_way(db, study)))
    found = have.found if have.made_of[:1] == made_of[:1] else None
    aside = have.beside if have.made_of[1:] == made_of[1:] else None
    costs = have.outlook if found is not None else None
    if found is not None and (beside is None or aside is not None) and (costs is not None or not question.costs):
        return replace(have, beside=aside, made_of=made_of, stale=False)
    if not question.look:
        return replace(have, stale=True)
    began = time.monotonic()
    if found is None:
        found = findings(db, study)
        variants = {one.key: _variants(one) for one in found.found if _open(one)}
        factors = varying(found.models)
        have = replace(
            have,
            found=found,
            variants=variants,
            settling=_settling(variants, under_way(db, study)),
            partners={factor: partner(found.models, found.described.variance, factor) for factor in factors},
        )
    if beside is not None and aside is None:
        aside = findings(db, beside)
    if question.costs and costs is None:
        costs = _costs(db, study)
    ended = time.monotonic()
    return replace(have, beside=aside, outlook=costs, made_of=made_of, stale=False, took=ended - began, at=ended)


def _open(one: Finding) -> bool:
    """Whether further seeds may decide it."""
    barred = any(obstacle.kind in BARS for obstacle in one.obstacles)
    return one.effect is not None and one.verdict == "inconclusive" and not barred


def _variants(one: Finding) -> frozenset[str]:
    return frozenset(model.variant_id for model in models_of(one))


def models_of(one: Finding) -> list[Model]:
    """That it rests on, each once, in order."""
    used = [model for part in one.parts for group in part.found.used for model in group]
    return list({model.trial_id: model for model in used}.values())


def _settling(
    variants: Mapping[str, frozenset[str]], under_way: Mapping[str, tuple[int, int]]
) -> dict[str, tuple[int, int]]:
    counts = {
        key: (
            sum(under_way[variant][0] for variant in several & under_way.keys()),
            sum(under_way[variant][1] for variant in several & under_way.keys()),
        )
        for key, several in variants.items()
    }
    return {key: (ended, count) for key, (ended, count) in counts.items() if ended < count}


def _costs(db: Database, study: str) -> Outlook | str:
    try:
        return outlook(db, study, None, None)
    except InnateError as error:  # trials are still to come, or none has a score
        return str(error)

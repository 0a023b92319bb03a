"""Two trials, variants or levels beside each other: what differs in how they were made, and in what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.report.aggregate import images_of, influences
from app.report.configuration import Differing, differing
from app.report.grid import radius
from app.report.sides import TRIAL, Side, find_sides
from app.report.study_models import study_models
from core.errors import BadInput
from core.names import FACTORS, worst
from core.verdict.findings.models import Model
from core.verdict.findings.versus import Versus, measures, of_groups, of_two
from core.verdict.scoring import SCORES
from storage import listing, queries
from storage.studies import study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

    from core.records.attack import Threat
    from core.verdict.scoring.outcomes import UnderAttack
    from storage.listing import Filter
    from storage.reading import Options
    from storage.rows import ListedTrial


@dataclass(frozen=True)
class Outcome:
    """One side's models."""

    side: Side
    models: tuple[Model, ...]

    @property
    def trust(self) -> str:
        return worst([model.trust for model in self.models])

    @property
    def bound(self) -> bool:
        """Whether what attacks left standing of it is an upper bound that nobody audited."""
        return any(model.bound for model in self.models)

    @property
    def seeds(self) -> list[int]:
        """Those that are known."""
        return sorted({model.seed for model in self.models if model.seed >= 0})


@dataclass(frozen=True)
class Comparison:
    study: str
    score: str
    threat: Threat | None
    first: Outcome
    second: Outcome
    made: Differing
    measured: tuple[Versus, ...]
    uncommon: tuple[UnderAttack, ...]
    """Attacks that only some of the models had."""
    unfinished: Mapping[str, int]
    """State → trials of the study that are still without a result."""

    @property
    def of_trials(self) -> bool:
        return self.first.side.kind == TRIAL

    @property
    def paired(self) -> bool:
        return any(one.found.spread is not None for one in self.measured)


def compared(
    db: Database,
    study: str | None,
    first: str,
    second: str,
    score: str,
    eps: str | None = None,
    chosen: Filter = listing.EVERYTHING,
) -> Comparison:
    """Two sides by name, of the trials that a filter leaves. Raises as `find_sides` and `held` do, and BadInput for an ε (a
    number, or a fraction as text) that the study did not attack."""
    sides = find_sides(db, study, first, second)
    kept = None if chosen is listing.EVERYTHING else listing.ids(db, chosen.narrowed("study", sides.study))
    one, other = (
        side if kept is None else replace(side, trials=side.trials & kept) for side in (sides.first, sides.second)
    )
    over = FACTORS if one.factor is None else (one.factor,)
    return held(db, sides.study, one, other, over, score, radius(db, sides.study, "worst_case", eps, "--eps"))


def held(
    db: Database, study: str, first: Side, second: Side, over: Sequence[str], score: str, eps: float | None = None
) -> Comparison:
    """Two sides of a study against each other; `over` are the factors in which they differ, within which nothing is paired. `eps`
    takes the place of the score's. Raises BadInput where what became of their images is not stored."""
    threat = study_row(db, study).threat
    wanted = first.trials | second.trials
    scored = [row for row in queries.scores(db, study, "innate") if row.trial_id in wanted]
    models = study_models(db, study, scored, wanted)
    if eps is not None and threat is not None:
        threat = replace(threat, eps=eps)
        models = [replace(model, outcomes=model.outcomes.at(eps)) for model in models if eps in model.outcomes.eps]
    one, other = (
        Outcome(side, tuple(model for model in models if model.trial_id in side.trials)) for side in (first, second)
    )
    for outcome in (one, other):
        if not outcome.models:
            raise BadInput(
                f"{outcome.side.named}: what became of each image is not stored in study {study}; innate run does it"
            )
    asked, uncommon = measures(models, threat, score, images_of(influences(models, score)))
    if first.kind == TRIAL:
        measured = [of_two(one.models[0], other.models[0], measure) for measure in asked]
    else:
        measured = [of_groups(one.models, other.models, over, measure) for measure in asked]
    rows = listing.page(db, listing.EVERYTHING.narrowed("study", study), "study", limit=-1)
    return Comparison(
        study,
        score,
        threat,
        one,
        other,
        differing(*(_rows(rows, outcome) for outcome in (one, other))),
        tuple(measured),
        tuple(uncommon),
        queries.unfinished_rows(db, study),
    )


def _rows(rows: Sequence[ListedTrial], outcome: Outcome) -> list[ListedTrial]:
    return [row for row in rows if row.trial_id in outcome.side.trials]


def as_rows(found: Comparison) -> list[Options]:
    """One per measure, for programs: accuracies and differences as fractions, a score in its own unit."""
    return [_row(found, one) for one in found.measured]


def _row(found: Comparison, one: Versus) -> Options:
    full = full_of(one)
    spread, test = one.found.spread, one.mcnemar
    low, high = one.interval or (None, None)
    return {
        "study": found.study,
        "first": found.first.side.named,
        "second": found.second.side.named,
        "measure": one.measure.name,
        "attack": one.measure.attack,
        "norm": one.measure.norm,
        "eps": one.measure.eps,
        "a": _times(full, one.first),
        "b": _times(full, one.second),
        "difference": None if spread is None else full * spread.mean,
        "low": _times(full, low),
        "high": _times(full, high),
        "pairs": one.found.pairs,
        "won": one.found.won,
        "over_images": spread is not None and spread.seeds is None,
        "upper_bound_a": is_bound(found.first, one),
        "upper_bound_b": is_bound(found.second, one),
        "trust_a": found.first.trust,
        "trust_b": found.second.trust,
        "only_a": None if test is None else test.only_first,
        "only_b": None if test is None else test.only_second,
        "p": None if test is None else test.p,
    }


def is_bound(side: Outcome, one: Versus) -> bool:
    """Whether this number of it is an upper bound; what stands under one attack is a plain count."""
    return side.bound and one.measure.attack is None and SCORES[one.measure.name].attacked


def full_of(one: Versus) -> float:
    """The largest value, in whose fractions it is measured."""
    return 1.0 if one.measure.bits else SCORES[one.measure.name].full


def _times(scale: float, value: float | None) -> float | None:
    return None if value is None else scale * value

"""What each level of a factor does, and what two factors do together: the numbers behind `chart effects` and `interactions`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.report.aggregate import Difference, difference, images_of, influences
from app.report.scope import Scope
from app.report.study_models import study_models
from core.names import worst
from core.verdict.described.variance import Analysis
from core.verdict.findings.contrast import Value, against, at_level, contrast
from core.verdict.findings.models import Model, varying
from core.verdict.findings.residuals import Cell, Residuals, residuals
from core.verdict.scoring import SCORES
from storage import queries


@dataclass(frozen=True)
class Effect:
    """A level against the mean of the others, in the score's unit; None where no pair has all levels."""

    level: str
    difference: Difference | None
    trust: str
    missing: int
    """Seeds of the other choices that some of the levels lack."""


@dataclass(frozen=True)
class Effects:
    """By factor, the best level first."""

    factors: tuple[tuple[str, tuple[Effect, ...]], ...]
    single: str | None
    """The one level of the factor that was asked for, where it does not vary."""
    images: int
    bound: bool
    """Some of the numbers are upper bounds that nobody audited."""
    imported: int
    """Models that were trained elsewhere: no seed to pair them by."""


@dataclass(frozen=True)
class Interactions:
    found: Residuals
    differences: dict[Cell, Difference | None]
    trust: dict[Cell, str]
    bound: bool
    imported: int


def effects(scope: Scope, score: str, factor: str | None) -> Effects | None:
    """Of every factor that varies, or of the one that is named; None without results."""
    models, imported = _models(scope, score)
    if not models:
        return None
    value = images_of(influences(models, score))
    found = []
    for name in [factor] if factor is not None else varying(models):
        levels = sorted({model.levels[name] for model in models})
        if len(levels) > 1:
            found.append(
                (name, tuple(_ordered([_effect(models, name, level, levels, value, score) for level in levels])))
            )
    single = models[0].levels[factor] if factor is not None and not found else None
    return Effects(tuple(found), single, len(models[0].outcomes.clean), _bound(models, score), imported)


def _effect(
    models: Sequence[Model], factor: str, level: str, levels: Sequence[str], value: Value, score: str
) -> Effect:
    others = [other for other in levels if other != level]
    found = contrast(against(models, factor, level, others), (factor,), value)
    used = found.used[0] or at_level(models, factor, level)
    return Effect(level, difference(score, found), worst([model.trust for model in used]), found.missing)


def _ordered(found: Sequence[Effect]) -> list[Effect]:
    return sorted(found, key=lambda one: (one.difference is None, -(one.difference.value if one.difference else 0.0)))


def default_pair(models: Sequence[Model]) -> tuple[str, str] | None:
    """Defense and the factor that has most levels, else the two that have most; None where fewer than two vary."""
    counts = {factor: len({model.levels[factor] for model in models}) for factor in varying(models)}
    most = sorted(counts, key=lambda factor: -counts[factor])
    if "defense" in counts:
        most = [*[factor for factor in most if factor != "defense"][:1], "defense"]
    return (most[0], most[1]) if len(most) > 1 else None


def partner(models: Sequence[Model], variance: Analysis | None, factor: str) -> str | None:
    """The other factor that matters most beside `factor`: with which it interacts most, by the variance that this explains, else
    (nothing is known of that) which explains most by itself. None where no other varies."""
    others = [other for other in varying(models) if other != factor]
    terms = {frozenset(term.factors): term for term in (variance.terms if variance else ()) if term.df}

    def weight(other: str) -> tuple[float, float]:
        together, alone = terms.get(frozenset((factor, other))), terms.get(frozenset((other,)))
        return (together.ss if together else 0.0), (alone.ss if alone else 0.0)

    return max(others, key=weight, default=None)


def interactions(scope: Scope, score: str, factors: tuple[str, str] | None) -> Interactions | str | None:
    """Of two factors; the sentence that says why where two do not vary, None without results."""
    models, imported = _models(scope, score)
    if not models:
        return None
    pair = factors or default_pair(models)
    if pair is None:
        there = varying(models)
        return f"an interaction needs two factors that vary; here {f'only {there[0]} does' if there else 'none does'}"
    for factor in pair:
        levels = {model.levels[factor] for model in models}
        if len(levels) < 2:
            return f"an interaction needs two levels of {factor}; here it is always {levels.pop()}"
    found = residuals(models, pair, images_of(influences(models, score)))
    return Interactions(
        found,
        {cell: difference(score, one) for cell, one in found.cells.items()},
        {cell: worst([model.trust for model in members]) for cell, members in found.models.items()},
        _bound(models, score),
        imported,
    )


def _models(scope: Scope, score: str) -> tuple[list[Model], int]:
    """Those in scope, named among all of their study, without imported ones; and how many of those there are."""
    everything = queries.scores(scope.db, scope.study, score)
    kept = [row.trial_id for row in scope.kept(everything)]
    models, eps = study_models(scope.db, scope.study, everything, kept), scope.at(score)
    if eps is not None:
        models = [replace(model, outcomes=model.outcomes.at(eps)) for model in models if eps in model.outcomes.eps]
    trained = [model for model in models if model.seed >= 0]
    return trained, len(models) - len(trained)


def _bound(models: Sequence[Model], score: str) -> bool:
    return SCORES[score].attacked and any(model.bound for model in models)

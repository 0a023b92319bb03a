"""From a study's models to its findings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.names import worst
from core.verdict.crossed import Spread
from core.verdict.decisions import ERROR, MARGIN, NOTHING, Decision, Doubt, above, differs, holm, mirrored
from core.verdict.described.permutation import pairs_needed, two_sided
from core.verdict.findings.causes import Cause, Known, causes, known
from core.verdict.findings.contrast import Cell, Contrast, Group, contrast
from core.verdict.findings.finding import Beside, Finding, Hindrance, Obstacle, Part
from core.verdict.findings.models import Model, pooled_overstatement
from core.verdict.findings.questions import APART, BELOW, Comparison, Question, questions
from core.verdict.settling.looked import Looked
from core.verdict.settling.stage import Decided
from core.verdict.statistics import t_interval

MOST_FLIPPED = 400
"""Pairs up to which sign flips are tried: with more, they and the t test agree."""
MATCHED = 0.01
"""Difference in clean accuracy up to which two models are as good as each other on clean images."""

BARS = {Hindrance.UNEQUAL, Hindrance.UNAUDITED, Hindrance.WITHIN_AUDIT, Hindrance.ALL_INVALID}
"""What more seeds cannot change."""


@dataclass(frozen=True)
class Asked:
    """A question with what its comparisons came to, and the doubt that is left."""

    question: Question
    parts: tuple[Part, ...]
    doubt: Doubt
    barred: bool
    """No number of seeds can support it: too many of its comparisons rest on unequal attacks, or on what audits leave open."""
    obstacles: tuple[Obstacle, ...]
    chosen: int | None
    """The comparison that decides; None where there is none."""


def find(
    models: Sequence[Model],
    *,
    margin: float = MARGIN,
    error: float = ERROR,
    waiting: int = 0,
    looked: Sequence[Looked] = (),
) -> list[Finding]:
    """Verdicts on every question. `margin` is in points; `error` is of each family (the claims; each factor's levels); `waiting`
    trials are still to come. Families that are settled look by look, `looked`, have the verdicts of their looks and no other:
    this is no look."""
    asked = [ask(question, margin) for question in questions(models)]
    traits = known(models) if any(model.traits for model in models) else None
    found: dict[str, Finding] = {}
    for family in dict.fromkeys(one.question.family for one in asked):
        members = [one for one in asked if one.question.family == family]
        counted = [one for one in members if one.chosen is not None]
        needed = pairs_needed(error, max(1, len(counted)))
        history = next((one for one in looked if one.family == family and one.looks), None)
        if history is None:
            decisions = dict(
                zip((one.question.key for one in counted), holm([one.doubt for one in counted], error), strict=True)
            )
        else:
            decisions = {one.question.key: _decision(one, history, len(counted)) for one in counted}
        for one in members:
            decision = decisions.get(one.question.key)
            made = finding(one, decision, margin, waiting, needed, history)
            found[one.question.key] = made if traits is None else replace(made, causes=_causes(one, traits))
    return [found[one.question.key] for one in asked]


def _causes(asked: Asked, traits: Known) -> tuple[Cause, ...]:
    if asked.chosen is None:
        return ()
    weights = [group.weight for group in asked.question.comparisons[asked.chosen].groups]
    return causes(asked.parts[asked.chosen].found, weights, traits)


def _decision(asked: Asked, history: Looked, family: int) -> Decision:
    """Of the look that decided it; of one that none has, that it may err by its share of the last one's error."""
    decided = history.of(asked.question.key)
    if decided is not None:
        return Decision(decided.verdict, decided.p, decided.error)
    undecided = max(1, family - len(history.decided))
    return Decision("inconclusive", 1.0, history.looks[-1].error / undecided)


def ask(question: Question, margin: float) -> Asked:
    """Carry out the comparisons of a question."""
    share = margin / 100.0
    parts, doubts, obstacles, free = [], [], list(question.obstacles), 0
    for one in question.comparisons:
        found = contrast(one.groups, one.over, one.value, pooled=_some_may_collapse(one))
        parts.append(Part(one.level, one.other, one.attack, found))
        doubt, against = _doubt(found, one, question.supposes, share)
        doubts.append(doubt)
        free += not any(new.kind in BARS for new in against)
        obstacles += [new for new in against if new not in obstacles]
    counted = [place for place, part in enumerate(parts) if part.found.spread is not None]
    chosen = None
    if counted and len(counted) == len(parts):
        chosen = _deciding(question, doubts)
    return Asked(
        question,
        tuple(parts),
        question.combine(doubts) if chosen is not None else NOTHING,
        free < question.needed,
        tuple(_merged(obstacles)),
        chosen,
    )


def _some_may_collapse(one: Comparison) -> bool:
    """Whether a level is held against the mean of several where some model learned nothing: one whose seeds all came through
    would look surer than it is. Pairs need no such care (simulated)."""
    several = one.other == ""
    return several and any(model.trust == "invalid" for group in one.groups for model in group.models)


def _doubt(found: Contrast, one: Comparison, supposes: str, margin: float) -> tuple[Doubt, list[Obstacle]]:
    """What a difference leaves of doubt, once what would make it worthless is held against it."""
    spread = found.spread
    if spread is None:
        return NOTHING, [Obstacle(Hindrance.NO_PAIRS, found.missing, (one.level, one.other))]
    obstacles = [Obstacle(Hindrance.MISSING, found.missing)] if found.missing else []
    models = [model for group in found.used for model in group]
    if all(model.trust == "invalid" for model in models):
        return NOTHING, [*obstacles, Obstacle(Hindrance.ALL_INVALID)]
    if spread.seeds is None:
        return NOTHING, [*obstacles, Obstacle(Hindrance.ONE_SEED)]
    uneven = {model.trial_id for model in models if model.uneven}
    if uneven:
        return NOTHING, [*obstacles, Obstacle(Hindrance.UNEQUAL, len(uneven))]
    doubt = _supposed(spread, supposes, margin)
    bound = bound_of(found, one.groups)
    if bound is None:
        bare = {model.trial_id for model in models if model.audited is None or model.audited.radius is None}
        return replace(doubt, for_=1.0), [*obstacles, Obstacle(Hindrance.UNAUDITED, len(bare))]
    if abs(spread.mean) <= bound:
        return replace(doubt, for_=1.0), [*obstacles, Obstacle(Hindrance.WITHIN_AUDIT)]
    return doubt, obstacles


def _supposed(spread: Spread, supposes: str, margin: float) -> Doubt:
    match supposes:
        case "above":
            return above(spread, margin)
        case "below":
            return above(mirrored(spread), margin)
    return differs(spread, margin)


def bound_of(found: Contrast, groups: Sequence[Group]) -> float | None:
    """So much the difference can be too large at most: what the side that looks better is too high by."""
    assert found.spread is not None
    better = 1.0 if found.spread.mean >= 0 else -1.0
    total = 0.0
    for group, used in zip(groups, found.used, strict=True):
        if group.weight * better > 0:
            bound = pooled_overstatement([model.audited for model in used])
            if bound is None:
                return None
            total += abs(group.weight) * bound
    return total


def _deciding(question: Question, doubts: Sequence[Doubt]) -> int:
    """Which comparison stands for the question: the one on which `decisions.at_least` rests, of what the data deny rather than
    show the one that denies it; of differences that are nowhere the largest."""
    whole = question.combine(doubts)
    if whole.against < whole.for_ and question.supposes != APART:
        order = sorted(range(len(doubts)), key=lambda place: doubts[place].against)
        return order[len(doubts) - question.needed]
    return sorted(range(len(doubts)), key=lambda place: doubts[place].for_)[question.needed - 1]


def _merged(obstacles: Sequence[Obstacle]) -> list[Obstacle]:
    """One of each kind and names, with the largest count: comparisons of one question share their models."""
    found: dict[tuple[Hindrance, tuple[str, ...]], int] = {}
    for one in obstacles:
        key = one.kind, one.names
        found[key] = max(found.get(key, 0), one.count)
    return [Obstacle(kind, count, names) for (kind, names), count in found.items()]


def finding(
    asked: Asked, decision: Decision | None, margin: float, waiting: int, needed: int, history: Looked | None = None
) -> Finding:
    """What came of a question, with what stands beside it; `needed` pairs would do for sign flips."""
    question, obstacles = asked.question, list(asked.obstacles)
    if waiting:
        obstacles.append(Obstacle(Hindrance.RUNNING, waiting))
    common = {
        "key": question.key, "kind": question.kind, "factor": question.factor, "levels": question.levels,
        "margin": margin / 100.0, "attacks": question.attacks, "parts": asked.parts,
    }  # fmt: skip
    if asked.chosen is None:
        return Finding(
            verdict="inconclusive", effect=None, interval=None, adjusted=None, p=None, error=None, pairs=0, won=0, blocks=0,
            seeds=0, images=0, seeds_alike=False, over_images=False, audit_bound=None, trust="ok", invalid=0, suspect=0, models=0,
            obstacles=tuple(obstacles), trusted=None, matched=None, flips=None, pairs_needed=0, looks=0, decided_at=None,
            **common,  # type: ignore[arg-type]
        )  # fmt: skip
    part, comparison = asked.parts[asked.chosen], question.comparisons[asked.chosen]
    spread = part.found.spread
    assert spread is not None
    models = list(
        {model.trial_id: model for one in asked.parts for group in one.found.used for model in group}.values()
    )
    adjusted = None if decision is None else t_interval(spread, _confidence(decision, question))
    decided = None if history is None else history.of(question.key)
    return Finding(
        verdict="inconclusive" if decision is None else decision.verdict,
        effect=spread.mean,
        interval=t_interval(spread)
        if adjusted is None or history is None
        else _sequential(question, decided, adjusted),
        adjusted=adjusted,
        p=None if decision is None else decision.p,
        error=None if decision is None else decision.error,
        pairs=part.found.pairs,
        won=part.found.won,
        blocks=spread.blocks,
        seeds=part.found.seeds,
        images=spread.test_images,
        seeds_alike=spread.shared,
        over_images=spread.seeds is None,
        audit_bound=bound_of(part.found, comparison.groups),
        trust=worst([model.trust for model in models]),
        invalid=sum(model.trust == "invalid" for model in models),
        suspect=sum(model.trust == "suspect" for model in models),
        models=len(models),
        obstacles=tuple(obstacles),
        flips=two_sided(part.found.differences) if part.found.pairs <= MOST_FLIPPED else None,
        pairs_needed=needed,
        looks=0 if history is None else len(history.looks),
        decided_at=None if decided is None else decided.look,
        deciding=part,
        trusted=_beside(comparison, part.found, trusted=True),
        matched=_beside(comparison, part.found, trusted=False),
        **common,  # type: ignore[arg-type]
    )


def _sequential(question: Question, decided: Decided | None, now: tuple[float, float]) -> tuple[float, float]:
    """The interval of the look that decided, which later data must not narrow; `now` where none has, or where the look's is about
    the size of the largest of several differences."""
    if decided is None or decided.interval is None or (question.supposes == APART and len(question.comparisons) > 1):
        return now
    low, high = decided.interval
    return (-high, -low) if question.supposes == BELOW else (low, high)


def _confidence(decision: Decision, question: Question) -> float:
    """Of the two-sided interval that says what the verdict says: where one end alone decides, the error is that end's."""
    if question.supposes != APART:
        return 1.0 - 2.0 * decision.error / (
            question.needed if decision.verdict == "contradicted" else question.sharing
        )
    # That a difference is nowhere needs no sharing: all comparisons must say so.
    return 1.0 - (2.0 * decision.error if decision.verdict == "contradicted" else decision.error / question.sharing)


def _beside(comparison: Comparison, whole: Contrast, *, trusted: bool) -> Beside | None:
    groups = comparison.groups
    if trusted:
        if all(model.trust == "ok" for group in groups for model in group.models):
            return None if whole.spread is None else Beside(whole.spread.mean, *t_interval(whole.spread), whole.pairs)
        groups = tuple(
            replace(group, models=tuple(model for model in group.models if model.trust == "ok")) for group in groups
        )
        found = contrast(groups, comparison.over, comparison.value)
    else:
        found = contrast(groups, comparison.over, comparison.value, _matched)
    if found.spread is None:
        return None
    return Beside(found.spread.mean, *t_interval(found.spread), found.pairs)


def _matched(cell: Cell) -> bool:
    means = [math.fsum(model.clean_accuracy for model in models) / len(models) for models in cell]
    return max(means) - min(means) <= MATCHED

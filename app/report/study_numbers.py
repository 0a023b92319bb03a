"""What the charts and tables of one study show: scores per variant, accuracy against ε, two factors, the trade-off.

`app.report.study_charts` draws them as text, the screens put the same numbers into tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.report import charts
from app.report.aggregate import Estimate, over_seeds, verdicts
from app.report.groups import Group, groups
from app.report.scope import Scope
from app.report.variants import grouped, varying
from app.report.whiskers import Whisker
from core.errors import NotFound
from core.names import NORM_SIGNS, worst
from core.registry import nearest
from core.verdict.scoring import SCORES
from storage import queries
from storage.studies import study_row

if TYPE_CHECKING:
    from storage.rows import ResultRow, ScoreRow, Trial


@dataclass(frozen=True)
class Placed:
    """A variant with its estimate of one score (percentages for shares), and the worst verdict among its trials."""

    variant_id: str
    trial_ids: tuple[str, ...]
    label: str
    estimate: Estimate
    trust: str
    reasons: tuple[str, ...]

    @property
    def note(self) -> str:
        return "" if self.trust == "ok" else self.trust

    @property
    def whisker(self) -> Whisker:
        """Of an upper bound, which has no lower end, with what lies above it only."""
        estimate = self.estimate
        low = estimate.value if estimate.bound else estimate.low
        return Whisker(self.label, estimate.value, low, estimate.high, self.note)


@dataclass(frozen=True)
class Line:
    """A group's accuracy against ε, in %: the mean over its variants, each over its seeds, at each ε that all of them have."""

    group: Group
    curve: charts.Curve


@dataclass(frozen=True)
class Robustness:
    """The lines of a study, the highest first, with what they show and along which axis."""

    title: str
    x_label: str
    lines: tuple[Line, ...]
    attacks: tuple[str, ...]
    """Every attack of the study that has an ε."""


@dataclass(frozen=True)
class HeatTable:
    """A score's means over everything but two factors, shown up to `full`; `trust` is the worst verdict behind a cell, `trials`
    what is averaged."""

    title: str
    factors: tuple[str, str]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Mapping[tuple[str, str], float]
    trust: Mapping[tuple[str, str], str]
    trials: Mapping[tuple[str, str], tuple[str, ...]]
    full: float


@dataclass(frozen=True)
class Point:
    """A group's clean accuracy in % and a robustness score, means as those of a `Line`; `front`: no other is better in both."""

    group: Group
    clean: float
    robust: float
    front: bool


def ranking(scope: Scope, score: str) -> list[Placed]:
    """One per variant, best first, those without a value last."""
    everything = queries.scores(scope.db, scope.study, score)
    rows, names, scale = scope.kept(everything), scope.names(everything), scale_of(score)
    estimates, judged, trials = over_seeds(scope.db, scope.study, score, rows), verdicts(rows), _trials(rows)
    found = [
        Placed(
            variant,
            trials[variant],
            names[variant],
            _scaled(estimate, scale),
            judged[variant].trust,
            judged[variant].reasons,
        )
        for variant, estimate in estimates.items()
    ]
    return sorted(found, key=lambda one: (one.estimate.value is None, -(one.estimate.value or 0.0)))


def robustness(scope: Scope, attack: str | None, by: Sequence[str] = ()) -> Robustness:
    """Accuracy against ε, from the clean accuracy at 0: the worst case, sample by sample as scores take it, or one attack. Of
    each group of `by` (none: of each variant).

    Raises NotFound for an attack that the study lacks.
    """
    everything = queries.results(scope.db, scope.study)
    tried = sorted({row.attack for row in everything})
    if attack is not None and tried and attack not in tried:
        raise NotFound(f"chart curves --attack {attack}: the study has {', '.join(tried)}{nearest(attack, tried)}")
    scored = queries.scores(scope.db, scope.study, "clean_accuracy")
    if attack is None:
        points, norms = _worst_cases(scope, scored)
        title, rows = f"{scope.study}: worst case", []
    else:
        rows = [row for row in everything if row.eps is not None and not row.added and row.attack == attack]
        points, norms = _under(rows), {row.norm for row in rows}
        title = f"{scope.study}: accuracy under {attack}"
    # A model can be worthless though its evaluations went well, so the verdict on the whole trial counts too.
    found = groups(scope, [row for row in scored if row.trial_id in points], by, rows)
    lines = [Line(group, _common(group, points)) for group in found]
    lines.sort(key=lambda line: -sum(line.curve.y))
    return Robustness(
        title,
        f"ε ({', '.join(NORM_SIGNS[norm] for norm in sorted(norms))})",
        tuple(lines),
        tuple(sorted({row.attack for row in everything if row.eps is not None})),
    )


def _worst_cases(scope: Scope, scored: Sequence[ScoreRow]) -> tuple[dict[str, dict[float, float]], set[str]]:
    """Trial id → ε → share that stands in %, and the norm; no trials where the study has no threat."""
    norm = study_row(scope.db, scope.study).threat_norm
    if norm is None:
        return {}, set()
    points = {row.trial_id: {0.0: 100.0 * row.value} for row in scored if row.value is not None}
    for row in queries.worst_cases(scope.db, scope.study, norm):
        if row.trial_id in points:
            points[row.trial_id][row.eps] = 100.0 * row.accuracy
    return {trial: found for trial, found in points.items() if len(found) > 1}, {norm}


def _under(rows: Sequence[ResultRow]) -> dict[str, dict[float, float]]:
    """The same of results of one attack."""
    points: dict[str, dict[float, float]] = {}
    for row in rows:
        if row.eps is not None:
            points.setdefault(row.trial_id, {0.0: 100.0 * row.clean_accuracy})[row.eps] = 100.0 * row.robust_accuracy
    return points


def _common(group: Group, points: Mapping[str, Mapping[float, float]]) -> charts.Curve:
    """Its mean at each x that all of its trials have."""
    shared = sorted(set.intersection(*(set(points[trial]) for trial in group.trial_ids)))
    means = [group.mean({trial: points[trial][x] for trial in group.trial_ids}) for x in shared]
    return charts.Curve(group.label, tuple(shared), tuple(mean for mean in means if mean is not None))


def heat_table(scope: Scope, score: str, factors: tuple[str, str] | None) -> HeatTable | None:
    """Two factors against each other, means over everything else; without `factors`, two that vary. None: no scores."""
    rows = scope.kept(scope.scored(score))
    if not rows:
        return None
    if factors is None:
        differing = varying(rows)
        first = "optimizer" if "optimizer" in differing or not differing else differing[0]
        second = next((factor for factor in ("activation", *differing) if factor != first), "activation")
        factors = first, second
    cells: dict[tuple[str, str], list[float]] = {}
    trust: dict[tuple[str, str], str] = {}
    trials: dict[tuple[str, str], list[str]] = {}
    firsts, seconds = grouped(rows, factors[0]), grouped(rows, factors[1])
    for row, first, second in zip(rows, firsts, seconds, strict=True):
        if row.value is not None:
            cells.setdefault((first, second), []).append(float(row.value))
            trust[first, second] = worst([trust.get((first, second)), row.trust])
            trials.setdefault((first, second), []).append(row.trial_id)
    return HeatTable(
        f"{scope.study}: {score}{unit_of(score)}, {factors[0]} × {factors[1]}",
        factors,
        tuple(dict.fromkeys(firsts)),
        tuple(dict.fromkeys(seconds)),
        {key: scale_of(score) * sum(values) / len(values) for key, values in cells.items()},
        trust,
        {key: tuple(found) for key, found in trials.items()},
        scale_of(score) * SCORES[score].full,
    )


def points(scope: Scope, score: str, by: Sequence[str] = ()) -> list[Point]:
    """Clean accuracy and a robustness score of every group of `by` (none: of every variant) that has both, in the order of the
    study."""
    clean, robust = _known(queries.scores(scope.db, scope.study, "clean_accuracy")), scope.scored(score)
    values = _known(robust)
    found = [
        (group, 100.0 * x, scale_of(score) * y)
        for group in groups(scope, robust, by)
        if (x := group.mean(clean)) is not None and (y := group.mean(values)) is not None
    ]
    # What an invalid model scores is no achievement that others would have to beat.
    trusted = [one for one in found if one[0].trust != "invalid"]
    best = {trusted[index][0].key for index in pareto_front([one[1:] for one in trusted])}
    return [Point(group, x, y, front=group.key in best) for group, x, y in found]


def _known(rows: Sequence[ScoreRow]) -> dict[str, float]:
    return {row.trial_id: row.value for row in rows if row.value is not None}


def pareto_front(pairs: Sequence[tuple[float, float]]) -> list[int]:
    """The places of the pairs that no other pair beats: at least as good in both and better in one. First ascending."""
    front: list[int] = []
    highest = float("-inf")
    for index in sorted(range(len(pairs)), key=lambda index: (-pairs[index][0], -pairs[index][1])):
        if pairs[index][1] > highest or (front and pairs[index] == pairs[front[-1]]):
            front.append(index)
            highest = pairs[index][1]
    return front[::-1]


def _trials(rows: Sequence[Trial]) -> dict[str, tuple[str, ...]]:
    """variant_id → its trials."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        found.setdefault(row.variant_id, {})[row.trial_id] = None
    return {variant: tuple(trials) for variant, trials in found.items()}


def mean_curve(label: str, points: Mapping[tuple[float, str], float]) -> charts.Curve:
    """The mean over trials at each x, from (x, trial) → y."""
    columns: dict[float, list[float]] = {}
    for (x, _), y in sorted(points.items()):
        columns.setdefault(x, []).append(y)
    return charts.Curve(label, tuple(columns), tuple(sum(values) / len(values) for values in columns.values()))


def scale_of(score: str) -> float:
    return 100.0 if SCORES[score].percent else 1.0


def unit_of(score: str) -> str:
    return " in %" if SCORES[score].percent else ""


def _scaled(estimate: Estimate, scale: float) -> Estimate:
    value, low, high = (None if end is None else scale * end for end in (estimate.value, estimate.low, estimate.high))
    return replace(estimate, value=value, low=low, high=high)

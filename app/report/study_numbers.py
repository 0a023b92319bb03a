"""What the charts and tables of one study show: scores per variant, accuracy against ε, two factors, the trade-off.

`app.report.study_charts` draws them as text, the screens put the same numbers into tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from app.report import charts
from app.report.aggregate import Estimate, over_seeds, verdicts
from app.report.variants import GROUPS, grouped, labels, level, varying
from app.report.whiskers import Whisker
from core.errors import BadInput, NotFound
from core.names import FACTORS, NORM_SIGNS, worst
from core.registry import nearest
from core.verdict.scoring import SCORES
from storage import queries
from storage.studies import study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.rows import ResultRow, ScoreRow, Trial

T = TypeVar("T", bound="Trial")


@dataclass(frozen=True)
class Scope:
    """What of which study is asked for: `where` keeps rows whose factors match, `variants` those of some variants."""

    db: Database
    study: str
    where: Mapping[str, str] = field(default_factory=dict)
    variants: frozenset[str] | None = None

    def kept(self, rows: Sequence[T]) -> list[T]:
        """The rows that match `where` and `variants`; raises BadInput for a factor that charts do not know."""
        for key in self.where:
            if key not in GROUPS:
                raise BadInput(f"--where {key}: not one of {', '.join(GROUPS)}{nearest(key, FACTORS)}")
        matching = [row for row in rows if all(_value(row, key) == value for key, value in self.where.items())]
        return [row for row in matching if self.variants is None or row.variant_id in self.variants]

    def names(self, rows: Sequence[T]) -> dict[str, str]:
        """variant_id → label. A few variants are called what they are called among all of their study."""
        return labels(replace(self, variants=None).kept(rows))

    def nothing(self) -> str:
        return f"{self.study}: nothing to draw yet; see innate trials --study {self.study}"


def _value(row: Trial, key: str) -> str:
    return str(row.seed if key == "seed" else level(row, key))


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
    """A variant's accuracy against ε, in %, means over its seeds."""

    variant_id: str
    trial_ids: tuple[str, ...]
    curve: charts.Curve
    trust: str
    reasons: tuple[str, ...]


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
    """A score's means over everything but two factors; `trust` is the worst verdict behind a cell."""

    title: str
    factors: tuple[str, str]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Mapping[tuple[str, str], float]
    trust: Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Point:
    """A variant's clean accuracy in % and a robustness score; `front`: no other variant is better in both."""

    variant_id: str
    trial_ids: tuple[str, ...]
    label: str
    clean: float
    robust: float
    trust: str
    reasons: tuple[str, ...]
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


def robustness(scope: Scope, attack: str | None) -> Robustness:
    """Accuracy against ε, from the clean accuracy at 0: the worst case, sample by sample as scores take it, or one attack. Means
    over seeds.

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
        rows = [row for row in scope.kept(everything) if row.eps is not None and not row.added and row.attack == attack]
        points, norms = _under(rows), {row.norm for row in rows}
        title = f"{scope.study}: accuracy under {attack}"
    of_trial: dict[str, Trial] = {row.trial_id: row for row in everything}
    of_trial |= {row.trial_id: row for row in scored}
    names = scope.names([*of_trial.values()])
    kept = scope.kept([of_trial[trial] for trial in points])
    # A model can be worthless though its evaluations went well, so the verdict on the whole trial counts too.
    judged = verdicts([*rows, *scope.kept(scored)])
    lines = [
        Line(
            variant,
            trials,
            _common(names[variant], [points[trial] for trial in trials]),
            judged[variant].trust,
            judged[variant].reasons,
        )
        for variant, trials in _trials(kept).items()
    ]
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


def _common(label: str, trials: Sequence[Mapping[float, float]]) -> charts.Curve:
    """The mean over trials at each x that all of them have."""
    shared = sorted(set.intersection(*(set(one) for one in trials)))
    return charts.Curve(label, tuple(shared), tuple(sum(one[x] for one in trials) / len(trials) for x in shared))


def heat_table(scope: Scope, score: str, factors: tuple[str, str] | None) -> HeatTable | None:
    """Two factors against each other, means over everything else; without `factors`, two that vary. None: no scores."""
    rows = scope.kept(queries.scores(scope.db, scope.study, score))
    if not rows:
        return None
    if factors is None:
        differing = varying(rows)
        first = "optimizer" if "optimizer" in differing or not differing else differing[0]
        second = next((factor for factor in ("activation", *differing) if factor != first), "activation")
        factors = first, second
    cells: dict[tuple[str, str], list[float]] = {}
    trust: dict[tuple[str, str], str] = {}
    firsts, seconds = grouped(rows, factors[0]), grouped(rows, factors[1])
    for row, first, second in zip(rows, firsts, seconds, strict=True):
        if row.value is not None:
            cells.setdefault((first, second), []).append(float(row.value))
            trust[first, second] = worst([trust.get((first, second)), row.trust])
    return HeatTable(
        f"{scope.study}: {score}{unit_of(score)}, {factors[0]} × {factors[1]}",
        factors,
        tuple(dict.fromkeys(firsts)),
        tuple(dict.fromkeys(seconds)),
        {key: scale_of(score) * sum(values) / len(values) for key, values in cells.items()},
        trust,
    )


def points(scope: Scope, score: str) -> list[Point]:
    """Clean accuracy and a robustness score of every variant that has both, in the order of the study."""
    clean = over_seeds(
        scope.db, scope.study, "clean_accuracy", scope.kept(queries.scores(scope.db, scope.study, "clean_accuracy"))
    )
    everything = queries.scores(scope.db, scope.study, score)
    rows, names = scope.kept(everything), scope.names(everything)
    judged, trials = verdicts(rows), _trials(rows)
    found = [
        (variant, 100.0 * value, scale_of(score) * estimate.value)
        for variant, estimate in over_seeds(scope.db, scope.study, score, rows).items()
        if estimate.value is not None and (value := clean[variant].value) is not None
    ]
    # What an invalid model scores is no achievement that others would have to beat.
    trusted = [one for one in found if judged[one[0]].trust != "invalid"]
    best = {trusted[index][0] for index in pareto_front([one[1:] for one in trusted])}
    return [
        Point(
            variant,
            trials[variant],
            names[variant],
            x,
            y,
            judged[variant].trust,
            judged[variant].reasons,
            front=variant in best,
        )
        for variant, x, y in found
    ]


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

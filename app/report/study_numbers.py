"""What the charts and tables of one study show: scores per variant, accuracy against ε, two factors, the trade-off.

`app.report.study_charts` draws them as text, the screens put the same numbers into tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from app.report import charts
from app.report.aggregate import Estimate, over_seeds, worst_trust
from app.report.variants import FACTORS, labels, levels, varying
from core.errors import BadInput, NotFound
from core.registry import nearest
from core.verdict.scoring import SCORES
from storage import queries
from storage.studies import study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

_NORMS = {"linf": "ℓ∞", "l2": "ℓ2"}
_TRUST = ("ok", "suspect", "invalid")


@dataclass(frozen=True)
class Frame:
    """What every chart of a study needs: `size` is (columns, rows); `where` keeps rows whose factors match, `variants`
    those of some variants."""

    db: Database
    study: str
    size: tuple[int, int]
    colour: bool
    where: Mapping[str, str]
    variants: frozenset[str] | None = None

    def kept(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows that match `where` and `variants`; raises BadInput for a factor that charts do not know."""
        for key in self.where:
            if key not in (*FACTORS, "seed"):
                raise BadInput(f"--where {key}: not one of {', '.join((*FACTORS, 'seed'))}{nearest(key, FACTORS)}")
        matching = [row for row in rows if all(str(row[key]) == value for key, value in self.where.items())]
        return [row for row in matching if self.variants is None or row["variant_id"] in self.variants]

    def names(self, rows: Sequence[dict[str, Any]]) -> dict[str, str]:
        """variant_id → label. A few variants are called what they are called among all of their study."""
        return labels(replace(self, variants=None).kept(rows))

    def nothing(self) -> str:
        return f"{self.study}: nothing to draw yet; see innate trials --study {self.study}"


@dataclass(frozen=True)
class Standing:
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
    def bar(self) -> charts.Bar:
        return charts.Bar(self.label, self.estimate.value, self.estimate.low, self.estimate.high, self.note)


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


def standings(frame: Frame, score: str) -> list[Standing]:
    """One per variant, best first, those without a value last."""
    everything = queries.scores(frame.db, frame.study, score)
    rows, names, scale = frame.kept(everything), frame.names(everything), scale_of(score)
    estimates, verdicts, trials = over_seeds(rows), worst_trust(rows), _trials(rows)
    found = [
        Standing(variant, trials[variant], names[variant], _scaled(estimate, scale), *verdicts[variant])
        for variant, estimate in estimates.items()
    ]
    return sorted(found, key=lambda one: (one.estimate.value is None, -(one.estimate.value or 0.0)))


def robustness(frame: Frame, attack: str | None) -> Robustness:
    """Accuracy against ε, from the clean accuracy at 0: the worst case over attacks, or one attack. Means over seeds.

    The worst case over attacks shown here is the minimum of the attacks' accuracies at each ε, an upper bound of the
    per-sample worst case that scores use. Raises NotFound for an attack that the study lacks.
    """
    everything = queries.results(frame.db, frame.study)
    rows = frame.kept(everything)
    norm = study_row(frame.db, frame.study)["threat_norm"]
    tried = sorted({row["attack"] for row in rows})
    if attack is not None and rows and attack not in tried:
        raise NotFound(f"chart curves --attack {attack}: the study has {', '.join(tried)}{nearest(attack, tried)}")
    rows = [row for row in rows if not row["added"] and row["eps"] is not None]
    rows = [row for row in rows if row["attack"] == attack] if attack else [row for row in rows if row["norm"] == norm]
    names, trials = frame.names(everything), _trials(rows)
    # A model can be worthless though its evaluations went well, so the verdict on the whole trial counts too.
    verdicts = worst_trust([*rows, *frame.kept(queries.scores(frame.db, frame.study, "innate"))])
    lowest: dict[str, dict[tuple[float, str], float]] = {variant: {} for variant in trials}
    for row in rows:
        points = lowest[row["variant_id"]]
        points[0.0, row["trial_id"]] = 100.0 * row["clean_accuracy"]
        key = row["eps"], row["trial_id"]
        points[key] = min(100.0 * row["robust_accuracy"], points.get(key, 100.0))
    lines = [
        Line(variant, trials[variant], mean_curve(names[variant], points), *verdicts[variant])
        for variant, points in lowest.items()
    ]
    lines.sort(key=lambda line: -sum(line.curve.y))
    return Robustness(
        f"{frame.study}: accuracy under {attack}" if attack else f"{frame.study}: lowest accuracy over the attacks",
        f"ε ({', '.join(_NORMS[norm] for norm in sorted({row['norm'] for row in rows}))})",
        tuple(lines),
        tuple(sorted({row["attack"] for row in everything if row["eps"] is not None})),
    )


def heat_table(frame: Frame, score: str, factors: tuple[str, str] | None) -> HeatTable | None:
    """Two factors against each other, means over everything else; without `factors`, two that vary. None: no scores."""
    rows = frame.kept(queries.scores(frame.db, frame.study, score))
    if not rows:
        return None
    if factors is None:
        differing = varying(rows)
        first = "optimizer" if "optimizer" in differing or not differing else differing[0]
        second = next((factor for factor in ("activation", *differing) if factor != first), "activation")
        factors = first, second
    cells: dict[tuple[str, str], list[float]] = {}
    trust: dict[tuple[str, str], str] = {}
    firsts, seconds = levels(rows, factors[0]), levels(rows, factors[1])
    for row, first, second in zip(rows, firsts, seconds, strict=True):
        if row["value"] is not None:
            cells.setdefault((first, second), []).append(float(row["value"]))
            trust[first, second] = max(trust.get((first, second), "ok"), row["trust"] or "ok", key=_TRUST.index)
    return HeatTable(
        f"{frame.study}: {score}{unit_of(score)}, {factors[0]} × {factors[1]}",
        factors,
        tuple(dict.fromkeys(firsts)),
        tuple(dict.fromkeys(seconds)),
        {key: scale_of(score) * sum(values) / len(values) for key, values in cells.items()},
        trust,
    )


def points(frame: Frame, score: str) -> list[Point]:
    """Clean accuracy and a robustness score of every variant that has both, in the order of the study."""
    clean = over_seeds(frame.kept(queries.scores(frame.db, frame.study, "clean_accuracy")))
    everything = queries.scores(frame.db, frame.study, score)
    rows, names = frame.kept(everything), frame.names(everything)
    verdicts, trials = worst_trust(rows), _trials(rows)
    found = [
        (variant, 100.0 * value, scale_of(score) * estimate.value)
        for variant, estimate in over_seeds(rows).items()
        if estimate.value is not None and (value := clean[variant].value) is not None
    ]
    # What an invalid model scores is no achievement that others would have to beat.
    trusted = [one for one in found if verdicts[one[0]][0] != "invalid"]
    best = {trusted[index][0] for index in pareto_front([one[1:] for one in trusted])}
    return [
        Point(variant, trials[variant], names[variant], x, y, *verdicts[variant], front=variant in best)
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


def _trials(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """variant_id → its trials."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        found.setdefault(row["variant_id"], {})[row["trial_id"]] = None
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
    return Estimate(value, low, high, estimate.n, estimate.basis)

"""The charts of one study: which rows, which labels, which axes. `app.charts` draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app import charts
from app.aggregate import over_seeds, worst_trust
from app.variants import FACTORS, labels, levels, varying
from core.errors import BadInput, NotFound
from core.registry import nearest
from core.scoring import SCORES
from storage import queries
from storage.studies import study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

_NORMS = {"linf": "ℓ∞", "l2": "ℓ2"}


@dataclass(frozen=True)
class Frame:
    """What every chart of a study needs: `size` is (columns, rows); `where` keeps rows whose factors match."""

    db: Database
    study: str
    size: tuple[int, int]
    colour: bool
    where: Mapping[str, str]

    def kept(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows that match `where`; raises BadInput for a factor that charts do not know."""
        for key in self.where:
            if key not in (*FACTORS, "seed"):
                raise BadInput(f"--where {key}: not one of {', '.join((*FACTORS, 'seed'))}{nearest(key, FACTORS)}")
        return [row for row in rows if all(str(row[key]) == value for key, value in self.where.items())]

    def nothing(self) -> str:
        return f"{self.study}: nothing to draw yet; see innate trials --study {self.study}"


def score_bars(frame: Frame, score: str) -> str:
    """One bar per variant, best first."""
    rows = frame.kept(queries.scores(frame.db, frame.study, score))
    if not rows:
        return frame.nothing()
    scale = 100.0 if SCORES[score].percent else 1.0
    names, estimates, verdicts = labels(rows), over_seeds(rows), worst_trust(rows)
    items = [
        charts.Bar(
            names[variant],
            _times(scale, estimate.value),
            _times(scale, estimate.low),
            _times(scale, estimate.high),
            "" if verdicts[variant][0] == "ok" else verdicts[variant][0],
        )
        for variant, estimate in estimates.items()
    ]
    items.sort(key=lambda bar: (bar.value is None, -(bar.value or 0.0)))
    unit = " in %" if scale == 100.0 else ""
    return charts.bars(f"{frame.study}: {score}{unit}, with 95 % intervals", items, 100.0, frame.size[0])


def robustness_curves(frame: Frame, attack: str | None) -> str:
    """Accuracy against ε, from the clean accuracy at 0: the worst case over attacks, or one attack. Means over seeds.

    The worst case over attacks shown here is the minimum of the attacks' accuracies at each ε, an upper bound of the
    per-sample worst case that scores use.
    """
    rows = frame.kept(queries.results(frame.db, frame.study))
    norm = study_row(frame.db, frame.study)["threat_norm"]
    tried = sorted({row["attack"] for row in rows})
    if attack is not None and rows and attack not in tried:
        raise NotFound(f"chart curves --attack {attack}: the study has {', '.join(tried)}{nearest(attack, tried)}")
    rows = [row for row in rows if not row["added"] and row["eps"] is not None]
    rows = [row for row in rows if row["attack"] == attack] if attack else [row for row in rows if row["norm"] == norm]
    if not rows:
        return frame.nothing()
    names = labels(rows)
    lowest: dict[str, dict[tuple[float, str], float]] = {variant: {} for variant in names}
    for row in rows:
        points = lowest[row["variant_id"]]
        points[0.0, row["trial_id"]] = 100.0 * row["clean_accuracy"]
        key = row["eps"], row["trial_id"]
        points[key] = min(100.0 * row["robust_accuracy"], points.get(key, 100.0))
    lines = [_mean_curve(names[variant], points) for variant, points in lowest.items()]
    lines.sort(key=lambda curve: -sum(curve.y))
    shown = {row["norm"] for row in rows}
    return charts.curves(
        f"{frame.study}: accuracy under {attack}" if attack else f"{frame.study}: lowest accuracy over the attacks",
        lines,
        x_label=f"ε ({', '.join(_NORMS[norm] for norm in sorted(shown))})",
        y_label="%",
        y_limits=(0.0, 100.0),
        x_ticks=None,
        size=frame.size,
        colour=frame.colour,
    )


def score_heatmap(frame: Frame, score: str, factors: tuple[str, str] | None) -> str:
    """Two factors against each other, means over everything else."""
    rows = frame.kept(queries.scores(frame.db, frame.study, score))
    if not rows:
        return frame.nothing()
    if factors is None:
        differing = varying(rows)
        first = "optimizer" if "optimizer" in differing or not differing else differing[0]
        second = next((factor for factor in ("activation", *differing) if factor != first), "activation")
        factors = first, second
    cells: dict[tuple[str, str], list[float]] = {}
    firsts, seconds = levels(rows, factors[0]), levels(rows, factors[1])
    for row, *key in zip(rows, firsts, seconds, strict=True):
        if row["value"] is not None:
            cells.setdefault((key[0], key[1]), []).append(float(row["value"]))
    scale = 100.0 if SCORES[score].percent else 1.0
    return charts.heatmap(
        f"{frame.study}: {score}{' in %' if scale == 100.0 else ''}, {factors[0]} × {factors[1]}",
        list(dict.fromkeys(firsts)),
        list(dict.fromkeys(seconds)),
        {key: scale * sum(values) / len(values) for key, values in cells.items()},
        frame.size[0],
        full=100.0,
    )


def tradeoff(frame: Frame, score: str) -> str:
    """Clean accuracy against a robustness score, one letter per variant."""
    clean = over_seeds(frame.kept(queries.scores(frame.db, frame.study, "clean_accuracy")))
    rows = frame.kept(queries.scores(frame.db, frame.study, score))
    robust = over_seeds(rows)
    scale = 100.0 if SCORES[score].percent else 1.0
    names = labels(rows)
    points = [
        charts.Curve(names[variant], [100.0 * clean[variant].value], [scale * estimate.value])  # type: ignore[operator]
        for variant, estimate in robust.items()
        if estimate.value is not None and clean[variant].value is not None
    ]
    if not points:
        return frame.nothing()
    return charts.scatter(
        f"{frame.study}: clean accuracy against {score}",
        points,
        x_label="clean accuracy, %",
        y_label=f"{score}{', %' if scale == 100.0 else ''}",
        size=frame.size,
        colour=frame.colour,
    )


def training_curves(frame: Frame) -> str:
    """Training loss against epoch, means over seeds."""
    rows = frame.kept(queries.training(frame.db, frame.study))
    if not rows:
        return frame.nothing()
    names = labels(rows)
    losses: dict[str, dict[tuple[float, str], float]] = {variant: {} for variant in names}
    for row in rows:
        losses[row["variant_id"]][row["epoch"], row["trial_id"]] = row["loss"]
    lines = [_mean_curve(names[variant], points) for variant, points in losses.items()]
    return charts.curves(
        f"{frame.study}: training loss",
        lines,
        x_label="epoch",
        y_label="loss",
        y_limits=None,
        x_ticks=sorted({row["epoch"] for row in rows}),
        size=frame.size,
        colour=frame.colour,
    )


def _mean_curve(label: str, points: Mapping[tuple[float, str], float]) -> charts.Curve:
    """The mean over trials at each x, from (x, trial) → y."""
    columns: dict[float, list[float]] = {}
    for (x, _), y in sorted(points.items()):
        columns.setdefault(x, []).append(y)
    return charts.Curve(label, list(columns), [sum(values) / len(values) for values in columns.values()])


def _times(scale: float, value: float | None) -> float | None:
    return None if value is None else scale * value

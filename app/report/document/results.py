"""What was measured: the leaderboard, means by each factor, accuracy against ε, two factors against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.report import overstated
from app.report.aggregate import Level, by_factors, over_seeds, trials_by_level, verdicts
from app.report.document.material import Material
from app.report.document.record import Block, Curve, Curves, Heading, Heat, Points, Section, Table, Text
from app.report.leaders import ties, ties_line
from app.report.study_charts import SIGNS
from app.report.study_numbers import heat_table, ranking
from app.report.text import interval, number, percent
from app.report.variants import constant, labels, levels
from app.report.worst_curves import WorstCurve, worst_curves
from core.names import NORM_SIGNS, short_id
from storage import queries

_ROWS = 120
"""Variants in a table; a study may have thousands."""
_POINTS = 60
"""Variants in one chart."""
_CURVES = 8
"""In one panel, before it turns into a thicket; as many as there are colours."""
_PANELS = 24


def results(of: Material) -> Section:
    """The headline of every variant first, then what averages say."""
    blocks: list[Block] = [
        Text(
            f"{constant(of.board) or 'Every choice varies'}; clean, worst and kept in %. worst: survives every attack at "
            f"{of.at}; kept: worst / clean; over: so many points worst is too high at most, against what the audits tried."
        ),
        _leaderboard(of),
    ]
    blocks += [Text(line) for line in _about(of)]
    blocks += _headline(of)
    if of.factors:
        blocks.append(Heading("Means by factor"))
        blocks.append(
            Text(
                "Means over n variants; worst, clean and over in %; Δ first: points from the first line, paired by seed, image "
                "and every other choice; each interval by itself."
            )
        )
        blocks += [_by(of, factor) for factor in of.factors]
    blocks += _curves(of)
    if len(of.factors) > 1:
        blocks += _heat(of)
    return Section("Results", tuple(blocks))


def _leaderboard(of: Material) -> Table:
    estimates = over_seeds(of.db, of.name, "innate", of.scored)
    judged, bounds = verdicts(of.scored), _bounds(of)
    factors, columns = _naming(of)
    rows = []
    for row, *names in list(zip(of.board, *columns, strict=True))[:_ROWS]:
        estimate, bound = estimates[row.variant_id], bounds[row.variant_id]
        rows.append(
            (
                *names,
                number(row.innate),
                interval(estimate.low, estimate.high, bound=estimate.bound),
                percent(row.clean_accuracy),
                f"{'' if bound is not None or row.worst_case is None else '≤'}{percent(row.worst_case)}",
                percent(bound),
                percent(row.retention),
                str(row.seeds),
                judged[row.variant_id].trust,
            )
        )
    headings = (*factors, "innate", "95 % CI", "clean", "worst", "over", "kept", "seeds", "trust")
    cut = f" The first {_ROWS} of {len(of.board)}." if len(of.board) > _ROWS else ""
    return Table(
        f"Every variant, best first.{cut}",
        headings,
        tuple(rows),
        frozenset(range(len(factors), len(headings) - 1)),
    )


def _naming(of: Material) -> tuple[list[str], list[list[str]]]:
    """What tells variants apart, as columns: the factors that vary, and an id where that is not enough."""
    factors = of.factors or ["architecture"]
    columns = [levels(of.board, factor) for factor in factors]
    if len(set(zip(*columns, strict=True))) < len(of.board):
        return [*factors, "variant"], [*columns, [short_id(row.variant_id) for row in of.board]]
    return factors, columns


def _bounds(of: Material) -> dict[str, float | None]:
    """Variant → what its worst case is too high by at most."""
    groups: dict[str, list[str]] = {}
    for one in of.scored:
        groups.setdefault(one.variant_id, []).append(one.trial_id)
    return overstated.by_group(overstated.at_score(of.db, of.name), groups)


def _about(of: Material) -> list[str]:
    """Which of them cannot be told from the best one, and what one seed says."""
    estimates = over_seeds(of.db, of.name, "innate", of.scored)
    said = []
    told = ties(of.db, of.name, "innate", of.scored, estimates)
    if told is not None:
        said.append(ties_line(told, labels(of.board), "innate"))
    if of.seeds == 1:
        said.append("One seed: the intervals are over test images: they are about these models, not about other seeds.")
    return said


def _headline(of: Material) -> list[Block]:
    found = ranking(of.scope, "innate")
    bars = tuple(one.whisker for one in found[:_POINTS])
    if len(bars) < 2:
        return []
    cut = f", the best {_POINTS} of {len(found)}" if len(found) > _POINTS else ""
    return [Points(f"Every variant's headline with its 95 % interval{cut}.", (("", bars),), "innate, 0 to 100")]


def _by(of: Material, factor: str) -> Table:
    """Means over everything else, for the scores that a reader asks for first."""
    worst, clean, headline = (_levels(of, score, factor) for score in ("worst_case", "clean_accuracy", "innate"))
    bounds = overstated.by_group(
        overstated.at_score(of.db, of.name), trials_by_level(queries.scores(of.db, of.name, "worst_case"), [factor])
    )
    rows = []
    for name, one in worst.items():
        apart, first = one.difference, one is next(iter(worst.values()))
        rows.append(
            (
                name[0],
                percent(one.score),
                interval(one.low, one.high, 100.0, bound=one.bound),
                "" if first else "-" if apart is None else f"{100 * apart.value:+.1f}",
                "" if first else "-" if apart is None else f"{100 * apart.low:+.1f} to {100 * apart.high:+.1f}",
                percent(bounds.get(name)),
                percent(clean[name].score),
                interval(clean[name].low, clean[name].high, 100.0),
                number(headline[name].score),
                interval(headline[name].low, headline[name].high, bound=headline[name].bound),
                str(one.n),
                one.trust if not one.invalid else f"{one.trust} ({one.invalid} of {one.trials})",
            )
        )
    headings = (
        factor, "worst", "95 % CI", "Δ first", "95 % CI", "over", "clean", "95 % CI", "innate", "95 % CI", "n", "trust",
    )  # fmt: skip
    return Table(
        f"By {factor}.",
        headings,
        tuple(rows),
        frozenset(range(1, len(headings) - 1)),
    )


def _levels(of: Material, score: str, factor: str) -> dict[tuple[str, ...], Level]:
    rows = queries.scores(of.db, of.name, score)
    return {one.names: one for one in by_factors(of.db, of.name, score, rows, [factor])}


def _curves(of: Material) -> list[Block]:
    found = worst_curves(of.db, of.name, of.scored)
    of_panels, of_lines, panels = _panels(of, {one.variant_id: one for one in found})
    cut = f" The first {_PANELS} of {len(panels)} panels." if len(panels) > _PANELS else ""
    caption = (
        "Worst case against ε, sample by sample over all attacks; at 0 the clean accuracy. Means over seeds with 95 % intervals, "
        f"each by itself.{cut}"
    )
    axis = f"ε ({NORM_SIGNS[of.threat.norm]})"
    return [
        Heading("Accuracy against ε"),
        Curves(caption, of_panels, of_lines, tuple(panels[:_PANELS]), axis, "accuracy, %"),
    ]


def _panels(of: Material, found: Mapping[str, WorstCurve]) -> tuple[str, str, list[tuple[str, tuple[Curve, ...]]]]:
    """All in one while they are few; else the levels of one factor in each, and a panel for every choice of the others. What
    panels and lines are of stands before them."""
    names = {factor: levels(of.board, factor) for factor in of.factors}
    if len(found) <= _CURVES or len(names) < 2:
        called = labels(of.board)
        return "", "variant", [("", tuple(_curve(called[one.variant_id], one) for one in found.values()))]
    sizes = {factor: len(set(column)) for factor, column in names.items()}
    across = max(sizes, key=lambda factor: (sizes[factor] <= _CURVES, sizes[factor]))
    order = {name: number for number, name in enumerate(dict.fromkeys(levels(of.scored, across)))}
    panels: dict[str, list[Curve]] = {}
    for place, row in enumerate(of.board):
        if row.variant_id in found:
            others = ", ".join(column[place] for factor, column in names.items() if factor != across)
            panels.setdefault(others, []).append(_curve(names[across][place], found[row.variant_id]))
    return (
        ", ".join(factor for factor in names if factor != across),
        across,
        [(title, tuple(sorted(some, key=lambda one: order[one.label]))) for title, some in sorted(panels.items())],
    )


def _curve(label: str, found: WorstCurve) -> Curve:
    """In %; an upper bound has what lies above it only."""
    points = found.points
    return Curve(
        label,
        found.eps,
        tuple(100 * (one.value or 0.0) for one in points),
        tuple(_times(one.value if one.bound else one.low) for one in points),
        tuple(_times(one.high) for one in points),
        points[-1].bound,
    )


def _times(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _heat(of: Material) -> list[Block]:
    found = heat_table(of.scope, "worst_case", None)
    if found is None:
        return []
    signs: Mapping[tuple[str, str], str] = {key: SIGNS[trust] for key, trust in found.trust.items()}
    marks = _explained(list(found.trust.values()))
    first, second = found.factors
    return [
        Heading(f"{first.capitalize()} × {second}"),
        Heat(
            f"Worst case at {of.at} in %, {first} × {second}, means over everything else.{marks}",
            f"{first} \\ {second}",
            found.rows,
            found.columns,
            found.values,
            signs,
        ),
    ]


def _explained(trust: Sequence[str]) -> str:
    said = [f"{SIGNS[one]} {one}" for one in SIGNS if SIGNS[one] and one in trust]
    return f" {', '.join(said)}." if said else ""

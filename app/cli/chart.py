"""`chart`. To add one: a line in `chart`, a name in KINDS."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import chosen_study, context_of
from app.cli.output import draw
from app.cli.results import BY, Study, canvas_of, one_of, pairs, score_named
from core.errors import BadInput
from core.names import FACTORS

if TYPE_CHECKING:
    from sqlite_utils import Database

KINDS = ("scores", "effects", "interactions", "curves", "heatmap", "tradeoff", "causes", "training", "transfer")


def register(app: typer.Typer) -> None:
    app.command(
        "chart",
        epilog="Examples: innate chart scores; innate chart effects --by optimizer; "
        "innate chart interactions --by activation,defense; innate chart causes --trait margin; innate chart curves "
        "--where activation=relu",
    )(chart)


def chart(
    ctx: typer.Context,
    kind: Annotated[
        str, typer.Argument(help=", ".join(KINDS) + ".", autocompletion=lambda: list(KINDS), metavar="KIND")
    ],
    study: Study = None,
    score: Annotated[str | None, typer.Option(help="For all but curves, training and transfer.")] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="For heatmap and interactions: two factors, such as optimizer,activation; effects and causes: one; curves and "
            "tradeoff: what makes a group, a variant if not given."
        ),
    ] = None,
    attack: Annotated[
        str | None,
        typer.Option(help="For curves: one attack, not the worst case; for transfer: not the last one."),
    ] = None,
    trait: Annotated[
        str | None,
        typer.Option(
            help="For causes: what to hold against the score, not what goes most with it; innate traits lists them.",
            autocompletion=lambda: _traits(),
        ),
    ] = None,
    where: Annotated[list[str] | None, typer.Option(help="Only these, such as activation=relu; repeatable.")] = None,
    trial: Annotated[list[str] | None, typer.Option(help="Only the variants of these trials; repeatable.")] = None,
    chosen: Annotated[
        str | None,
        typer.Option("--filter", help="Only trials that a filter of the screens leaves, such as 'clean>0.9'."),
    ] = None,
    eps: Annotated[
        str | None, typer.Option(help="worst_case or retention at this attacked ε, not the study's own.")
    ] = None,
    columns: Annotated[
        int | None, typer.Option("--width", min=40, help="Columns; the terminal's if not given.")
    ] = None,
    lines: Annotated[int | None, typer.Option("--height", min=10, help="Rows.")] = None,
) -> None:
    """Draw a study's results: scores, effects (of each level), interactions (of two factors), curves (accuracy against ε),
    heatmap, tradeoff, causes (a trait of the models, such as their margin, against the score), training, transfer."""
    from app.report import cause_chart, effect_charts, study_charts
    from app.report.grid import radius
    from storage import listing

    one_of(kind, KINDS, "chart")
    context = context_of(ctx)
    db = context.reading()
    name = chosen_study(db, study)
    if name is None:
        return
    scope = study_charts.Scope(
        db,
        name,
        pairs(where or ()),
        variants_of(db, trial) if trial else None,
        listing.ids(db, listing.parse_filter(chosen).narrowed("study", name)) if chosen else None,
        radius(db, name, score or ("worst_case" if kind == "tradeoff" else "innate"), eps, "--eps"),
    )
    canvas = canvas_of(
        context, columns, lines or (min(24, shutil.get_terminal_size().lines - 4) if sys.stdout.isatty() else 20)
    )
    charts: dict[str, Callable[[], str]] = {
        "scores": lambda: study_charts.score_estimates(scope, canvas, score_named(score)),
        "effects": lambda: effect_charts.level_effects(
            scope, canvas, score_named(score), _one_factor(by, "effects are of")
        ),
        "interactions": lambda: effect_charts.factor_interactions(
            scope, canvas, score_named(score), _two_factors(by, "interactions need", FACTORS)
        ),
        "curves": lambda: study_charts.robustness_curves(scope, canvas, attack, _groups(by)),
        "heatmap": lambda: study_charts.score_heatmap(
            scope, canvas, score_named(score), _two_factors(by, "a heatmap needs", BY)
        ),
        "tradeoff": lambda: study_charts.tradeoff(scope, canvas, score_named(score or "worst_case"), _groups(by)),
        "causes": lambda: cause_chart.causes(
            scope, canvas, score_named(score or "worst_case"), _trait(trait), _one_factor(by, "causes are shown by")
        ),
        "training": lambda: study_charts.training_curves(scope, canvas),
        "transfer": lambda: study_charts.transfer_heatmap(scope, canvas, attack),
    }
    draw(charts[kind]())


def variants_of(db: Database, trials: Sequence[str]) -> frozenset[str]:
    """The variants of some trials; raises NotFound or BadInput as `find_trial` does."""
    from storage.queries import find_trial
    from storage.trial import trial_detail

    return frozenset(trial_detail(db, find_trial(db, prefix)).variant_id for prefix in trials)


def _two_factors(by: str | None, who: str, allowed: Sequence[str]) -> tuple[str, str] | None:
    if by is None:
        return None
    factors = [one_of(factor.strip(), allowed, "--by") for factor in by.split(",")]
    if len(factors) != 2 or factors[0] == factors[1]:
        raise BadInput(f"--by {by}: {who} two different factors, such as optimizer,activation")
    return factors[0], factors[1]


def _groups(by: str | None) -> list[str]:
    from storage.grouping import BY as GROUPINGS

    return [one_of(factor.strip(), GROUPINGS, "--by") for factor in by.split(",")] if by else []


def _traits() -> list[str]:
    from core.traits import TRAITS

    return list(TRAITS)


def _trait(name: str | None) -> str | None:
    return None if name is None else one_of(name, _traits(), "--trait")


def _one_factor(by: str | None, who: str) -> str | None:
    if by is None:
        return None
    if "," in by:
        raise BadInput(f"--by {by}: {who} one factor")
    return one_of(by.strip(), FACTORS, "--by")

"""`results`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import chosen_study, complete_study, context_of
from app.cli.output import emit_document, emit_file, width
from app.context import Context
from core.errors import BadInput
from core.names import FACTORS

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.report.aggregate import Level
    from app.report.charts import Canvas
    from app.report.paper_tables import PaperTable
    from storage.reading import Json, Options
    from storage.rows import VariantRow

Study = Annotated[
    str | None, typer.Option("--study", help="The study; the one run last if not given.", autocompletion=complete_study)
]
FORMATS = ("table", "json", "csv", "markdown", "latex")
BY = (*FACTORS, "seed")


def register(app: typer.Typer) -> None:
    app.command(
        "results",
        epilog="Examples: innate results; innate results --by optimizer --score worst_case; "
        "innate results --by optimizer,activation --format latex; innate results --published",
    )(results)


def results(
    ctx: typer.Context,
    table: Annotated[
        str | None,
        typer.Argument(metavar="TABLE", help="With --published: which table (see innate published)."),
    ] = None,
    study: Study = None,
    by: Annotated[
        str | None,
        typer.Option(
            help=f"Average over all but these factors: {', '.join(BY)}; two are a pivot in markdown and latex."
        ),
    ] = None,
    score: Annotated[str | None, typer.Option(help="The score (see innate scores); innate if not given.")] = None,
    eps: Annotated[
        str | None, typer.Option(help="With --by: worst_case or retention at this attacked ε, not the study's own.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help=", ".join(FORMATS) + ".")] = "table",
    published: Annotated[
        bool, typer.Option("--published", help="Set published tables beside, and say what is comparable.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Scores of a study's variants, with intervals and trust."""
    form = "json" if as_json else form
    one_of(form, FORMATS, "--format")
    if table is not None and not published:
        raise BadInput(f"{table}: names a table for --published; a study is named with --study")
    if published and form not in ("table", "json"):
        raise BadInput(f"--published: goes with --format table or json, not {form}")
    context = context_of(ctx)
    db = context.reading()
    name = chosen_study(db, study)
    factors = [one_of(factor.strip(), BY, "--by") for factor in by.split(",")] if by else []
    score_name = score_named(score)
    if name is None:
        found = _Found(())
    elif factors:
        found = _by_factors(db, name, factors, score_name, eps)
    elif eps is not None:
        raise BadInput(f"--eps {eps}: goes with --by, such as --by optimizer")
    else:
        found = _by_variants(db, name, score_name if score is not None else "innate")
    beside = _published(db, name, table) if published and name is not None else None
    if form == "json":
        document: dict[str, Sequence[Options]] = {"results": found.rows}
        if factors:
            document["differences"] = found.differences
        if published:
            document["published"] = [] if beside is None else beside.rows
        emit_document(document)
    elif form == "csv":
        emit_file(_csv(found.rows))
    elif form != "table":
        emit_file(_for_papers(found, form))
    elif name is not None:
        typer.echo(found.table)
        if not found.rows:
            context.say(f"study {name} has no finished trial yet; see innate trials --study {name}")
        if beside is not None:
            typer.echo(f"\n{beside.table}")


@dataclass(frozen=True)
class _Found:
    """The same answer as rows, for programs and documents, and as a table for people."""

    rows: Sequence[Options]
    table: str = ""
    paper: PaperTable | None = None
    """Of levels, for Markdown and LaTeX."""
    differences: Sequence[Options] = ()
    """Of levels: a row for each of `rows`, what is known of it beside its mean."""


def _published(db: Database, study: str, table: str | None) -> _Found:
    """The named table, or those on the study's data set, held against it."""
    from dataclasses import asdict

    from app.report.published.comparable import beside, row_json
    from app.report.published.words import set_beside
    from storage.studies import study_row

    found = beside(db, study, table)
    rows: list[Options] = []
    for one in found:
        told = [asdict(difference) for difference in one.differences]
        rows += [
            {**row_json(row, one.table), "comparable": one.comparable, "differences": told} for row in one.table.rows
        ]
    return _Found(rows, set_beside(found, study, study_row(db, study).dataset, width()))


def _by_factors(db: Database, study: str, factors: Sequence[str], score: str, asked: str | None) -> _Found:
    from app.report import overstated
    from app.report.aggregate import by_factors, trials_by_level
    from app.report.grid import radius, told_radii
    from app.report.leaderboard import by_table
    from app.report.paper_tables import by_factors_table
    from storage.queries import scores

    scored, eps = scores(db, study, score), radius(db, study, score, asked, "--eps")
    found, over = by_factors(db, study, score, scored, factors, eps), None
    if score == "worst_case":
        at_score, levels = overstated.at_score(db, study, eps), trials_by_level(scored, factors)
        over = overstated.by_group(at_score, levels)
    rows: list[Options] = [
        {**dict(zip(factors, one.names, strict=True)), "score": one.score, "low": one.low, "high": one.high, "n": one.n}
        for one in found
    ]
    table = by_table(study, found, factors, score, width(), over, told_radii(db, study, score, eps))
    paper = by_factors_table(db, study, score, factors, found, scored, eps)
    return _Found(rows, table, paper, [_difference(factors, one) for one in found])


def _difference(factors: Sequence[str], one: Level) -> Options:
    """One level for programs, beside its mean; `difference` is from the first row, paired by seed, image and other choices."""
    apart = one.difference
    return {
        **dict(zip(factors, one.names, strict=True)),
        "difference": None if apart is None else apart.value,
        "low": None if apart is None else apart.low,
        "high": None if apart is None else apart.high,
        "pairs": None if apart is None else apart.pairs,
        "won": None if apart is None else apart.won,
        "trust": one.trust,
        "trials": one.trials,
        "invalid": one.invalid,
        "upper_bound": one.bound,
    }


def _by_variants(db: Database, study: str, score: str) -> _Found:
    """The leaderboard, in the order of another score than the headline if so asked; one that it has no column for becomes its
    headline."""
    from app.report.aggregate import over_seeds
    from app.report.leaderboard import leaderboard_table
    from core.plugged import owner
    from storage.queries import leaderboard, scores
    from storage.reading import as_json

    found = leaderboard(db, study)
    if owner(score) is None:
        if score != "innate":
            found.sort(key=lambda row: _descending(_score_of(row, score)))
        return _Found([as_json(row) for row in found], leaderboard_table(db, study, found, width()))
    means = over_seeds(db, study, score, scores(db, study, score))
    found.sort(key=lambda row: _descending(means[row.variant_id].value))
    rows: list[Options] = [{**as_json(row), score: means[row.variant_id].value} for row in found]
    return _Found(rows, leaderboard_table(db, study, found, width(), score))


def _score_of(row: VariantRow, score: str) -> float | None:
    match score:
        case "clean_accuracy":
            return row.clean_accuracy
        case "worst_case":
            return row.worst_case
        case "retention":
            return row.retention
        case "curve_area":
            return row.curve_area
    return row.innate


def _descending(value: float | None) -> tuple[bool, float]:
    """The largest first, unknown ones last."""
    return value is None, -(value or 0.0)


def canvas_of(context: Context, columns: int | None, lines: int) -> Canvas:
    from app.report.charts import Canvas

    return Canvas(columns or width(), lines, context.colour and sys.stdout.isatty())


def pairs(conditions: Sequence[str]) -> dict[str, str]:
    """`--where KEY=VALUE` as a mapping; raises BadInput for anything else."""
    found = {}
    for condition in conditions:
        key, separator, value = condition.partition("=")
        if not separator:
            raise BadInput(f"--where {condition}: expected KEY=VALUE, such as optimizer=adam")
        found[key.strip()] = value.strip()
    return found


def after_run(db: Database, context: Context, study: str) -> str:
    """What `innate run` ends with: the leaderboard and a chart of the scores."""
    from app.report import study_charts
    from app.report.leaderboard import leaderboard_table
    from storage.queries import leaderboard

    rows = leaderboard(db, study)
    text = leaderboard_table(db, study, rows, width())
    if not rows:
        return text
    drawn = study_charts.score_estimates(study_charts.Scope(db, study), canvas_of(context, None, 20), "innate")
    return f"{text}\n\n{drawn}"


def _csv(rows: Sequence[Options]) -> str:
    import csv
    import io

    names = _plain_names(rows)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if rows:
        writer.writerow(names)
    writer.writerows([["" if row[name] is None else row[name] for name in names] for row in rows])
    return stream.getvalue()


def _for_papers(found: _Found, form: str) -> str:
    """Markdown or LaTeX: of levels what the table of a paper has, of variants every number."""
    from app.report.paper_tables import PaperTable, latex_table, markdown_table

    def cell(value: Json) -> str:
        return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)

    table = found.paper
    if table is None:
        if not found.rows:
            return ""
        shown = [name for name in _plain_names(found.rows) if name not in ("study", "variant_id")]
        cells = tuple(tuple(cell(row[name]) for name in shown) for row in found.rows)
        table = PaperTable("", "", tuple(shown), cells, len(shown))
    return markdown_table(table) if form == "markdown" else latex_table(table)


def _plain_names(rows: Sequence[Options]) -> list[str]:
    """The columns of rows but for options, which are tables themselves."""
    return [key for key in rows[0] if not key.endswith("_options")] if rows else []


def score_named(name: str | None) -> str:
    from core.verdict.scoring import SCORES

    return SCORES.find(name or "innate", "--score").name


def one_of(value: str, allowed: Sequence[str], where: str) -> str:
    """`value`; raises BadInput naming `where` and the nearest match if it is not one of `allowed`."""
    from core.registry import meant

    if value not in allowed:
        raise BadInput(f"{where} {value}: not one of {', '.join(allowed)}{meant(value, allowed)}")
    return value

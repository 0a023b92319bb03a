"""What describes a study beside its findings: ranks of a factor's levels, and where the variance goes. It decides nothing."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from app.report.text import percent, table

if TYPE_CHECKING:
    from core.verdict.described.variance import Analysis
    from core.verdict.findings.description import Description, FactorRanks
    from storage.reading import Options


def ranks_text(found: FactorRanks) -> str:
    """Described, not deciding: Friedman's test, average ranks, and what they cannot tell apart."""
    ranked = sorted(zip(found.ranking.average_ranks, found.levels, strict=True))
    said = ", ".join(f"{level} {rank:.1f}" for rank, level in ranked)
    blocks = "1 block" if found.ranking.blocks == 1 else f"{found.ranking.blocks} blocks"
    text = f"Described: average ranks over {blocks} {said}"
    test = found.ranking.friedman
    if test is not None:
        f = "" if test.f is None else f" F({test.df_levels}, {test.df_rest}) = {test.f:.1f},"
        text += f"; Friedman{f} p {test.p:.2g}"
    if found.ranking.critical_difference is not None:
        text += f"; critical difference {found.ranking.critical_difference:.1f}"
        runs = [", ".join(found.levels[place] for place in run) for run in found.ranking.alike]
        text += f", by which cannot be told apart: {' | '.join(runs)}" if runs else ", which tells all apart"
    return text


def variance_table(found: Analysis, width: int) -> list[str]:
    """Where the variance of the worst case goes, term by term."""
    rows = [
        [
            " × ".join(term.factors),
            str(term.df),
            "-" if term.f is None else f"{term.f:.1f}",
            "-" if term.p is None else f"{term.p:.2g}",
            "-" if term.eta2 is None else percent(term.eta2),
        ]
        for term in found.terms
    ]
    rest = found.residual
    rows.append(["rest", str(rest.df), "", "", "-" if rest.share is None else percent(rest.share)])
    lines = [f"Described: variance of the worst case over {found.trials} models"]
    lines += table(["", "df", "F", "p", "share %"], rows, width, right=(1, 2, 3, 4), fill=0).splitlines()
    if not found.balanced:
        lines += textwrap.wrap("(cells are missing or unequal: least squares, type II; shares would not add up)", width)
    lacking = [
        f"{' × '.join(term.factors)} lacks {term.missing_df} of {term.df + term.missing_df} df"
        for term in found.incomplete
    ]
    if lacking:
        lines += textwrap.wrap(f"(not all of it can be estimated: {'; '.join(lacking)})", width)
    return lines


def rank_rows(study: str, found: Description) -> list[Options]:
    """A row for each level of each factor, for programs."""
    return [
        {
            "study": study,
            "factor": one.factor,
            "level": level,
            "average_rank": rank,
            "blocks": one.ranking.blocks,
            "critical_difference": one.ranking.critical_difference,
            "friedman_p": None if one.ranking.friedman is None else one.ranking.friedman.p,
        }
        for one in found.ranks
        for level, rank in zip(one.levels, one.ranking.average_ranks, strict=True)
    ]


def variance_rows(study: str, found: Description) -> list[Options]:
    """A row for each term of the analysis of variance, and the rest."""
    analysis = found.variance
    if analysis is None:
        return []
    rows: list[Options] = [
        {
            "study": study,
            "term": "×".join(term.factors),
            "df": term.df,
            "missing_df": term.missing_df,
            "sum_of_squares": term.ss,
            "f": term.f,
            "p": term.p,
            "share": term.eta2,
        }
        for term in analysis.terms
    ]
    rest = analysis.residual
    return [
        *rows,
        {"study": study, "term": "rest", "df": rest.df, "missing_df": 0, "sum_of_squares": rest.ss, "f": None,
         "p": None, "share": rest.share},
    ]  # fmt: skip

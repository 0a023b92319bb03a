"""What learning rates were chosen by: the ledger of a tuned study."""

from __future__ import annotations

from app.report.document.material import Material
from app.report.document.record import Items, Section, Table
from app.report.text import number, percent
from app.report.tuning import cells_of, choice_cells, named_cells, remarks
from storage.tuning import ledger


def tuning(of: Material) -> Section | None:
    """A line for each cell, and what it all cost; None of a study that chooses nothing."""
    rows = ledger(of.db, of.name)
    if not rows:
        return None
    cells, option = cells_of(rows), rows[0].option
    factors, named = named_cells(cells)
    lines = []
    for cell, names in named:
        lines.append(
            (
                *names,
                *choice_cells(cell),
                ", ".join(f"{one.value:.4g}: {percent(one.validation_accuracy)}" for one in cell.candidates),
                number(cell.seconds),
                cell.remark,
            )
        )
    headings = (*factors, option, "validation, %", "tried: validation, %", "seconds", "remark")
    first = len(factors)
    return Section(
        "Tuning",
        (
            Table(
                "What was chosen for each cell, the smallest value tried first.",
                headings,
                tuple(lines),
                frozenset({first, first + 1, first + 3}),
            ),
            Items(tuple(remarks(cells, option))),
        ),
    )

"""What a study's learning rates were chosen by: one line per cell, and what it all cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.progress import guesses
from app.report.text import number, percent, table, wrapped
from app.report.variants import constant, levels, varying
from app.worker.narration import in_words

if TYPE_CHECKING:
    from storage.rows import TuningRow

_NOT_ENDED = ("queued", "running", "cancelled", None)


@dataclass(frozen=True)
class TunedCell:
    """The candidates of one cell, the smallest value first."""

    candidates: tuple[TuningRow, ...]

    @property
    def chosen(self) -> TuningRow | None:
        return next((one for one in self.candidates if one.chosen), None)

    @property
    def edge(self) -> bool:
        """Whether the best is the outermost that was tried, though the range was widened."""
        return self.chosen is not None and bool(self.chosen.edge)

    @property
    def unlearned(self) -> bool:
        """Whether even the best candidate is hardly better than guessing, so that chance has chosen."""
        chosen = self.chosen
        if chosen is None or chosen.validation_accuracy is None:
            return False
        return guesses(chosen.validation_accuracy, chosen.classes)

    @property
    def widened(self) -> int:
        """Candidates beyond the range."""
        return sum(one.widened for one in self.candidates)

    @property
    def failed(self) -> int:
        return sum(one.state == "failed" for one in self.candidates)

    @property
    def to_come(self) -> int:
        return sum(one.state in _NOT_ENDED for one in self.candidates)

    @property
    def seconds(self) -> float:
        """Of training."""
        return sum(one.seconds or 0.0 for one in self.candidates)

    @property
    def remark(self) -> str:
        """What there is to know of the choice."""
        first = self.candidates[0]
        if first.cell_reason is not None:
            return "FAILED: no candidate could be trained"
        parts = [f"{self.to_come} to come"] if self.chosen is None else []
        if self.unlearned:
            parts.append("NONE LEARNED")
        if self.edge:
            parts.append("ON THE EDGE")
        elif self.widened:
            parts.append("widened")
        if self.failed:
            parts.append(f"{self.failed} failed")
        return ", ".join(parts)


def cells_of(rows: Sequence[TuningRow]) -> list[TunedCell]:
    """The rows of a study's ledger, cell by cell."""
    groups: dict[int, list[TuningRow]] = {}
    for row in rows:
        groups.setdefault(row.cell, []).append(row)
    return [TunedCell(tuple(group)) for group in groups.values()]


def tuning_table(study: str, rows: Sequence[TuningRow], width: int) -> str:
    """The ledger of a tuned study for a person."""
    cells = cells_of(rows)
    factors, named = named_cells(cells)
    lines = []
    for cell, names in named:
        lines.append(
            [
                *names,
                *choice_cells(cell),
                f"{cell.candidates[0].value:.4g}–{cell.candidates[-1].value:.4g}",
                str(len(cell.candidates)),
                number(cell.seconds),
                cell.remark,
            ]
        )
    option = rows[0].option
    headings = [*factors, option, "valid.", "range tried", "tried", "seconds", "remark"]
    for name in ("seconds", "tried"):  # what a narrow terminal can do without; the totals stand below
        if sum(max(map(len, column)) + 2 for column in zip(headings, *lines, strict=True)) - 2 > width:
            place = headings.index(name)
            headings, *lines = ([*cells[:place], *cells[place + 1 :]] for cells in (headings, *lines))
    numbers = [place for place, name in enumerate(headings) if name in (option, "valid.", "tried", "seconds")]
    shown = table(headings, lines, width, right=numbers)
    head = ", ".join(part for part in (rows[0].dataset, constant([cell.candidates[0] for cell in cells])) if part)
    return "\n".join([f"{study}: {head}", shown, "", *wrapped(remarks(cells, option), width)])


def named_cells(cells: Sequence[TunedCell]) -> tuple[list[str], list[tuple[TunedCell, tuple[str, ...]]]]:
    """The factors that vary, and each cell with its level of each."""
    firsts = [cell.candidates[0] for cell in cells]
    factors = varying(firsts) or ["optimizer"]
    names = zip(*(levels(firsts, factor) for factor in factors), strict=True)
    return factors, list(zip(cells, names, strict=True))


def choice_cells(cell: TunedCell) -> tuple[str, str]:
    """What was chosen, and its validation accuracy in %."""
    chosen = cell.chosen
    return ("-", "-") if chosen is None else (f"{chosen.value:.4g}", percent(chosen.validation_accuracy))


def remarks(cells: Sequence[TunedCell], option: str) -> list[str]:
    """What the numbers are, what they cost, and what is to be known of the choices."""
    lines = [
        "valid.: of the training images held out, % classified rightly after the last epoch; no test image was looked at"
    ]
    firsts = sorted({len(cell.candidates) - cell.widened for cell in cells})
    candidates, widened = sum(len(cell.candidates) for cell in cells), sum(cell.widened > 0 for cell in cells)
    budget = f"Budget: {len(cells)} cells × {firsts[-1]} candidates"
    if widened:
        budget += f", and {sum(cell.widened for cell in cells)} more in the {widened} that were widened"
    seconds = sum(cell.seconds for cell in cells)
    lines.append(f"{budget}: {candidates} trainings, {in_words(seconds)} in all.")
    edges = sum(cell.edge for cell in cells)
    if edges:
        whose = "of one cell lies" if edges == 1 else f"of {edges} cells lies"
        lines.append(
            f"The best {option} {whose} on the edge of what was tried, so a better one may lie beyond: give those optimizers "
            "another range under [tuning.ranges], or more epochs."
        )
    blind = sum(cell.unlearned for cell in cells)
    if blind:
        whose = "cell learned" if blind == 1 else "cells learned"
        lines.append(
            f"Under no {option} that was tried {blind} {whose} more than guessing, so chance has chosen there: give candidates "
            "more epochs or images, or another range under [tuning.ranges]."
        )
    waiting = sum(cell.chosen is None and cell.candidates[0].cell_reason is None for cell in cells)
    if waiting:
        lines.append(f"{waiting} of {len(cells)} cells have not chosen yet.")
    return lines

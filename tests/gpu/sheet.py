"""The table of `make gpu`: what was measured on which card, beside its peers, and the bars."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from tests.benchmarks.tables import drawn
from tests.gpu.card import Card

_COLUMNS = {
    "training": ("training, kumar-cnn, batches of 128", "precision", "images/s", "of matmul", "× plain"),
    "attacks": ("attack", "precision", "images", "seconds", "× ours", "batch"),
    "studies": ("study", "trials", "seconds", ""),
    "bars": ("bar", "measured", "asked", ""),
}


@dataclass
class Sheet:
    card: Card
    rows: dict[str, list[tuple[object, ...]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What a reader must know of the rows: data that stand in for others, peers that were not there."""

    def add(self, table: str, *cells: object) -> None:
        self.rows.setdefault(table, []).append(cells)

    def note(self, words: str) -> None:
        if words not in self.notes:
            self.notes.append(words)

    def bar(self, what: str, measured: float, asked: float, *, most: bool = False) -> str | None:
        """Write a bar down. What to fail with where it was missed on a card that it was set for; else None."""
        held = measured <= asked if most else measured >= asked
        verdict = ("held" if held else "missed") if self.card.barred else "no bar for this card"
        sign = "≤" if most else "≥"
        self.add("bars", what, _number(measured), f"{sign} {_number(asked)}", verdict)
        return f"{what}: {_number(measured)}, asked {sign} {_number(asked)}" if verdict == "missed" else None

    def text(self) -> str:
        head = f"{self.card.name}, driver {self.card.driver}, torch {torch.__version__}, CUDA {torch.version.cuda}"
        if not self.card.real:
            head += "\nThe CPU stands in for a GPU, on tiny sizes: these rows show that the code runs, no more."
        tables = [drawn("", columns, self.rows[name]) for name, columns in _COLUMNS.items() if name in self.rows]
        return "\n".join([head, *tables, *self.notes])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"

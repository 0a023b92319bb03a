"""Tables that stay readable at 100 columns, wherever `make bench` and `make gpu` print them."""

from collections.abc import Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> None:
    """Print one table."""
    print(drawn(title, columns, rows, note))


def drawn(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> str:
    """One table as plain text: the first column to the left, the others, which are numbers, to the right."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    text = StringIO()
    console = Console(file=text, width=100, highlight=False, markup=False)
    if title:
        console.print(f"\n{title}")
    console.print(table)
    if note:
        console.print(note)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).rstrip("\n")

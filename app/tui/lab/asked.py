"""What the Lab looks at: which trials, grouped how, by which number."""

from __future__ import annotations

from dataclasses import dataclass

from storage.grouping import Reading
from storage.listing import Filter


@dataclass(frozen=True)
class Asked:
    """The table of rows and every view of them answer the same. Flat (`by` is empty), trials of all studies may be listed;
    grouped, there is one study."""

    study: str | None
    by: tuple[str, ...]
    """Of `storage.grouping.BY`; none: the list of trials, ungrouped."""
    reading: Reading
    """The score, and the ε that it is read at where that is not the study's own."""
    chosen: Filter
    marks: tuple[tuple[str, str], ...] = ()
    """(study, trial id) of the marked runs."""
    current: tuple[str, ...] = ()
    """Trials of the row under the cursor."""
    baseline: tuple[str, ...] = ()
    """Trials that the others are compared with; none: with the leader."""

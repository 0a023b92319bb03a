"""Choosing what the Lab looks at: the grouping, the score and its ε, the study. `choose` is handed what is then to be changed of
the knobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from app.report.grid import SINGLE
from app.tui.lab import knobs, words
from app.tui.lab.loaded import Loaded
from app.tui.shell.page import Page
from app.tui.widgets.dialogs import Item, Picker
from core.verdict.scoring import SCORES
from storage.rows import ListedStudy

_ALL = ""
"""Chosen instead of a study."""


class Choose(Protocol):
    def __call__(self, **changes: Any) -> None: ...


def ask_grouping(page: Page, loaded: Loaded | None, now: Sequence[str], choose: Choose) -> None:
    """`now` is what is grouped by, `loaded` the groups where there are any."""
    levels: Mapping[str, Any] = {} if loaded is None else loaded.names.texts
    items = [
        Item(name, name, f"{len(levels[name])} of them: {note}" if name in levels else note, name in now)
        for name, note in words.GROUPINGS
    ]

    def chosen(names: list[str] | None) -> None:
        if names is not None:
            by = () if words.NONE in names else knobs.normal(tuple(names))
            choose(by=by, opened=frozenset(), baseline=())
            page.say("" if by else f"every run, ungrouped; {page.key_of('group')} groups them")

    page.push(Picker("Group by", items, many=True), chosen)


def step_radius(page: Page, loaded: Loaded | None, by: int, choose: Choose) -> None:
    """To the next larger or smaller ε that was attacked; says why there is none."""
    if loaded is None:
        group = page.key_of("group")
        page.say(f"the list shows every score at its study's own ε: {group} groups, and reads them at another")
    elif loaded.score not in SINGLE:
        others = " or ".join(map(words.score_words, SINGLE))
        page.say(f"{words.score_words(loaded.score)} is of no single ε: {page.key_of('score')} chooses {others}")
    elif not loaded.radii or loaded.eps is None:
        page.say(f"{loaded.study.name} attacks nothing, so there is no ε")
    else:
        place = loaded.radii.index(loaded.eps) + by
        if 0 <= place < len(loaded.radii):
            choose(eps=loaded.radii[place])
        else:
            end = "largest" if by > 0 else "smallest"
            page.say(f"ε {loaded.eps:g} is the {end} that {loaded.study.name} attacked")


def ask_score(page: Page, choose: Choose) -> None:
    items = [Item(entry.name, words.score_words(entry.name), entry.summary) for entry in SCORES.values()]
    page.push(Picker("Score", items), lambda name: choose(score=name) if name is not None else None)


def ask_study(page: Page, *, everything: bool, choose: Choose) -> None:
    """`everything`: whether all studies together can be chosen."""
    from storage.studies import studies

    def ask(rows: Sequence[ListedStudy]) -> None:
        items = [Item(row.study, row.study, f"{row.dataset}, {row.done} of {row.trials} done") for row in rows]
        if everything and items:
            items = [Item(_ALL, "all studies", "every run there is"), *items]
        if items:
            page.push(Picker("Study", items), lambda name: choose(**of_study(name)) if name is not None else None)
        else:
            compose = page.key_of("mode('compose')")
            page.say(f"there is no study yet: {compose} composes one")

    page.ask(studies, ask)


def of_study(name: str) -> Mapping[str, Any]:
    """What changes with another study; "": all of them."""
    return {"study": name or None, "opened": frozenset(), "baseline": ()}

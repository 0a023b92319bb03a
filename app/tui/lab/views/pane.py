"""The views as one widget, which the Lab's page shows instead of its rows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from app.report.images import grid
from app.report.variants import GROUPS
from app.tui.lab.views import curves, differences, heatmap, images, tradeoff, training
from app.tui.lab.views.pixels import RealPixels
from app.tui.lab.views.sight import MEASURES, Knobs, Sight, holds, look
from app.tui.lab.views.table import View, ViewGrid
from app.tui.shell.keys import Key, bindings
from app.tui.shell.threads import sentence
from app.tui.widgets.chart import ChartView
from app.tui.widgets.dialogs import Item, Picker
from app.tui.widgets.grid import PAGE, Grid, Line
from app.tui.widgets.text import joined

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.lab.asked import Asked
    from app.tui.shell.session import Session

_VIEWS: Mapping[str, View] = {
    "curves": curves.VIEW,
    "heatmap": heatmap.VIEW,
    "tradeoff": tradeoff.VIEW,
    "training": training.VIEW,
    "differences": differences.VIEW,
    "images": images.VIEW,
}
VIEWS = tuple(_VIEWS)
TITLES = tuple(view.title for view in _VIEWS.values())
KEYS = (
    Key("f", "factors", "factors", "choose the two factors of the heatmap", hint=False),
    Key("e", "effects", "effects", "values or effects in the heatmap", hint=False),
    Key("a", "attack", "attack", "curves and images under one attack, or all", hint=False),
    Key("v", "measure", "curve", "training: loss, accuracy, validation or probe", hint=False),
    Key("n", "sample(1)", "next", "the next sample that several of the models have", hint=False),
    Key("p", "sample(-1)", "before", "the sample before", hint=False),
    Key("z", "pixels", "pixels", "images in real pixels, where the terminal has them", hint=False),
)
"""Of the views, beside the Lab's own; where one does not belong to the view in front it is left to the page."""
_NARROW, _LISTED, _AROUND = 42, 6, 9
"""Columns of the table beside a chart where the screen is narrow; lines of the one below images, and around both."""
_SLOW = 0.3
"""Seconds of loading from which on it is told."""
_REST = 4.0
"""How much longer than a load took to wait before the next, while the data keeps changing."""


@dataclass(frozen=True)
class _Loaded:
    """The answer to what was asked; `sight` None where there is no study at all, `content` where there is nothing to show."""

    asked: Asked
    view: str
    room: tuple[int, int]
    sight: Sight | None
    content: Any


class ViewPane(Container):
    """`show` it what the Lab asks and which of VIEWS; it loads, draws and lays out. `kept` is where it keeps what it is turned to
    from one time to the next: plain values, which the page remembers."""

    DEFAULT_CSS = """
    ViewPane { height: 1fr; }
    ViewPane #view-about { height: 1; color: $foreground 75%; text-wrap: nowrap; text-overflow: ellipsis; }
    ViewPane #view-lacks { height: auto; max-height: 2; color: $warning; display: none; }
    ViewPane #view-nothing { height: 1fr; padding: 1 2; display: none; }
    ViewPane #view-split { height: 1fr; layout: vertical; }
    ViewPane #view-chart, ViewPane #view-picture { display: none; width: 1fr; height: 1fr; }
    ViewPane.charted #view-chart, ViewPane.pictured #view-picture { display: block; }
    ViewPane.charted #view-split { layout: horizontal; }
    ViewPane.charted #view-rows { width: 42; height: 100%; border-left: solid $panel; }
    ViewPane.charted.wide #view-rows { width: 50%; }
    ViewPane.pictured #view-rows { height: 6; border-top: solid $panel; display: none; }
    ViewPane.pictured.wide #view-rows { display: block; }
    ViewPane.lacking #view-lacks { display: block; }
    ViewPane.nothing #view-split { display: none; }
    ViewPane.nothing #view-nothing { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings(KEYS)

    class Moved(Message):
        """What `words` and `equivalent` say has changed."""

    class Chosen(Message):
        """A row was opened: its trials, of one study."""

        def __init__(self, study: str, trials: tuple[str, ...]) -> None:
            super().__init__()
            self.study, self.trials = study, trials

    class Told(Message):
        """Something to tell in the line at the bottom."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, session: Session, kept: MutableMapping[str, Any], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._session, self._kept = session, kept
        self._wanted: tuple[Asked, str] | None = None
        self._sample = 0
        self._loaded: _Loaded | None = None
        self._count = 0
        """Of loads: what a chart shows was drawn of the last."""
        self._laid_out: tuple[tuple[str, str, int], ...] | None = None
        """What the table shows and for which room."""
        self._pictured = ""
        self._pixels = RealPixels()
        self._loading = self._again = self._due = False
        self._took = 0.0

    def compose(self) -> ComposeResult:
        yield Static("", id="view-about")
        yield Static("", id="view-nothing")
        with Container(id="view-split"):
            yield Static("", id="view-picture")
            yield ChartView(self._session.drawn, id="view-chart")
            yield ViewGrid(identify=lambda line: line.key, id="view-rows")
        yield Static("", id="view-lacks")

    def on_mount(self) -> None:
        self.query_one("#view-picture").can_focus = True

    @property
    def table(self) -> Grid[Line]:
        return self.query_one("#view-rows", Grid)

    # --- what the page asks and is told ---

    def show(self, asked: Asked, view: str) -> None:
        """Show one of VIEWS. The same again looks for what has changed in the database meanwhile."""
        before, self._wanted = self._wanted, (asked, view)
        if before == self._wanted:
            # Ten thousand trials take seconds to look through: beside a busy worker that is done only now and then.
            if not self._due and not self._loading:
                self._due = True
                self.set_timer(max(0.001, _REST * self._took), self._look_again)
            return
        if before is None or (before[1], before[0].study) != (view, asked.study):
            self._sample = 0
            if self._took > _SLOW or self._loaded is None:
                self._put("about", f"reading {_VIEWS[view].title.lower()} …")
        self._load()

    @property
    def reading(self) -> bool:
        """Whether a load is under way."""
        return self._loading

    def words(self) -> str:
        """What the row under the cursor says in full."""
        found, line = self._loaded, self.table.current
        if found is None or found.content is None:
            return ""
        if isinstance(found.content, images.Images) and not self.table.display:
            return images.in_words(found.content)
        return "" if line is None else line.words

    def equivalent(self) -> str:
        """The command that shows the same."""
        found = self._loaded
        if found is None or found.sight is None:
            return "innate studies"
        return _VIEWS[found.view].command(found.sight, found.content)

    def equivalents(self) -> Mapping[str, str]:
        """Of each of KEYS that belongs to the view in front."""
        return {key.action: self.equivalent() for key in KEYS if self._belongs(key.action)}

    def focus_rows(self) -> None:
        """Put the focus where the keys of the view are."""
        target = self.table if self.table.display else self.query_one("#view-picture")
        target.focus()

    # --- data ---

    def _knobs(self) -> Knobs:
        kept, pair = self._kept, self._kept.get("factors")
        if not (isinstance(pair, list) and len(pair) == 2 and pair[0] != pair[1] and set(pair) <= set(GROUPS)):
            pair = None
        attack, measure = kept.get("attack"), kept.get("measure")
        split = self.query_one("#view-split").size
        lines = (split.height or self.app.size.height - _AROUND) - (_LISTED if self._wide else 0)
        return Knobs(
            None if pair is None else (pair[0], pair[1]),
            bool(kept.get("effects", False)),
            attack if isinstance(attack, str) else None,
            measure if measure in MEASURES else MEASURES[0],
            self._sample,
            (max(40, split.width or self.app.size.width), max(8, lines)),
            self._session.context.colour,
        )

    def _load(self) -> None:
        if self._loading:
            self._again = True
            return
        self._loading = True
        self.run_worker(self._read(), exit_on_error=False)

    def _look_again(self) -> None:
        self._due = False
        self._load()

    async def _read(self) -> None:
        try:
            while self._wanted is not None:
                self._again = False
                (asked, view), knobs, began = self._wanted, self._knobs(), time.monotonic()
                try:
                    self._take(await self._session.reader.ask(_question(asked, view, knobs)))
                except Exception as error:
                    self._session.note_fault(error)
                    self._nothing(Content(sentence(error)))
                self._took = time.monotonic() - began
                if not self._again:
                    return
        finally:
            self._loading = False

    def _take(self, found: _Loaded) -> None:
        if self._wanted != (found.asked, found.view):  # asked for something else meanwhile; its answer is under way
            return
        before, self._loaded = self._loaded, found
        self._count += 1
        sight = found.sight
        if sight is None or found.content is None:
            self._nothing(_why_nothing(sight, found.view))
            return
        view = _VIEWS[found.view]
        told = (*view.about(sight, found.content), sight.restriction, sight.constant)
        self._put("about", joined([part for part in told if part], self.size.width or self.app.size.width))
        self._lacks((*sight.notes, *(found.content.notes if isinstance(found.content, differences.Held) else ())))
        self.set_class(False, "nothing")
        self.set_class(self._wide, "wide")
        self.set_class(view.draw is not None, "charted")
        self.set_class(isinstance(found.content, images.Images), "pictured")
        new = before is None or before.sight is None or (before.view, before.sight.study) != (found.view, sight.study)
        if new:
            self.table.expire(restart=True)
        self._lay_out()
        if new:
            self._follow(sight)
        if isinstance(found.content, images.Images):
            self._put_picture(found.content.text)
            self.call_after_refresh(self._refit)
        self._draw()
        focused = self.screen.focused
        if self.display and (focused is None or self in focused.ancestors):
            self.focus_rows()  # what had the focus may have given way to something else
        self.post_message(self.Moved())

    def _put_picture(self, text: str) -> None:
        if text != self._pictured:
            self._pictured = text
            self.query_one("#view-picture", Static).update(Text.from_ansi(text, no_wrap=True))

    def _refit(self) -> None:
        """Images are made for the room that there was before they came."""
        found = self._loaded
        if found is not None and isinstance(found.content, images.Images) and found.room != self._knobs().room:
            self._load()

    def _follow(self, sight: Sight) -> None:
        """The cursor begins where the Lab's stands."""
        place = 0
        while (line := self.table.row(place)) is not None:
            if holds(line.trials, sight.asked.current):
                self.table.move_to(place)
                return
            place += 1

    def _nothing(self, why: Content) -> None:
        self._lacks(())
        self._put("about", "")
        self.set_class(True, "nothing")
        self.query_one("#view-nothing", Static).update(why)
        self.table.fill_all([])
        self._laid_out = None
        self.post_message(self.Moved())

    def _put(self, name: str, text: str) -> None:
        self.query_one(f"#view-{name}", Static).update(Content(text))

    def _lacks(self, notes: Sequence[str]) -> None:
        self.set_class(bool(notes), "lacking")
        self._put("lacks", "\n".join(notes))

    def _lay_out(self) -> None:
        """Fill the table for the room that there is; only what differs is drawn again."""
        found = self._loaded
        if found is None or found.content is None or found.sight is None:
            return
        # The border beside a chart, or the scrollbar.
        width = self.size.width - 1
        if self.has_class("charted"):
            width = (self.size.width // 2 if self._wide else _NARROW) - 2
        made = _VIEWS[found.view].table(found.content, width, self._wide)
        shape = tuple((column.key, column.title, column.width) for column in made.columns)
        if shape != self._laid_out:
            # The rows of before know nothing of these columns: they go first.
            self._laid_out, cursor = shape, self.table.cursor
            self.table.fill_all([])
            self.table.columns = made.columns
            self._fill(made.lines)
            self.table.move_to(cursor)
        else:
            self._fill(made.lines)

    def _fill(self, lines: Sequence[Line]) -> None:
        for offset in range(0, max(1, len(lines)), PAGE):
            self.table.fill(offset, lines[offset : offset + PAGE], len(lines))

    @property
    def _wide(self) -> bool:
        return self.screen.has_class("-wide")

    def _draw(self) -> None:
        found, line = self._loaded, self.table.current
        if found is None or found.content is None:
            return
        view, content, row = _VIEWS[found.view], found.content, None if line is None else line.key
        if view.draw is not None:
            draw = view.draw
            self.query_one("#view-chart", ChartView).draw(
                (self._count, row if found.view == "curves" else None),
                lambda _, canvas: draw(content, canvas, row),
            )

    def on_resize(self) -> None:
        self.call_after_refresh(self._resized)

    def _resized(self) -> None:
        self.set_class(self._wide, "wide")
        self._lay_out()
        self._refit()

    def on_grid_moved(self, event: Grid.Moved) -> None:
        event.stop()
        self._draw()
        self.post_message(self.Moved())

    def on_grid_wanted(self, event: Grid.Wanted) -> None:
        event.stop()  # all rows are here

    # --- actions ---

    def on_grid_chosen(self, event: Grid.Chosen) -> None:
        event.stop()
        trials = self.table.current.trials if self.table.current else ()
        if trials and self._loaded is not None and self._loaded.sight is not None:
            self.post_message(self.Chosen(self._loaded.sight.study, trials))

    def _belongs(self, action: str) -> bool:
        view = self._wanted[1] if self._wanted else ""
        views = {
            "factors": ("heatmap",),
            "effects": ("heatmap",),
            "attack": ("curves", "images"),
            "measure": ("training",),
        }
        return view in views.get(action, ("images",))

    def _mine(self, action: str) -> None:
        """Raises SkipAction for a key that does not belong to the view in front: the page may have it."""
        if not self._belongs(action):
            raise SkipAction

    def _turn(self, **changes: Any) -> None:
        self._kept.update(changes)
        self._session.remember()
        self._load()

    def action_factors(self) -> None:
        self._mine("factors")
        items = [Item(pair, f"{pair[0]} × {pair[1]}", "rows × columns") for pair in itertools.permutations(GROUPS, 2)]
        self.app.push_screen(
            Picker("Two factors", items), lambda pair: self._turn(factors=list(pair)) if pair else None
        )

    def action_effects(self) -> None:
        self._mine("effects")
        self._turn(effects=not self._kept.get("effects", False))

    def action_attack(self) -> None:
        self._mine("attack")
        content = self._loaded.content if self._loaded else None
        known = content.found.attacks if isinstance(content, curves.Curves) else getattr(content, "attacks", ())
        items = [Item("", "all", "the worst case over the attacks"), *(Item(name, name) for name in known)]
        self.app.push_screen(
            Picker("Under", items), lambda name: None if name is None else self._turn(attack=name or None)
        )

    def action_measure(self) -> None:
        self._mine("measure")
        content = self._loaded.content if self._loaded else None
        if isinstance(content, training.Training):
            place = content.known.index(content.measure)
            if len(content.known) == 1:
                self.post_message(self.Told(f"only {content.measure} is known of these runs"))
            self._turn(measure=content.known[(place + 1) % len(content.known)])

    def action_sample(self, by: int) -> None:
        self._mine("sample")
        self._sample += by
        self._load()

    def action_pixels(self) -> None:
        self._mine("pixels")
        content = self._loaded.content if self._loaded else None
        if not isinstance(content, images.Images):
            return
        if not self._session.context.colour:
            self.post_message(self.Told("without colours there are no pixels either"))
            return
        found = [one.example for one in content.models if one.example is not None]
        told = self._pixels.show(self.app, images.captions(content), grid(found))
        self.post_message(self.Told(told or ""))


def _question(asked: Asked, view: str, knobs: Knobs) -> Callable[[Database], _Loaded]:
    def load(db: Database) -> _Loaded:
        sight = look(db, asked)
        content = None if sight is None else _VIEWS[view].load(db, sight, knobs)
        return _Loaded(asked, view, knobs.room, sight, content)

    return load


def _why_nothing(sight: Sight | None, view: str) -> Content:
    """And which key leads on."""
    if sight is None:
        return Content.assemble(
            ("Nothing has been run here yet.\n\n", "bold"),
            ("2", "bold $accent"), "  compose a study and submit it\n\n",
            "Or from the command line: ", ("innate run quick --detach", "bold"),
        )  # fmt: skip
    told = [f"Of {sight.study} only {sight.restriction} is looked at.\n"] if sight.restriction else []
    told += [f"{note}\n" for note in sight.notes]
    return Content.assemble(
        (f"{_VIEWS[view].nothing}\n\n", "bold"), *told,
        ("3", "bold $accent"), "  see in Queue what runs and what waits",
    )  # fmt: skip

"""Everything about one run: scores, training, attacks, adversarial examples, configuration, log. Lies over the screen
from which it was opened."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from app.report.trial_charts import attack_curves, training_curves
from app.tui.followup.harder import ask_harder, harder_command
from app.tui.followup.notes import ask_note
from app.tui.followup.resubmit import resubmit, resubmit_command
from app.tui.run.data import TABS, TITLES, Question, Run, load
from app.tui.run.log import LogPane
from app.tui.run.words import attacks_table, config, epochs_table, overview, title
from app.tui.shell.keys import Key
from app.tui.shell.page import Page
from app.tui.widgets.chart import ChartView
from app.tui.widgets.dialogs import Item, Picker
from app.tui.widgets.grid import PAGE, Column, Grid, Line, R
from app.tui.widgets.tabs import TabLine
from core.names import short_id
from storage.rows import EpochRow

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.shell.session import Session

_LINES_AROUND = 8
"""Masthead, tabs, title, caption (2), status and hints, and the titles of the pictures."""
_FOCUS = {
    "overview": "#facts-scroll", "training": "#epochs", "attacks": "#attacks", "examples": "#example",
    "config": "#config-scroll", "log": "#log",
}  # fmt: skip


class DetailScreen(Page):
    """One trial in one study."""

    MODE = "run"
    KEYS = (
        Key("escape,backspace", "back", "back", "back to where the run was opened"),
        Key(
            "tab,right_square_bracket",
            "turn(1)",
            "view",
            "next tab: overview, training, attacks, examples, config, log",
        ),
        Key("shift+tab,left_square_bracket", "turn(-1)", "tab before", "tab before", hint=False),
        Key("n", "on(1)", "next", "next example; in the log the next match"),
        Key("p", "on(-1)", "before", "example before; in the log the match before"),
        Key("A", "harder", "harder", "attack this run harder: escalate, a stronger attack, more ε"),
        Key("E", "resubmit", "edit", "edit its configuration, and submit that as a study of its own", hint=False),
        Key("N", "note", "note", "note something on its variant: a text and tags", hint=False),
        Key("a", "attack", "attack", "examples of one attack, or of all"),
        Key("slash", "search", "search", "search the log"),
        Key("F", "follow", "follow", "keep the end of the log in sight as it grows, or not", hint=False),
        Key("y", "copy", "copy id", "copy the run's id to the clipboard (OSC 52)", hint=False),
        Key("j,down", "down(1)", "down", "down; next example", hint=False),
        Key("k,up", "down(-1)", "up", "up; example before", hint=False),
    )
    CSS = """
    DetailScreen #about { height: 1; color: $foreground 75%; text-wrap: nowrap; text-overflow: ellipsis; }
    DetailScreen #tabs-body { height: 1fr; }
    DetailScreen .tab { display: none; height: 1fr; layout: horizontal; }
    DetailScreen.overview #overview, DetailScreen.training #training, DetailScreen.attacks #attacks-tab,
    DetailScreen.examples #example, DetailScreen.config #config-scroll, DetailScreen.log #log-tab { display: block; }
    DetailScreen VerticalScroll { scrollbar-size-vertical: 1; }
    DetailScreen #facts-scroll { width: 40; height: 1fr; }
    DetailScreen.-wide #facts-scroll { width: 56; }
    DetailScreen #facts, DetailScreen #config { height: auto; }
    DetailScreen ChartView { width: 1fr; height: 1fr; border-left: solid $panel; }
    DetailScreen #epochs { width: 42; height: 1fr; }
    DetailScreen #attacks-tab, DetailScreen #log-tab { layout: vertical; }
    DetailScreen #attack-words { height: 3; border-top: solid $panel; color: $foreground 85%; }
    DetailScreen #example { layout: vertical; }
    DetailScreen #caption { height: 2; }
    DetailScreen #picture { height: 1fr; }
    DetailScreen #gone { display: none; height: 1fr; padding: 1 2; }
    DetailScreen.gone #tabs-body { display: none; }
    DetailScreen.gone #gone { display: block; }
    """
    AUTO_FOCUS: ClassVar[str | None] = "#facts-scroll"

    def __init__(self, session: Session, study: str, trial_id: str) -> None:
        super().__init__(session)
        self._study, self._trial_id = study, trial_id
        self._tab = TABS[0]
        self._attack: str | None = None
        self._index = 0
        self._run: Run | None = None
        self._put: dict[str, object] = {}
        """Widget → what it was last given, so that only what changed is drawn again."""

    @property
    def marked(self) -> str:
        return self.app.current_mode  # the screen below it

    def body(self) -> ComposeResult:
        yield TabLine(TITLES, id="tabs")
        yield Static("reading the run …", id="about")
        yield Static("", id="gone")
        with Container(id="tabs-body"):
            with Container(id="overview", classes="tab"):
                with VerticalScroll(id="facts-scroll"):
                    yield Static("", id="facts")
                yield ChartView(self.session.drawn, id="attack-curves")
            with Container(id="training", classes="tab"):
                yield Grid[EpochRow](identify=lambda row: row.epoch, id="epochs")
                yield ChartView(self.session.drawn, id="training-curves")
            with Container(id="attacks-tab", classes="tab"):
                yield Grid[Line](identify=lambda line: line.key, id="attacks")
                yield Static("", id="attack-words")
            with Container(id="example", classes="tab"):
                yield Static("", id="caption")
                yield Static("", id="picture")
            with VerticalScroll(id="config-scroll", classes="tab"):
                yield Static("", id="config")
            yield LogPane(id="log-tab", classes="tab")

    @property
    def log_pane(self) -> LogPane:
        return self.query_one(LogPane)

    def on_mount(self) -> None:
        self.query_one("#example").can_focus = True
        self.add_class(self._tab)

    # --- data ---

    def question(self) -> Question:
        room = (self.size.width, max(4, self.size.height - _LINES_AROUND))
        return Question(self._tab, self._attack, self._index, room, self.session.context.colour)

    def load(self, db: Database, question: Question) -> Run | None:
        return load(db, self._study, self._trial_id, question)

    def show(self, data: Run | None) -> None:
        before, self._run = self._run, data
        self.set_class(data is None, "gone")
        if data is None:
            self._static("gone", Content.assemble(
                ("This run is gone: it was deleted meanwhile.\n\n", "bold"), ("esc", "bold $accent"), "  back",
            ))  # fmt: skip
            return
        if before is None:
            self.log_pane.follow(data.row.state == "running")
        self._static("about", Content(title(data.row)))
        {
            "overview": self._show_overview,
            "training": self._show_training,
            "attacks": self._show_attacks,
            "examples": self._show_example,
            "config": lambda run: self._static("config", config(run.detail)),
            "log": self._show_log,
        }[self._tab](data)

    def _show_overview(self, run: Run) -> None:
        self._static("facts", overview(run, self.session.own))
        chart = self.query_one("#attack-curves", ChartView)
        if not run.tried:
            chart.clear(self._untouched(run))
            return
        results = tuple((row.attack_id, row.study, row.eps) for row in run.detail.results)
        chart.draw(
            ("attacks", self._study, self._trial_id, results),
            lambda db, canvas: attack_curves(db, self._study, self._trial_id, canvas),
        )

    def _show_training(self, run: Run) -> None:
        self._fill("epochs", *epochs_table(run.detail.epochs))
        chart = self.query_one("#training-curves", ChartView)
        if run.detail.epochs:
            chart.draw(
                ("training", self._trial_id, len(run.detail.epochs)),
                lambda db, canvas: training_curves(db, self._trial_id, canvas),
            )
        else:
            chart.clear("No epoch is finished yet.")

    def _show_attacks(self, run: Run) -> None:
        columns, rows = attacks_table(run.detail, self._study, wide=self.has_class("-wide"))
        self._fill("attacks", columns, rows)
        if not rows:
            self._static("attack-words", Content(self._untouched(run)))

    def _show_example(self, run: Run) -> None:
        example = run.example
        if example is None:  # asked before the tab was turned
            return
        if example.note:
            command = f"innate attack {short_id(self._trial_id)} --attack pgd"
            self._static("caption", Content(f"{example.note}\nMore attacks: {command}"))
            self._static("picture", "")
            return
        self._index = example.index
        choose, on, back = (self.key_of(action) for action in ("attack", "on(1)", "on(-1)"))
        chosen = f"all attacks ({', '.join(run.tried)}; {choose} chooses)"
        which = chosen if self._attack is None else f"{self._attack} ({choose})"
        head = f"example {example.index + 1} of {example.count}  ·  {which}  ·  {on} next  {back} before"
        self._static("caption", Content.assemble((f"{head}\n", "$foreground 75%"), (example.caption, "bold")))
        self._static("picture", example.picture)

    def _show_log(self, run: Run) -> None:
        why = "it has not been started" if run.row.state == "queued" else "no event of it was kept"
        self.log_pane.show(run.log, f"The log says nothing about this run: {why}.")

    def _untouched(self, run: Run) -> str:
        state = run.row.state
        if state in ("queued", "running"):
            return f"Not attacked yet: the run is {state}."
        return f"Not attacked yet: innate attack {short_id(self._trial_id)} --attack pgd"

    def _static(self, name: str, content: Content | str) -> None:
        """Give a Static its text if that is new; a string is a picture in terminal colours."""
        if self._put.get(name) != content:
            self._put[name] = content
            shown = Text.from_ansi(content, no_wrap=True) if isinstance(content, str) else content
            self.query_one(f"#{name}", Static).update(shown)

    def _fill(self, name: str, columns: list[Column[R]], rows: list[R]) -> None:
        grid: Grid[R] = self.query_one(f"#{name}", Grid)
        shape = [(column.key, column.title) for column in columns]
        if self._put.get(name) != shape:
            self._put[name] = shape
            grid.columns = columns
        for offset in range(0, max(1, len(rows)), PAGE):
            grid.fill(offset, rows[offset : offset + PAGE], len(rows))

    def on_grid_moved(self, event: Grid.Moved) -> None:
        attacks: Grid[Line] = self.query_one("#attacks", Grid)
        if event.grid is attacks and attacks.current is not None:
            self._static("attack-words", Content(attacks.current.words))

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002 - Textual hands it over
        if self._run is not None:
            self.reload()

    # --- actions ---

    def action_back(self) -> None:
        if self.log_pane.searching:
            self._close_search(keep=False)
        else:
            self.app.pop_screen()

    def action_turn(self, by: int) -> None:
        self._turn_to(TABS[(TABS.index(self._tab) + by) % len(TABS)])

    def on_tab_line_chosen(self, event: TabLine.Chosen) -> None:
        self._turn_to(TABS[event.index])

    def _turn_to(self, tab: str) -> None:
        self.log_pane.close_search(keep=True)
        self.remove_class(self._tab)
        self._tab = tab
        self.add_class(tab)
        self.query_one(TabLine).show(TABS.index(tab))
        self.say("")
        self._in_front.focus()
        if self._run is not None and tab not in ("examples", "log"):
            self.show(self._run)  # what is known already stands there at once
        self.reload()

    @property
    def _in_front(self) -> Widget:
        return self.query_one(_FOCUS[self._tab])

    def action_on(self, by: int) -> None:
        if self._tab == "examples":
            self._index += by
            self.reload()
        elif self._tab == "log":
            if not self.log_pane.found:
                self.say("search for something first: /")
            self.log_pane.go_on(by)
        else:
            self.say("n and p go through the examples, and through what a search of the log found")

    def action_down(self, by: int) -> None:
        if self._tab == "examples":
            self.action_on(by)
        else:
            self._in_front.scroll_relative(y=by, animate=False)

    def action_attack(self) -> None:
        if self._tab != "examples":
            self._turn_to("examples")
        tried = self._run.tried if self._run else ()
        if not tried:
            self.say("this run is not attacked yet, so there is nothing to choose")
            return
        items = [Item("", "all", "every attack's examples"), *(Item(name, name) for name in tried)]

        def chosen(name: str | None) -> None:
            if name is not None:
                self._attack, self._index = name or None, 0
                self.reload()

        self.push(Picker("Examples of", items), chosen)

    def action_search(self) -> None:
        if self._tab != "log":
            self._turn_to("log")
        self.log_pane.open_search()
        self.say("⏎ keeps the search, esc ends it")

    def on_input_submitted(self) -> None:
        self._close_search(keep=True)

    def _close_search(self, *, keep: bool) -> None:
        self.log_pane.close_search(keep=keep)
        self.say("")
        self._in_front.focus()

    def action_follow(self) -> None:
        if self._tab != "log":
            self._turn_to("log")
        on = not self.log_pane.following
        self.log_pane.follow(on)
        self.say("the end of the log stays in sight as it grows" if on else "the log stays where it is")

    def action_harder(self) -> None:
        ask_harder(self, self._study, [self._trial_id])

    def action_resubmit(self) -> None:
        resubmit(self, self._study, self._trial_id)

    def action_note(self) -> None:
        if self._run is not None:
            ask_note(self, self._study, self._run.row.variant_id)

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._trial_id)
        self.say(f"copied {self._trial_id}")

    # --- the same from the command line ---

    def equivalents(self) -> Mapping[str, str]:
        trial = short_id(self._trial_id)
        attack = self._attack or next(iter(self._run.tried if self._run else ()), None)
        pictures = f"innate examples {trial}{f' --attack {attack}' if attack else ''}"
        return {
            "turn(1)": f"innate show {trial}",
            "on(1)": pictures,
            "harder": harder_command(self._study, [self._trial_id]),
            "resubmit": resubmit_command(self._study, self._trial_id),
            "note": f"innate note {trial} --study {shlex.quote(self._study)}",
            "attack": pictures,
            "search": f"innate worker logs | grep {trial}",
            "follow": f"innate worker logs --follow | grep {trial}",
            "copy": f"innate show {trial} --json",
        }

"""Findings: the paper's claims and every factor's effects with their verdicts, and what the one under the cursor rests on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from app.tui.findings import words
from app.tui.findings.data import Loaded, Question, load, models_of
from app.tui.findings.evidence import COMPOSE, run_name
from app.tui.findings.pane import EvidencePane
from app.tui.findings.settle import Settler
from app.tui.findings.table import CLAIMS, groups, table
from app.tui.findings.words import PARTS
from app.tui.followup.harder import ask_harder, harder_command
from app.tui.shell.keys import Key, bindings
from app.tui.shell.page import Page
from app.tui.shell.threads import sentence
from app.tui.widgets.dialogs import Item, Picker
from app.tui.widgets.grid import Grid, Line
from app.tui.widgets.tabs import TabLine
from core.names import FACTORS
from core.verdict.findings import Finding
from core.verdict.findings.finding import Kind

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.shell.session import Session

_REST = 4.0
"""How much longer than a look took to wait before the next, while the data keep changing."""


class FindingList(Grid[Line]):
    """Its cursor stays in sight when it gives room to the evidence."""

    class Resized(Message):
        """There is another width to fill."""

    def on_resize(self) -> None:
        self.into_sight(self.cursor, self.cursor)
        self.post_message(self.Resized())


class FindingsScreen(Page):
    """One study: the list, and one part of the evidence of the line under its cursor."""

    MODE = "findings"
    KEYS = (
        Key(
            "tab,right_square_bracket",
            "turn(1)",
            "evidence",
            "next part: rests on, pairs, interaction, causes, settle, beside",
        ),
        Key("shift+tab,left_square_bracket", "turn(-1)", "part before", "part before", hint=False),
        Key("enter", "enter", "closer", "into the evidence, with more room; on a pair one of its runs"),
        Key("escape,backspace", "back", "back", "from the evidence back to the list", hint=False),
        Key("S", "settle", "settle", "train the seeds that settle what is open: says what they cost, and asks"),
        Key("A", "harder", "harder", "attack harder what the pair or the finding rests on, or all below a heading"),
        Key("o", "study", "study", "choose the study"),
        Key("B", "beside", "beside", "set another study beside this one, or none"),
        Key("c", "comparison", "comparison", "pairs of the next comparison that a claim rests on", hint=False),
        Key("y", "copy", "copy", "copy the equivalent command of this part", hint=False),
    )
    BINDINGS = bindings(KEYS)
    CSS = """
    FindingsScreen #about { height: 1; color: $foreground 75%; text-wrap: nowrap; text-overflow: ellipsis; }
    FindingsScreen #empty { height: 1fr; padding: 1 2; display: none; }
    FindingsScreen.empty #empty { display: block; }
    FindingsScreen.empty #split { display: none; }
    FindingsScreen #split { height: 1fr; layout: vertical; }
    FindingsScreen #list { height: 10; }
    FindingsScreen.reading #list { height: 4; }
    FindingsScreen.-wide #split { layout: horizontal; }
    FindingsScreen.-wide #list { width: 60%; height: 1fr; }
    FindingsScreen.-wide EvidencePane { border-left: solid $panel; }
    """
    AUTO_FOCUS: ClassVar[str | None] = "#list"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._loaded: Loaded | None = None
        self._look = False
        """Whether the next load may take seconds."""
        self._wished = True
        """Something was chosen: what that takes is looked for at once, however long the last look took."""
        self._due = False
        self._laid_out: Any = None
        self._settler = Settler(self)

    def body(self) -> ComposeResult:
        yield Static("looking …", id="about")
        yield Static("", id="empty")
        with Container(id="split"):
            yield FindingList(identify=lambda line: line.key, id="list")
            yield EvidencePane(self.session, self.key_of)

    def on_mount(self) -> None:
        self.evidence.turn(self.part)

    # --- what is on the screen ---

    @property
    def listed(self) -> FindingList:
        return self.query_one(FindingList)

    @property
    def evidence(self) -> EvidencePane:
        return self.query_one(EvidencePane)

    @property
    def family(self) -> str:
        """What the line under the cursor is settled with: all claims, or the levels of a factor."""
        one, line = self.finding, self.listed.current
        if one is not None:
            return one.factor if one.kind is Kind.EFFECT else CLAIMS
        return str(line.key) if line is not None and line.key in FACTORS else CLAIMS

    @property
    def finding(self) -> Finding | None:
        """The one under the cursor; None on a heading."""
        line, found = self.listed.current, self._loaded.found if self._loaded else None
        if line is None or found is None:
            return None
        return next((one for one in found.found if one.key == line.key), None)

    @property
    def trials(self) -> list[str]:
        """What the pair under the cursor is of, else what the finding rests on, else all findings below the heading."""
        one, pair, line, found = self.finding, self.evidence.pair, self.listed.current, self._loaded
        if pair is not None and self.evidence.has_focus_within:
            return [model.trial_id for model in pair.models]
        if line is None or found is None or found.found is None:
            return []
        several = [one] if one is not None else dict(groups(found.found)).get(str(line.key), [])
        return list(dict.fromkeys(model.trial_id for each in several for model in models_of(each)))

    # --- what was chosen, and is remembered ---

    @property
    def part(self) -> str:
        part = self._remembered("part")
        return part if part in PARTS else PARTS[0]

    def _remembered(self, key: str) -> str | None:
        name = self.session.remembered.findings.get(key)
        return name if isinstance(name, str) else None

    def _choose(self, **changes: str | None) -> None:
        self.session.remembered.findings.update(changes)
        self.session.remember()
        self._wished = True
        self.reload()

    # --- data ---

    def question(self) -> Question:
        look, self._look = self._look, False
        costs = self.part == "settle"
        return Question(self._remembered("study"), self._remembered("beside"), costs, self._loaded, look)

    def load(self, db: Database, question: Question) -> Loaded:
        return load(db, question)

    def show(self, data: Loaded) -> None:
        before = self._loaded
        self.set_class(data.study is None, "empty")
        looking = data.stale and self._may_look(data)
        self.query_one("#about", Static).update(Content(words.about(data, self.size.width, looking=looking)))
        if data.study is None:
            self._loaded = data
            self.query_one("#empty", Static).update(words.nothing(self.key_of))
            return
        if looking:
            self._look = True
            self.reload()
        elif not data.stale:
            self._wished = False
        if data.found is None:  # of another study than what stands there, which stays until this one is looked through
            return
        self._loaded = data
        another = before is None or before.study != data.study
        if another:
            self.listed.expire(restart=True)
            self._laid_out = None
        self._lay_out()
        if another:
            self.listed.move_to(1)  # below the heading
        self._show_evidence()

    def _may_look(self, data: Loaded) -> bool:
        """At once where somebody waits for it; where only the data have moved on, after a rest."""
        rest = data.at + _REST * data.took - time.monotonic()
        if self._wished or data.found is None or rest <= 0:
            return True
        if not self._due:
            self._due = True
            self.set_timer(rest, self._rested)
        return False

    def _rested(self) -> None:
        self._due = False
        self.reload()

    def _lay_out(self) -> None:
        """Fill the list for the room that there is."""
        data, width = self._loaded, self.listed.size.width
        if data is None or data.found is None or not width:
            return
        shape = (data.made_of, tuple(data.settling.items()), width)
        if shape == self._laid_out:
            return
        self._laid_out = shape
        made = table(data.found, data.settling, width - 1)
        if [column.key for column in made.columns] != [column.key for column in self.listed.columns]:
            self.listed.columns = made.columns
        self.listed.fill_all(made.lines)

    def _show_evidence(self) -> None:
        line = self.listed.current
        if self._loaded is not None and line is not None:
            self.evidence.show(self._loaded, str(line.key), self.finding)

    def on_grid_moved(self, event: Grid.Moved) -> None:
        if event.grid is self.listed:
            self._show_evidence()

    def on_finding_list_resized(self) -> None:
        self._lay_out()
        self._show_evidence()

    # --- moving between the list and the evidence ---

    def action_turn(self, by: int) -> None:
        self._turn_to(PARTS[(PARTS.index(self.part) + by) % len(PARTS)])

    def on_tab_line_chosen(self, event: TabLine.Chosen) -> None:
        self._turn_to(PARTS[event.index])

    def _turn_to(self, part: str) -> None:
        self.say("")
        self.evidence.turn(part)
        self._choose(part=part)
        if self.has_class("reading"):
            self._read()
        self._show_evidence()

    def action_enter(self) -> None:
        if not self.has_class("reading"):
            self.add_class("reading")
            self._read()
            self.say(f"{self.key_of('back')} goes back to the list")

    def _read(self) -> None:
        (self.evidence.reader or self.listed).focus()

    def action_back(self) -> None:
        self.remove_class("reading")
        self.listed.focus()
        self.say("")

    def on_grid_chosen(self, event: Grid.Chosen) -> None:
        pair = self.evidence.pair
        if event.grid is self.listed or pair is None:
            self.action_enter()
            return
        items = [Item(model.trial_id, run_name(model), model.trust) for model in pair.models]
        self.push(Picker("Open which run of the pair?", items), self._open)

    def _open(self, trial: str | None) -> None:
        from app.tui.run.screen import DetailScreen

        if trial is not None and self._loaded is not None and self._loaded.study is not None:
            self.app.push_screen(DetailScreen(self.session, self._loaded.study, trial))

    def action_comparison(self) -> None:
        one = self.finding
        if self.part != "pairs" or one is None or len(one.parts) < 2:
            this, turn = self.key_of("comparison"), self.key_of("turn(1)")
            self.say(f"{this} is for the pairs of a claim with several comparisons: {turn} goes to Pairs")
            return
        self.evidence.next_comparison(one)
        self._show_evidence()

    # --- actions ---

    @property
    def _composes(self) -> str:
        return f"{self.key_of(COMPOSE)} composes one"

    def action_settle(self) -> None:
        study = self._loaded.study if self._loaded else None
        if study is None:
            self.say(f"there is no study to settle yet: {self._composes}")
        else:
            self._settler.ask(study, self.family)

    def action_harder(self) -> None:
        if self._loaded is not None and self._loaded.study is not None:
            ask_harder(self, self._loaded.study, self.trials)

    def action_study(self) -> None:
        self.run_worker(self._pick_study(), exit_on_error=False)

    def action_beside(self) -> None:
        self.run_worker(self._pick_beside(), exit_on_error=False)

    async def _pick_study(self) -> None:
        items = await self._studies()
        if items:
            self.push(Picker("Study", items), lambda study: self._choose(study=study) if study else None)
        elif items is not None:
            self.say(f"there is no study yet: {self._composes}")

    async def _pick_beside(self) -> None:
        shown = self._loaded
        items = [item for item in await self._studies() or [] if shown is None or item.value != shown.study]
        if shown is not None and shown.beside is not None:
            items.append(Item("", "none", "this study by itself"))
        if not items:
            self.say(f"there is no other study to set beside this one: {self._composes}")
            return

        def chosen(study: str | None) -> None:
            if study is not None:
                self.session.remembered.findings["beside"] = study or None
                self._turn_to("beside" if study else self.part)

        self.push(Picker("Beside this study", items), chosen)

    async def _studies(self) -> list[Item] | None:
        """What there is to choose from; None where that cannot be read, which is told."""
        from storage.studies import studies

        try:
            rows = await self.session.reader.ask(studies)
        except Exception as error:
            self.session.note_fault(error)
            self.complain(sentence(error))
            return None
        return [Item(row.study, row.study, f"{row.dataset}, {row.done} of {row.trials} done") for row in rows]

    def action_copy(self) -> None:
        text = self.equivalents().get("copy", "innate findings")
        self.app.copy_to_clipboard(text)
        self.say(f"copied {text}")

    # --- the same from the command line ---

    def equivalents(self) -> Mapping[str, str]:
        pair = self.evidence.pair
        trial = None if pair is None else pair.models[0].trial_id
        found = dict(words.commands(self._loaded, self.family, self.finding, self.part, trial))
        if self._loaded is not None and self._loaded.study is not None and self.trials:
            found["harder"] = harder_command(self._loaded.study, self.trials)
        return found

"""Queue: what runs and how far it is, what waits and why, what failed and why; and everything that steers it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from app.report import status
from app.report.status import WorkerView
from app.tui.followup.resubmit import resubmit, resubmit_command
from app.tui.queue.columns import COLUMNS, WIDE_COLUMNS, QueueLine, listed
from app.tui.queue.panels import RunningTrial, Survivors, panels
from app.tui.shell.keys import Key
from app.tui.shell.steering import DRAIN, PAUSE, START, SteeringPage, worker_line
from app.tui.widgets.dialogs import Confirm, Prompt
from app.tui.widgets.grid import PAGE, Grid
from app.tui.widgets.text import TextLines, coarse
from core.names import short_id
from storage import queries, worker_state
from storage.changes import Cancel, Prioritise, Retry

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.shell.session import Session

_PANELS = 64
"""Running trials read for panels; no screen has room for more."""
_EPOCHS = 240
"""Epochs read for a sparkline."""
_LEAST_ROWS = 7
"""Lines that the panels leave to the table."""
_MOST_PRIORITY = 10**9


@dataclass(frozen=True)
class Asked:
    """What a load must know: the pages in sight, of which states, and on which row the cursor stands."""

    offsets: Sequence[int]
    states: Sequence[str]
    current: tuple[str, str] | None
    state: str | None
    """Of the current row."""


@dataclass(frozen=True)
class Answer:
    """What a load brings."""

    asked: Asked
    view: WorkerView
    paused: str | None
    counts: Mapping[str, int]
    seconds_left: float | None
    running: Sequence[RunningTrial]
    pages: Mapping[int, Sequence[QueueLine]]
    total: int
    place: int | None
    """Where the row on which the cursor stood is now, unless its state has changed."""


class QueueScreen(SteeringPage):
    """One row per unfinished trial × study, in the order in which they are claimed."""

    MODE = "queue"
    KEYS = (
        Key("space", "mark", "mark", "mark the trial, or undo it; cancel, retry, sooner and later take the marked ones"),
        Key("x", "cancel", "cancel", "cancel the marked trials, or the one under the cursor; a running one keeps its checkpoint"),
        Key("R", "retry", "retry", "queue failed trials again: the marked ones, or the one under the cursor"),
        Key("plus", "raise_priority", "sooner", "priority one up: run it before others"),
        Key("minus", "lower_priority", "later", "priority one down: run it after others", hint=False),
        START,
        PAUSE,
        DRAIN,
        Key("f", "failed", "failed", "show only what failed, or everything again"),
        Key("E", "resubmit", "edit", "edit the configuration of the run, and submit that as a study of its own", hint=False),
        Key("enter", "open", "open", "everything about the run: training, attacks, examples, log"),
        Key("P", "priority", "priority", "set the priority to a number", hint=False),
        Key("X", "cancel_study", "cancel study", "cancel everything unfinished of the study under the cursor", hint=False),
        Key("A", "retry_all", "retry all", "queue every failed trial again", hint=False),
        Key("u", "unmark", "unmark", "forget all marks", hint=False),
        Key("y", "copy", "copy id", "copy the trial's id to the clipboard (OSC 52)", hint=False),
    )  # fmt: skip
    CSS = """
    QueueScreen #worker, QueueScreen #counts { height: 1; }
    QueueScreen #counts { color: $foreground 80%; }
    QueueScreen #panels { background: $surface; }
    QueueScreen #why { height: 2; background: $surface; }
    QueueScreen #empty { height: 1fr; padding: 1 2; display: none; }
    QueueScreen.empty #empty { display: block; }
    QueueScreen.empty #grid, QueueScreen.empty #why { display: none; }
    """
    AUTO_FOCUS: ClassVar[str | None] = "#grid"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._wanted: set[int] = {0}
        self._only_failed = False
        self._answer: Answer | None = None
        self._survivors: dict[str, Survivors] = {}
        self._told: dict[str, Content] = {}

    def body(self) -> ComposeResult:
        yield TextLines("reading the queue …", id="worker")
        yield TextLines(id="counts")
        yield TextLines(id="panels")
        yield Static("", id="empty")
        yield Grid[QueueLine](identify=lambda line: line.key, id="grid")
        yield Static("", id="why")

    @property
    def grid(self) -> Grid[QueueLine]:
        return self.query_one("#grid", Grid)

    def on_mount(self) -> None:
        self._set_columns()

    def on_resize(self) -> None:
        self.call_after_refresh(self._set_columns)
        self.call_after_refresh(self._draw)

    def on_screen_resume(self) -> None:
        self.grid.expire()

    def _set_columns(self) -> None:
        wide = self.has_class("-wide")
        columns = WIDE_COLUMNS if wide else COLUMNS
        if columns != self.grid.columns:
            self.grid.columns = columns

    # --- data ---

    def question(self) -> Asked:
        wanted, self._wanted = self._wanted or {0}, set()
        row = self.grid.current
        states = ("failed",) if self._only_failed else status.STATES
        return Asked(sorted(wanted), states, row.key if row else None, row.state if row else None)

    def load(self, db: Database, question: Asked) -> Answer:
        view = status.worker_view(db, self.session.context.lived_in)
        counts = status.totals(db, view)
        place = status.place(db, view, counts, *question.current, states=question.states) if question.current else None
        moved = place is not None and place[1] != question.state
        offsets = set(question.offsets)
        if place is not None and not moved:
            offsets.add(place[0] // PAGE * PAGE)
        running = status.page(db, view, counts, 0, _PANELS, states=("running",))
        once = {trial.trial_id: trial for trial in running}  # one may run for two studies
        return Answer(
            asked=question,
            view=view,
            paused=worker_state.paused(db),
            counts=counts,
            seconds_left=status.seconds_left(db, view),
            running=[RunningTrial(one, queries.trial_epochs(db, trial, _EPOCHS)) for trial, one in once.items()],
            pages={
                offset: [listed(row) for row in status.page(db, view, counts, offset, PAGE, states=question.states)]
                for offset in sorted(offsets)
            },
            total=sum(counts[state] for state in question.states),
            place=None if place is None or moved else place[0],
        )

    def show(self, data: Answer) -> None:
        if data.asked.states != (("failed",) if self._only_failed else status.STATES):
            return  # asked before f was pressed; the next answer is on its way
        self._answer = data
        self.seen(data.view, data.paused)
        self.set_class(data.total == 0, "empty")
        followed = self.grid.current
        for offset, rows in data.pages.items():
            self.grid.fill(offset, rows, data.total)
        # What is started, cancelled or claimed before others moves: the cursor stays with its trial, not with its line.
        same = followed is not None and followed.key == data.asked.current
        if same and data.place is not None and data.place != self.grid.cursor:
            self.grid.move_to(data.place)
        here = {trial.trial.trial_id for trial in data.running}
        self._survivors = {trial: seen for trial, seen in self._survivors.items() if trial in here}
        for trial in data.running:
            self._survivors.setdefault(trial.trial.trial_id, Survivors()).look(trial)
        self._draw()

    def _draw(self) -> None:
        """Everything but the table, from the last answer."""
        data = self._answer
        if data is None:
            return
        wide = self.has_class("-wide")
        self.query_one("#worker", TextLines).put([worker_line(data.view, data.paused, self.key_of)])
        self.query_one("#counts", TextLines).put([self._counts(data)])
        room = self.size.height - 3 - 2 - 2 - min(_LEAST_ROWS * (2 if wide else 1), data.total + 1)
        self.query_one("#panels", TextLines).put(
            panels(data.running, self._survivors, self.size.width, room, wide=wide, lanes=data.view.lanes)
        )
        if data.total == 0:
            self._update("#empty", self._nothing(data))
        self._tell_why()

    def _update(self, where: str, content: Content) -> None:
        """Static draws itself again whatever it is given; only what changed is to go over the line."""
        if where not in self._told or not self._told[where].is_same(content):
            self._told[where] = content
            self.query_one(where, Static).update(content, layout=where == "#empty")

    def _counts(self, data: Answer) -> Content:
        counts = data.counts
        parts: list[Any] = [f"{counts['running']:,} running, {counts['queued']:,} queued, "]
        parts.append((f"{counts['failed']:,} failed", "bold $error" if counts["failed"] else ""))
        if data.seconds_left is not None and counts["running"] + counts["queued"]:
            parts.append(f"  ·  about {coarse(data.seconds_left)} left")
        elif data.view.alive and counts["running"]:
            parts.append("  ·  time left: known once a trial has ended")
        if self._only_failed:
            parts += ["  ·  only failed, ", (self.key_of("failed"), "bold $accent"), " shows all"]
        if self.grid.marks:
            parts.append(f"  ·  {len(self.grid.marks):,} marked")
        return Content.assemble(*parts)

    def _nothing(self, data: Answer) -> Content:
        if self._only_failed and any(data.counts.values()):
            return Content.assemble(
                "Nothing has failed.\n\n", (self.key_of("failed"), "bold $accent"), " shows what runs and waits."
            )
        idle = "A worker is there and takes what comes.\n\n" if data.view.alive else ""
        return Content.assemble(
            ("Nothing is queued, running or failed.\n\n", "bold"), idle,
            (self.key_of("mode('compose')"), "bold $accent"), "  compose a study and submit it\n",
            (self.key_of("mode('lab')"), "bold $accent"), "  look at what has been run\n\n",
            "Or from the command line: ", ("innate run quick --detach", "bold"),
        )  # fmt: skip

    def data_changed(self) -> None:
        self.grid.expire()  # it asks for what is in sight, and with that comes the rest

    def on_grid_wanted(self, event: Grid.Wanted) -> None:
        self._wanted.add(event.offset)
        self.reload()

    def on_grid_moved(self) -> None:
        self._tell_why()

    def _tell_why(self) -> None:
        """The reason of the row under the cursor, whole."""
        row = self.grid.current
        if row is None:
            self._update("#why", Content(""))
            return
        verb = {"queued": "waits: ", "failed": "failed: "}.get(row.state, "")
        colour = "$error" if row.state == "failed" else "$foreground"
        told = [(f"{short_id(row.trial_id)} ", "$foreground 70%"), (f"{verb}{row.told}", colour)]
        self._update("#why", Content.assemble(*told))

    # --- actions ---

    def _meant(self) -> list[str]:
        """The marked trials, else the one under the cursor."""
        if self.grid.marks:
            marks = cast("set[tuple[str, str]]", self.grid.marks)
            return sorted({trial for _, trial in marks})
        row = self.grid.current
        return [] if row is None else [row.trial_id]

    def action_mark(self) -> None:
        if self.grid.toggle_mark() is not None:
            self.grid.action_move(1)
            self._draw()

    def action_unmark(self) -> None:
        self.grid.marks.clear()
        self.grid.refresh()
        self._draw()

    def action_open(self) -> None:
        self.grid.action_choose()

    def on_grid_chosen(self) -> None:
        from app.tui.run.screen import DetailScreen

        if self.grid.current is not None:
            self.app.push_screen(DetailScreen(self.session, *self.grid.current.key))

    def action_resubmit(self) -> None:
        row = self.grid.current
        if row is not None:
            resubmit(self, row.study, row.trial_id)

    def action_failed(self) -> None:
        self._only_failed = not self._only_failed
        self._wanted = {0}
        self.grid.expire(restart=True)
        self.reload()

    def action_copy(self) -> None:
        row = self.grid.current
        if row is not None:
            self.app.copy_to_clipboard(row.trial_id)
            self.say(f"copied {row.trial_id}")

    def action_cancel(self) -> None:
        trials, row = self._meant(), self.grid.current
        if not trials or not self.may_change():
            return
        if not self.grid.marks and row is not None and row.state == "failed":
            self.say(f"it has failed already; {self.key_of('retry')} queues it again")
            return
        command = f"innate cancel {_short(trials)}"
        undo = f"{self.session.own.key('lab.retry', 'R')} in the Lab, or innate retry, brings it back"

        def sure(yes: bool | None) -> None:
            if yes:
                self.action_unmark()
                cancel = Cancel(tuple(trials), None)
                self.steer(cancel, lambda _: f"cancelled {_trials(trials)}; {undo}", command)

        if len(trials) == 1:
            sure(True)
        else:
            self.push(Confirm(f"Cancel {_trials(trials)}? What runs stops and keeps its checkpoint."), sure)

    def action_cancel_study(self) -> None:
        row = self.grid.current
        if row is None or not self.may_change():
            return
        study = row.study

        def sure(yes: bool | None) -> None:
            if yes:
                self.action_unmark()
                done = "cancelled what was unfinished of the study; submitting it again queues it"
                self.steer(Cancel(None, study), lambda _: done, f"innate cancel --study {shlex.quote(study)}")

        self.push(Confirm(f"Cancel everything unfinished of {study}? What runs stops and keeps its checkpoint."), sure)

    def action_retry(self) -> None:
        trials, row = self._meant(), self.grid.current
        if not trials or not self.may_change():
            return
        if not self.grid.marks and row is not None and row.state != "failed":
            self.say(f"it is {row.state}; {self.key_of('retry')} is for what has failed")
            return
        self.action_unmark()
        done = f"queued {_trials(trials)} again"
        self.steer(Retry(tuple(trials)), lambda _: done, f"innate retry {_short(trials)}")

    def action_retry_all(self) -> None:
        failed = self._answer.counts["failed"] if self._answer else 0
        if not self.may_change():
            return
        if not failed:
            self.say("nothing has failed")
            return

        def sure(yes: bool | None) -> None:
            if yes:
                start = f"; {self.key_of('start')} starts a worker"
                self._change(
                    lambda db: [Retry(tuple(queries.failed_trials(db)))],
                    f"queued what had failed again{'' if self.view and self.view.alive else start}",
                )

        self.push(
            Confirm(f"Queue {'the failed trial' if failed == 1 else f'all {failed:,} failed trials'} again?"), sure
        )

    def action_raise_priority(self) -> None:
        self._shift_priority(1)

    def action_lower_priority(self) -> None:
        self._shift_priority(-1)

    def _shift_priority(self, by: int) -> None:
        trials = self._meant()
        if not trials or not self.may_change():
            return

        def shift(db: Database) -> list[Prioritise]:
            levels: dict[int, list[str]] = {}
            for trial, priority in queries.priorities(db, trials).items():
                levels.setdefault(max(-_MOST_PRIORITY, min(_MOST_PRIORITY, priority + by)), []).append(trial)
            return [Prioritise(tuple(those), priority) for priority, those in levels.items()]

        done = f"priority of {_trials(trials)} one {'up' if by > 0 else 'down'}"
        self._change(shift, done)

    def action_priority(self) -> None:
        trials = self._meant()
        if not trials or not self.may_change():
            return

        def set_it(text: str | None) -> None:
            if text is not None:
                value = int(text)
                command = f"innate priority {_short(trials)} {value}"
                done = f"priority {value} for {_trials(trials)}"
                self.steer(Prioritise(tuple(trials), value), lambda _: done, command)

        row = self.grid.current
        hint = "a whole number; 0 unless set, higher runs first, negative last"
        now = str(row.priority) if row is not None and len(trials) == 1 else ""
        self.push(Prompt(f"Priority of {_trials(trials)}", now, hint=hint, check=_no_priority), set_it)

    def _change(self, wanted: Callable[[Database], Sequence[Retry | Prioritise]], done: str) -> None:
        """Make the changes that `wanted` finds in the database, one after another, then tell."""

        def run() -> str:
            from app.worker.changes import perform

            with self.session.writing() as db:
                changes = wanted(db)
                for change in changes:
                    perform(db, self.session.context.home, change)
            return " && ".join(map(_command, changes))

        self.do(run, lambda command: self.did(done, command) if command else self.say("there was nothing to change"))

    # --- the same from the command line ---

    def equivalents(self) -> Mapping[str, str]:
        row = self.grid.current
        meant, found = _short(self._meant()), {**self.steering_equivalents(), "retry_all": "innate retry --all"}
        found |= {"mark": "innate status --all", "failed": "innate trials --state failed"}
        if meant:
            found |= {"cancel": f"innate cancel {meant}", "retry": f"innate retry {meant}"}
        if row is not None:
            study, trial = shlex.quote(row.study), short_id(row.trial_id)
            found |= {
                "raise_priority": f"innate priority {meant} {row.priority + 1}",
                "lower_priority": f"innate priority {meant} {row.priority - 1}",
                "priority": f"innate priority {meant} {row.priority}",
                "open": f"innate show {trial}",
                "resubmit": resubmit_command(row.study, row.trial_id),
                "cancel_study": f"innate cancel --study {study}",
            }
        return found


def _command(change: Retry | Prioritise) -> str:
    """What makes the same change."""
    if isinstance(change, Retry):
        return f"innate retry {_short(change.trials)}"
    return f"innate priority {_short(change.trials)} {change.priority}"


def _short(trials: Sequence[str]) -> str:
    return " ".join(short_id(trial) for trial in trials)


def _trials(trials: Sequence[str]) -> str:
    return f"trial {short_id(trials[0])}" if len(trials) == 1 else f"{len(trials):,} trials"


def _no_priority(text: str) -> str | None:
    """What is wrong with a priority as it is typed."""
    try:
        value = int(text)
    except ValueError:
        return "a whole number, such as 10 or -5"
    return None if abs(value) <= _MOST_PRIORITY else "beyond ±1,000,000,000"

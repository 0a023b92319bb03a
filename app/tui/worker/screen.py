"""Worker: who works, on which slots and devices, how fast, and its log."""

from __future__ import annotations

import datetime
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import Input

from app.report import status
from app.report.status import UnfinishedTrial, WorkerView
from app.terminal.cells import cut
from app.tui.run.progress import stands
from app.tui.shell.keys import Key, KeyOf
from app.tui.shell.steering import DRAIN, PAUSE, START, SteeringPage, worker_line
from app.tui.widgets.dialogs import Confirm
from app.tui.widgets.field import Field
from app.tui.widgets.log import LogView
from app.tui.widgets.text import TextLines, bar, coarse, size, sparkline
from app.tui.worker.log import TIME, shown_line
from app.tui.worker.machine import Gauges, Machine
from app.worker.gpu_trouble import lost
from app.worker.log import Piece, Place, read_on
from core.names import short_id
from storage import queries, worker_state
from storage.worker_state import SlotRow

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.shell.session import Session

_MEASURE_SECONDS = 1.0
_BEATS_SECONDS = 8.0
"""Age up to which a heartbeat is as it should be; an idle worker beats every 5 seconds."""
_STOP_SECONDS = 1.5
"""How long a stop is waited for before the screen says that it goes on."""
_SLOTS = 64
"""Running trials read to say what is on the slots."""
_CORES = 16
"""Cores up to which each has a block of its own."""
_QUIET = "$foreground 70%"


@dataclass(frozen=True)
class Answer:
    """What a load brings. `log` is None without a log."""

    view: WorkerView
    paused: str | None
    running: Mapping[str, UnfinishedTrial]
    """Trial id → what runs."""
    waiting: int
    last_hour: int
    machine: Machine
    log: Piece | None


class WorkerScreen(SteeringPage):
    """The worker of this home and the machine it runs on, looked at once a second while the screen is in front."""

    MODE = "worker"
    KEYS = (
        START,
        Key("S", "stop", "stop", "end the worker: it writes checkpoints and hands its trials back; again: kill it now"),
        PAUSE,
        DRAIN,
        Key("slash", "search", "search", "search the log"),
        Key("n", "next_match", "next", "next match", hint=False),
        Key("N", "match_before", "before", "the match before", hint=False),
        Key("F", "follow", "follow", "go with the log as it grows, or stay where it is"),
    )
    CSS = """
    WorkerScreen #split { height: 1fr; layout: vertical; }
    WorkerScreen #about { height: auto; }
    WorkerScreen #title { background: $surface; }
    WorkerScreen #search { border: none; height: 1; padding: 0; background: $panel; display: none; }
    WorkerScreen #search.open { display: block; }
    WorkerScreen #right { height: 1fr; }
    WorkerScreen.-wide #split { layout: horizontal; }
    WorkerScreen.-wide #about { width: 62; height: 1fr; padding: 0 1 0 0; }
    WorkerScreen.-wide #right { width: 1fr; border-left: solid $panel; }
    """
    AUTO_FOCUS: ClassVar[str | None] = "#log"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._gauges = Gauges()
        self._answer: Answer | None = None
        self._place: Place | None = None
        self._no_log = False

    def body(self) -> ComposeResult:
        with Container(id="split"):
            with Vertical(id="about"):
                yield TextLines("looking at the worker and the machine …", id="facts")
            with Vertical(id="right"):
                yield TextLines(id="title")
                yield LogView(indent=TIME, id="log")
                yield Field(id="search", placeholder="search the log", select_on_focus=False)

    @property
    def log_view(self) -> LogView:
        return self.query_one("#log", LogView)

    def on_mount(self) -> None:
        self.set_interval(_MEASURE_SECONDS, self._measure)

    def on_screen_resume(self) -> None:
        self.reload()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _measure(self) -> None:
        if self.is_current:
            self.reload()

    def data_changed(self) -> None:
        """Measuring reads the database too, once a second: twice would say no more."""

    # --- data ---

    def question(self) -> Place | None:
        return self._place

    def load(self, db: Database, question: Place | None) -> Answer:
        home = self.session.context.lived_in
        view = status.worker_view(db, home)
        counts = status.totals(db, view)
        running = status.page(db, view, counts, 0, _SLOTS, states=("running",))
        return Answer(
            view=view,
            paused=worker_state.paused(db),
            running={trial.trial_id: trial for trial in running},
            waiting=counts["queued"],
            last_hour=queries.ended_since(db, time.time() - 3600),
            machine=self._gauges.read(home),
            log=read_on(home.worker_log, question),
        )

    def show(self, data: Answer) -> None:
        self._answer = data
        self.seen(data.view, data.paused)
        self._no_log = data.log is None and not self.log_view.lines
        if data.log is not None and (data.log.fresh or data.log.place != self._place):
            self._place = data.log.place
            today = datetime.date.today().isoformat()
            lines = [shown_line(line, today) for line in data.log.lines]
            (self.log_view.show if data.log.fresh else self.log_view.add)(lines)
        self._draw()

    def _draw(self) -> None:
        data = self._answer
        if data is None:
            return
        wide = self.has_class("-wide")
        facts, width = (_wide_facts, 60) if wide else (_facts, self.size.width)
        self.query_one("#facts", TextLines).put(facts(data, width, self.size.height - 3, self.key_of))
        self._title()

    def _title(self) -> None:
        log = self.log_view
        if self._no_log:
            text = "log: no worker has written one here yet"
        else:
            follows = "following" if log.following else f"not following ({self.key_of('follow')} follows)"
            text = f"log: {len(log.lines):,} lines, {follows}"
        if log.sought:
            where = f"{log.match + 1} of " if log.match is not None else ""
            text += f"  ·  {log.sought!r}: {where}{len(log.matches):,} lines match"
        self.query_one("#title", TextLines).put([Content.assemble((text, "bold" if log.has_focus else ""))])

    def on_log_view_changed(self) -> None:
        self._title()

    # --- actions ---

    def action_stop(self) -> None:
        if not self.may_change():
            return
        view, home = self.view, self.session.context.lived_in
        if view is not None and view.state == "blocked":
            self.complain(str(view.reason))
            return
        if view is None or not view.alive:
            self.say(f"no worker is running; {self.key_of('start')} starts one")
            return
        now = view.state == "stopping"
        who = f"the innate run (pid {view.pid})" if view.role == "innate run" else f"the worker (pid {view.pid})"
        command = f"innate worker stop{' --now' if now else ''}"
        again, start = self.key_of("stop"), self.key_of("start")

        def work() -> str:
            from app.worker import control

            try:
                pid = control.stop(home, now=now, patience=_STOP_SECONDS)
            except control.StillStopping:
                return f"it finishes its batches and writes checkpoints; {again} again kills it"
            return "it had ended already" if pid is None else f"worker {pid} stopped; {start} starts one again"

        def stop(yes: bool | None) -> None:
            if yes:
                self.say("stopping …")
                self.do(work, lambda told: self.did(told, command))

        if now:
            question = f"Kill {who} now? It is stopping cleanly; at most an epoch and an attack of each trial are lost."
        else:
            question = (
                f"Stop {who}? It finishes its batches, writes checkpoints and hands its trials back to the queue."
            )
        self.push(Confirm(question), stop)

    def action_search(self) -> None:
        field = self.query_one("#search", Field)
        field.value = self.log_view.sought
        field.add_class("open")
        self.set_focus(field)  # at once: what is typed next must not be taken for keys of the screen
        on, back = self.key_of("next_match"), self.key_of("match_before")
        self.say(f"⏎ goes to the last match, {on} and {back} on from there; esc ends the search")

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.has_class("open"):
            self.log_view.seek(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._close_search()
        self.log_view.seek(event.value)
        self._step(1)

    def key_escape(self) -> None:
        self.log_view.seek("")
        self._close_search()

    def _close_search(self) -> None:
        self.query_one("#search", Field).remove_class("open")
        self.set_focus(self.log_view)
        self.say("")

    def action_next_match(self) -> None:
        self._step(1)

    def action_match_before(self) -> None:
        self._step(-1)

    def _step(self, by: int) -> None:
        log = self.log_view
        if not log.sought:
            self.say(f"nothing is sought; {self.key_of('search')} searches")
        elif not log.matches:
            self.say(f"no line has {log.sought!r}")
        else:
            log.step(by)

    def action_follow(self) -> None:
        self.log_view.follow(not self.log_view.following)

    def equivalents(self) -> Mapping[str, str]:
        stopping = self.view is not None and self.view.state == "stopping"
        log = self.session.context.lived_in.worker_log
        found = {
            **self.steering_equivalents(),
            "stop": f"innate worker stop{' --now' if stopping else ''}",
            "follow": "innate worker logs -f",
        }
        sought = self.log_view.sought
        found["search"] = (
            f"grep -iF -e {shlex.quote(sought)} {shlex.quote(str(log))}" if sought else "innate worker logs"
        )
        return found


# --- the facts as lines ---

Part = str | tuple[str, str]


def _facts(data: Answer, width: int, height: int, key_of: KeyOf) -> list[Content]:
    """Everything in few lines, for a narrow screen: at most half of it, the rest is the log's."""
    devices = [_cpu(data.machine, 8), *(Content.assemble(*name, "  ", *load) for name, load in _gpus(data.machine, 10))]
    room = max(2, height // 2 - 2 - len(devices))
    return [
        worker_line(data.view, data.paused, key_of),
        Content.assemble("  ·  ".join(_throughput(data))),
        *_slots(data, width, room),
        *devices,
    ]


def _wide_facts(data: Answer, width: int, height: int, key_of: KeyOf) -> list[Content]:
    """The same under headings."""
    throughput = _throughput(data)
    devices = _cpu_lines(data.machine)
    for name, load in _gpus(data.machine, 16):
        devices += [Content.assemble(*name), Content.assemble("  ", *load)]
    worker = worker_line(data.view, data.paused, key_of).wrap(width)
    room = max(2, height - len(worker) - len(throughput) - len(devices) - 9)
    slots = _slots(data, width, room)
    return [
        _heading("Worker"),
        *worker,
        Content(""),
        _heading("Throughput"),
        *(Content(line) for line in throughput),
        Content(""),
        *([_heading("Slots"), *slots, Content("")] if slots else []),
        _heading("This machine"),
        *devices,
    ]


def _heading(text: str) -> Content:
    return Content.assemble((text, "bold $primary"))


def _throughput(data: Answer) -> list[str]:
    """Since when, how many trials, how fast."""
    view, told = data.view, []
    if view.alive and view.started_at is not None:
        since = datetime.datetime.fromtimestamp(view.started_at)
        today = since.date() == datetime.date.today()
        told.append(f"since {since.strftime('%H:%M' if today else '%Y-%m-%d %H:%M')}")
        if view.beat_age is not None and view.beat_age > _BEATS_SECONDS:
            told.append(f"last heartbeat {coarse(view.beat_age)} ago")
        told.append(f"{view.finished:,} trial{'' if view.finished == 1 else 's'} ended")
    told.append(f"{data.last_hour:,} in the last hour" if told else f"{data.last_hour:,} trials ended in the last hour")
    at_work = [trial.running for trial in data.running.values() if trial.running is not None]
    rates = [running.rate for running in at_work if running.rate is not None]
    if rates:
        told.append(f"{sum(rates):,.0f} images/s")
    if not view.alive and data.waiting:
        told.append(f"{data.waiting:,} wait")
    return told


def _slots(data: Answer, width: int, room: int) -> list[Content]:
    """A line per slot: device, threads, what is on it or why nothing is. Of a device with lanes one line for all of them,
    then one for each trial."""
    slots = [slot for slot in data.view.slots if slot.lanes is None]
    device = max((len(slot.where) for slot in slots), default=0)
    lines = [_slot(slot, data, device, width) for slot in slots]
    for lanes in data.view.lanes:
        lines.append(Content(cut(f"{lanes.device}  {lanes.told}", width)))
        if lanes.waits:
            lines.append(Content.assemble(("  waits: " + lanes.waits, "$warning")))
        lines += [_on_lane(trial_id, data, width) for trial_id in lanes.trials]
    if len(lines) <= room:
        return lines
    shown = max(1, room - 1)
    noun = "more slots" if not data.view.lanes else "more"
    return [*lines[:shown], Content.assemble((f"and {len(lines) - shown} {noun}: innate worker status", _QUIET))]


def _on_lane(trial_id: str, data: Answer, width: int) -> Content:
    trial = data.running.get(trial_id)
    if trial is None:
        return Content.assemble(f"  {short_id(trial_id)}")
    far, colour = stands(trial, with_time=False)
    return Content.assemble("  ", (cut(trial.label, max(6, width - len(far) - 4)), "bold"), "  ", (far, colour))


def _slot(slot: SlotRow, data: Answer, device: int, width: int) -> Content:
    threads = f"{slot.threads} thread{'' if slot.threads == 1 else 's'}"
    head = f"slot {slot.number + 1:<2} {slot.where:<{device}}  {threads}  "
    trial = data.running.get(slot.trial_id) if slot.trial_id else None
    if trial is not None:
        far, colour = stands(trial, with_time=False)
        label = cut(trial.label, max(6, width - len(head) - len(far) - 2))
        return Content.assemble((head, _QUIET), (label, "bold"), "  ", (far, colour))
    if slot.trial_id:
        return Content.assemble((head, _QUIET), short_id(slot.trial_id))
    if slot.waits:
        return Content.assemble((head, _QUIET), (f"waits: {slot.waits}", "$warning"))
    return Content.assemble((head, _QUIET), "free")


def _cpu(machine: Machine, room: int) -> Content:
    parts = [*_load(machine), "   ", *_memory(machine, room), "   ", *_disk(machine)]
    return Content.assemble(*parts)


def _cpu_lines(machine: Machine) -> list[Content]:
    return [Content.assemble(*parts) for parts in (_load(machine), _memory(machine, 16), _disk(machine))]


def _load(machine: Machine) -> Sequence[Part]:
    if machine.cores is None:
        return ["cpu  measuring"]
    load = sum(machine.cores) / len(machine.cores)
    cores = "1 core" if len(machine.cores) == 1 else f"{len(machine.cores)} cores"
    told = f"cpu {load:4.0%} of {cores}".replace("%", " %")
    # A few cores one by one; many would be a wall of blocks.
    each = sparkline(machine.cores, _CORES, 0.0, 1.0) if len(machine.cores) <= _CORES else ""
    return [told, (f" {each}" if each else "", "$primary")]


def _memory(machine: Machine, room: int) -> Sequence[Part]:
    share = machine.memory_used / max(1, machine.memory_total)
    colour = "$warning" if share > 0.9 else "$primary"
    held = f" {machine.memory_used / 2**30:.1f} of {machine.memory_total / 2**30:.1f} GiB"
    return ["memory ", (bar(share, room), colour), held]


def _disk(machine: Machine) -> Sequence[Part]:
    from app.worker.conditions import LEAST_DISK

    if machine.disk_free < LEAST_DISK:
        return [(f"disk {size(machine.disk_free)} free: too little to start a trial", "bold $error")]
    return [f"disk {size(machine.disk_free)} free"]


def _gpus(machine: Machine, room: int) -> list[tuple[Sequence[Part], Sequence[Part]]]:
    """Which GPUs there are, and how full and busy each is."""
    if machine.trouble is not None:
        return [([(machine.trouble, "$error")], [])]
    found: list[tuple[Sequence[Part], Sequence[Part]]] = []
    for gpu in machine.gpus:
        if gpu.fault is not None:
            found.append(([(lost(gpu.name, gpu.fault), "$error")], []))
            continue
        used = gpu.total - gpu.free
        share = used / max(1, gpu.total)
        busy = "" if gpu.utilisation is None else f"  busy {gpu.utilisation:.0%}".replace("%", " %")
        load: Sequence[Part] = [
            (bar(share, room), "$warning" if share > 0.9 else "$primary"),
            f" {used / 2**30:.1f} of {gpu.total / 2**30:.1f} GiB{busy}",
        ]
        found.append(([f"{gpu.name} {gpu.model}"], load))
    return found

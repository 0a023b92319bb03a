"""What Queue and Worker share: starting, pausing and draining the worker, and seeing that one has died."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textual.content import Content

from app.tui.shell.keys import Key, KeyOf
from app.tui.shell.page import Page
from app.tui.widgets.dialogs import Confirm, Prompt, TextPage
from app.tui.widgets.lines import state_word
from storage.changes import Drain, Draining, Pause, Resume

if TYPE_CHECKING:
    from app.report.status import WorkerView
    from app.tui.shell.session import Session
    from app.worker.control import Started

_DEFAULT_REASON = "innate worker resume goes on"
_WATCH_SECONDS = 1.0

START = Key("w", "start", "start", "start a worker, which goes on without this terminal")
PAUSE = Key("z", "pause", "pause", "pause the queue, with the reason, or resume it")
DRAIN = Key("d", "drain", "drain", "finish what runs, start nothing more, then end the worker")


class SteeringPage(Page):
    """A screen that shows the worker. `seen` is what the last load brought of it."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.view: WorkerView | None = None
        self.paused: str | None = None
        """Why the queue is paused, None if it is not."""

    def seen(self, view: WorkerView, paused: str | None) -> None:
        """To be called by `show`."""
        self.view, self.paused = view, paused

    def on_mount(self) -> None:
        self.set_interval(_WATCH_SECONDS, self._watch)

    def _watch(self) -> None:
        """A worker that dies or hangs changes nothing in the database: only its lock, or its clock, tells."""
        now, shown = self.session.worker, self.view
        if not self.is_current or now is None or shown is None:
            return
        if (now.alive, now.state, now.pid) != (shown.alive, shown.state, shown.pid):
            self.reload()

    # --- actions ---

    def action_start(self) -> None:
        if not self.may_change():
            return
        view = self.view
        if view is not None and view.alive:
            what = "an innate run works here" if view.role == "innate run" else "a worker is running already"
            self.say(f"{what} (pid {view.pid})")
            return
        start_worker(self, f"; the queue is paused, {self.key_of('pause')} resumes" if self.paused is not None else "")

    def action_pause(self) -> None:
        if not self.may_change():
            return
        if self.paused is not None or (self.view is not None and self.view.state == "draining"):
            self.steer(Resume(), lambda _: "resumed", "innate worker resume")
            return

        def pause(text: str | None) -> None:
            if text is not None:
                reason = text.strip() or _DEFAULT_REASON
                command = f"innate worker pause --reason {shlex.quote(reason)}"
                self.steer(Pause(reason), lambda _: f"paused; {resume} resumes", command)

        resume = self.key_of("pause")
        hint = (
            f"Hands back what runs, with checkpoints, and starts nothing until {resume} resumes. The reason is shown to whoever "
            f'asks why nothing runs; ⏎ alone: "{_DEFAULT_REASON}".'
        )
        self.push(Prompt("Pause the queue: why?", hint=hint), pause)

    def action_drain(self) -> None:
        if not self.may_change():
            return
        if self.view is None or not self.view.alive:
            self.say(f"no worker is running, so there is nothing to drain; {self.key_of('start')} starts one")
            return

        def sure(yes: bool | None) -> None:
            if yes:
                self.steer(Drain(), told, "innate worker drain")

        def told(answer: Draining) -> str:
            return f"draining: {answer.running} still to finish, then the worker ends; {self.key_of('pause')} takes it back"

        self.push(Confirm("Finish what runs, start nothing more, then end the worker?"), sure)

    def steering_equivalents(self) -> Mapping[str, str]:
        resume = self.paused is not None
        return {
            "start": "innate worker start",
            "pause": "innate worker resume" if resume else "innate worker pause",
            "drain": "innate worker drain",
        }


def start_worker(page: Page, remark: str = "") -> None:
    """Start a detached worker, and tell on `page` how that went, with a remark behind it."""
    session = page.session
    page.say("starting a worker …")

    def work() -> tuple[Started, str, str | None]:
        from app.worker import control, login
        from app.worker.devices import in_words, resolve_slots

        with session.writing():
            pass  # a home that cannot be written says so before a worker is started
        slots = resolve_slots((), None, None)
        started = control.start(session.context.home, slots, "auto")
        return started, in_words(slots), None if started.already else login.logout_warning()

    def tell(answer: tuple[Started, str, str | None]) -> None:
        started, room, warning = answer
        if started.already:
            page.say(f"a worker is running already (pid {started.pid})")
            return
        page.did(f"worker started (pid {started.pid}, {room}){remark}", "innate worker start")
        if warning:
            page.app.push_screen(TextPage("When you log out", Content(warning)))

    page.do(work, tell)


def worker_line(view: WorkerView, paused: str | None, key_of: KeyOf) -> Content:
    """The worker in a line: who, doing what, since when, and what to press where something is to be done."""
    import datetime

    if view.state == "blocked":
        return Content.assemble(("○ no worker", "$warning"), f": {view.reason}")
    if not view.alive:
        hint: list[Any] = [(key_of("start"), "bold $accent"), " starts one"]
        if paused is not None:
            hint = [f"the queue is paused: {paused}; ", (key_of("pause"), "bold $accent"), " resumes, ", *hint]
        return Content.assemble(("○ no worker", "$warning"), ": ", *hint)
    who = "innate run" if view.role == "innate run" else "worker"
    now = state_word(view, paused=paused is not None)
    state = {"silent": "does not answer"}.get(now, f"is {now}")
    colour = {"silent": "$error", "paused": "$warning", "pausing": "$warning", "idle": "$foreground"}.get(
        now, "$success"
    )
    parts: list[Any] = [(f"● {who} {view.pid or '?'} {state}", colour)]
    if view.state == "silent" and view.heartbeat_at is not None:
        last = datetime.datetime.fromtimestamp(view.heartbeat_at).strftime("%H:%M:%S")
        parts.append(f": no heartbeat since {last}, stopped or hung")
    elif now in ("paused", "pausing"):
        parts += [f": {paused}; ", (key_of("pause"), "bold $accent"), " resumes"]
    elif view.reason:
        parts.append(f": {view.reason}")
    if view.study is not None:
        parts.append(f", {view.study} only")
    return Content.assemble(*parts)

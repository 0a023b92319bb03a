"""Settling from the screen, as `innate findings --settle` does it: what it would train and cost, the question, the queue."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from app.report.settle import Outlook, outlook
from app.report.settle_words import cost_text
from app.tui.findings.table import CLAIMS
from app.tui.shell.page import Page
from app.tui.shell.steering import PAUSE
from app.tui.shell.threads import sentence
from app.tui.widgets.dialogs import Confirm, Item, Picker, TextPage

if TYPE_CHECKING:
    from app.report.status import WorkerView
    from app.worker.control import Started
    from storage.changes import SeedsAdded

_ALL = ""
WORKER = "mode('worker')"


class Settler:
    """Settles from `page`."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def ask(self, study: str, family: str) -> None:
        """Settle all of a study, or only what `--about` calls `family`, once one has said which and yes to what that costs."""
        page = self._page
        if page.session.context.read_only:
            page.complain("--db opens a database to read only; start innate with --home DIR to settle a finding")
            return
        name = "the paper's claims" if family == CLAIMS else f"the effects of the {family}"
        items = [
            Item(family, name, "and nothing else"),
            Item(_ALL, "all that is open", "the claims and the effects of every factor"),
        ]

        def chosen(about: str | None) -> None:
            if about is not None:
                page.say(f"looking at what is open in {study} …")
                page.run_worker(self._look(study, about), exit_on_error=False)

        page.push(Picker(f"Settle in {study}", items), chosen)

    async def _look(self, study: str, about: str) -> None:
        page = self._page
        try:
            found = await page.session.reader.ask(lambda db: outlook(db, study, None, None, [about] if about else []))
        except Exception as error:  # trials are to come, say, or none has a score
            page.session.note_fault(error)
            page.complain(sentence(error))
            return
        page.say("")
        if not found.more and not found.decides:  # keeping it would only spend error
            page.say(f"{cost_text(found)}, and nothing is decided; Settle says why")
            return

        def sure(yes: bool | None) -> None:
            if yes:
                self._settle(found, about)

        resume = f"{page.key_of(WORKER)} Worker, {page.session.own.key('worker.pause', PAUSE.keys)}"
        page.push(Confirm(question(found, page.session.worker, resume)), sure)

    def _settle(self, found: Outlook, about: str) -> None:
        page, session = self._page, self._page.session
        command = f"innate findings --study {shlex.quote(found.study)} --settle{f' --about {about}' if about else ''}"
        page.say(f"settling {found.study} …")

        def work() -> tuple[SeedsAdded, Started | None, str | None]:
            from app.worker import changes, control, login
            from app.worker.devices import resolve_slots

            home = session.context.home
            with session.writing() as db:
                done = changes.perform(db, home, found.change)
            if not done.added:
                return done, None, None
            started = control.start(home, resolve_slots((), None, None, None), "auto", succeed=True)
            return done, started, None if started.already else login.logout_warning()

        def tell(answer: tuple[SeedsAdded, Started | None, str | None]) -> None:
            done, started, warning = answer
            new = started is not None and not started.already
            queued = f"{done.added} trials queued" if done.added else "the look is kept; nothing was to train"
            began = "; worker started" if new else "; the worker is at it" if started else ""
            page.did(f"{found.study}: {queued}{began}", f"{command}{'; innate worker start' if new else ''}")
            if warning is not None:
                page.app.push_screen(TextPage("When you log out", warning))

        page.do(work, tell)


def question(found: Outlook, worker: WorkerView | None, resume: str) -> str:
    """What one says yes to; `resume` is where a paused queue is resumed."""
    still = sum(len(one.open) for one in found.stages.values())
    lines = [f"Settle {found.study}?", "", f"{cost_text(found)}.", ""]
    lines.append(f"This counts as a look: what it decides stays decided. Decided now: {found.decides}; open: {still}.")
    if not found.more:
        return "\n".join(lines)
    if worker is None or not worker.alive:
        lines += ["", "No worker is running: one is started, and goes on when you leave."]
    elif worker.state == "paused":
        lines += ["", f"The queue is paused; nothing starts before it is resumed ({resume})."]
    return "\n".join(lines)

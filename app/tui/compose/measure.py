"""Timing a few batches of a draft of which nothing alike was run here, as `innate plan FILE --measure` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.tui.compose.outlook import Outlook
from app.tui.shell.page import Page
from app.worker.loop import Stop
from app.worker.timing import Timings

if TYPE_CHECKING:
    from app.worker.timing import Wanted


class Measurer:
    """Measures for `page`, one draft at a time, on a thread of its own. `timed` is all that was found since the screens began."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._stop = Stop.NO
        self.timed = Timings()
        self.busy = False

    def measure(self, outlook: Outlook) -> None:
        """What the outlook lacks; says how that goes and what came of it."""
        page, home = self._page, self._page.session.context.home
        if outlook.plan is None:
            page.say("so large a grid is not measured: with fewer seeds it is, and takes as many times less")
            return
        if not outlook.lacking:
            page.say("how fast such trials go is known here: there is nothing to measure")
            return
        if outlook.absent is not None:
            page.complain(f"nothing can be measured: {outlook.absent}")
            return
        plan, lacking, report = outlook.plan, outlook.lacking, page.reporter()
        self._stop, self.busy = Stop.NO, True
        page.say("measuring a few batches, a minute at most; m stops")

        def work() -> Timings | None:
            from app.worker import timing
            from app.worker.conditions import refuse_precision
            from app.worker.devices import resolve_slots

            try:
                slots = resolve_slots((), None, None, None)
                refuse_precision(plan.study, slots)
                return timing.measure(
                    home, plan, lacking, slots, lambda: self._stop,
                    lambda done: report(f"measured {done} of {len(lacking)}; m stops"),
                )  # fmt: skip
            finally:
                self.busy = False

        page.aside(work, lambda found: self._take(lacking, found))

    def end(self) -> None:
        """Stop what is under way."""
        self._stop = Stop.NOW

    def _take(self, lacking: Wanted, found: Timings | None) -> None:
        from app.report.forecast import why_not_timed

        if found is None:
            self._page.say("stopped measuring")
            return
        self.timed = self.timed.beside(found)
        failed = why_not_timed(lacking, self.timed)
        if failed is None:
            self._page.say("measured; a run will tell more")
        else:
            self._page.complain(f"{len(found.failed)} of {len(lacking)} could not be measured: {failed}")
        self._page.reload()

"""What `innate run` shows while it works, on stderr: a live panel in a terminal, else one plain line per event."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.labels import Made, candidate_label, trial_label
from app.report.progress import phase_figures, phase_name
from app.terminal.characters import visible
from app.terminal.streams import PRINTING_TERMINALS, undisturbed
from app.worker.narration import in_words, told
from app.worker.pulse import Pulse
from core.events import LAST_EVENTS, Event, Finished
from core.executors.protocol import Slot
from core.records.study import TUNING_SEED, Study
from core.records.trial import TrialSpec
from storage.tuning import Stages
from storage.worker_state import Phase, RunningRow

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_REDRAW_SECONDS = 0.25
_COUNT_SECONDS = 1.0
_FRAME = 4
"""Lines of the terminal that are not a running trial's: what is above them, and the cursor's."""


@dataclass
class _Line:
    """One running trial on screen."""

    label: str
    slot: str
    phase: Phase
    share: float | None = None


class Progress:
    """Both forms of the display; `trials` asks the database for those of the study and of its tuning, `counts` where they
    stand, `stop` whether the user wants to end."""

    def __init__(
        self,
        study: Study,
        trials: Callable[[], Sequence[TrialSpec]],
        counts: Callable[[], Stages],
        console: Console,
        stop: Callable[[], int],
        *,
        quiet: bool,
        verbose: bool,
    ) -> None:
        self._verbose = verbose
        self._stop = stop
        self._study = study
        self._counts = counts
        self._console = console
        self._quiet = quiet
        self._lines: dict[str, _Line] = {}
        self._pulses: dict[str, Pulse] = {}
        self._trials = trials
        self._labels: dict[str, str] = {}
        self._followed: int | None = -1
        self._state = counts()
        self._begun = time.monotonic()
        self._settled_at_start = self._state.settled
        self._drawn_at = 0.0
        self._counted_at = time.monotonic()
        self._stopping = False
        self._live = None
        if console.is_terminal and not quiet:
            from rich.live import Live

            self._live = Live(console=console, auto_refresh=False, transient=True)
            self._live.start()

    # --- what the worker tells ---

    def following(self, pid: int | None, running: Sequence[RunningRow]) -> None:
        if pid != self._followed:
            self._followed = pid
            self._say(
                f"another worker (pid {pid or 'unknown'}) owns this home: following it; Ctrl-C only stops following"
            )
        if len(self._labels) < sum(self._state.tuning.values()) + sum(self._state.trials.values()):
            self._labels = {trial.id: self._label(trial) for trial in self._trials()}
        self._lines = {
            row.trial_id: _Line(self._labels[row.trial_id], _slot_name(row.device, row.slot), row.phase, row.share)
            for row in running
            if row.trial_id in self._labels
        }

    def began(self, trial: TrialSpec, slot_number: int, slot: Slot) -> None:
        pulse = self._pulses[trial.id] = Pulse(trial.id, slot_number, slot)
        self._lines[trial.id] = _Line(self._label(trial), _slot_name(slot.device, slot_number), pulse.phase)
        self._draw()  # the first trial waits for torch to load, seconds in which a blank screen would worry

    def happened(self, trial: TrialSpec, event: Event) -> None:
        pulse, line = self._pulses[trial.id], self._lines[trial.id]
        pulse.take(event)
        line.phase, line.share = pulse.phase, pulse.share
        for text in told(event, clean=pulse.clean, epochs=self._verbose):
            self._say(f"{self._position()} {line.label}: {text}")
        if isinstance(event, Finished):
            self._count()
            self._say(f"{self._position()} {line.label}: done in {in_words(time.time() - pulse.began_at)}")
        if isinstance(event, LAST_EVENTS):
            del self._lines[trial.id], self._pulses[trial.id]

    def noted(self, text: str) -> None:
        self._say(text)

    def tick(self) -> None:
        now = time.monotonic()
        if self._stop() and not self._stopping:
            self._stopping = True
            self._say("stopping: finishing the batch and writing checkpoints (Ctrl-C again to kill)")
        if now - self._counted_at >= _COUNT_SECONDS:
            self._count()
        if now - self._drawn_at >= _REDRAW_SECONDS:
            self._draw()

    def _draw(self) -> None:
        if self._live is not None:
            self._drawn_at = time.monotonic()
            self._live.update(self._panel(), refresh=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    # --- the words ---

    def _say(self, text: str) -> None:
        if self._quiet:
            return
        if self._console.is_terminal:
            self._console.print(visible(text), highlight=False, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _count(self) -> None:
        self._counted_at = time.monotonic()
        self._state = self._counts()

    def _label(self, trial: TrialSpec) -> str:
        if trial.seed == TUNING_SEED and self._study.tuning is not None:
            return visible(candidate_label(trial, self._study.document), in_cell=True)
        return visible(trial_label(Made.of_spec(trial), self._study.document), in_cell=True)

    def _position(self) -> str:
        return f"[{self._state.settled}/{self._state.total}]"

    def _time_left(self) -> str:
        """Learned from the trials that this run has finished; what is under way counts for its share."""
        finished = self._state.settled - self._settled_at_start
        if finished == 0:
            return "time left known after the first trial"
        under_way = (
            sum(line.share or 0.0 for line in self._lines.values()) / 2
        )  # training, then attacks: about half each
        left = max(0.0, self._state.total - self._state.settled - under_way)
        return f"about {in_words((time.monotonic() - self._begun) / (finished + under_way) * left)} left"

    def _panel(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        settled, total = self._state.settled, self._state.total
        done, of = self._state.compared
        head = f"{self._study.name}  {done}/{of} done"
        if self._state.tuning:
            tuned, candidates = self._state.tuned
            head = f"{self._study.name}  tuning {tuned}/{candidates}, trials {done}/{of} done"
        if self._state.failed:
            head += f", {self._state.failed} failed"
        table = Table.grid(padding=(0, 2), expand=False)
        lines, room = list(self._lines.values()), max(1, self._console.height - _FRAME)
        shown = lines if len(lines) <= room else lines[: room - 1]
        for line in shown:
            bar = ProgressBar(total=1.0, completed=line.share or 0.0, width=10)
            table.add_row(line.slot, Text(line.label), phase_name(line.phase), bar, phase_figures(line.phase))
        if len(shown) < len(lines):
            table.add_row("", f"and {len(lines) - len(shown)} more")
        whole = Table.grid()  # a bar alone does not end its line
        whole.add_row(ProgressBar(total=max(1, total), completed=settled, width=min(76, self._console.width - 2)))
        return Group(
            Text(f"{head}  ·  {self._time_left()}", style="bold", no_wrap=True, overflow="ellipsis"), whole, table
        )


def _slot_name(device: str, number: int) -> str:
    return f"{device} {number + 1}" if device == "cpu" else device


@contextmanager
def one_bar(*, colour: bool, quiet: bool) -> Iterator[Callable[[float, str], None]]:
    """A bar on stderr, in a terminal only: `advance(share, what is done)`, share in [0, 1]."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = console_for_stderr(colour=colour)
    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("loading", total=1.0)
        yield lambda share, what: bar.update(task, completed=share, description=what)


def console_for_stderr(*, colour: bool) -> Console:
    """Rich on stderr; NO_COLOR and --no-color take the colours. Only what is a terminal and can move its cursor counts as one:
    FORCE_COLOR, which asks for colours in a log, must not put a display that redraws itself there."""
    from rich.console import Console

    able = sys.stderr.isatty() and os.environ.get("TERM") not in PRINTING_TERMINALS
    plain = not colour or bool(os.environ.get("NO_COLOR"))
    return Console(file=undisturbed(sys.stderr), force_terminal=able, no_color=plain)

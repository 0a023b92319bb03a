"""What `innate run` shows while it works, on stderr: a live panel in a terminal, else one plain line per event."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.labels import trial_label
from core.events import (
    AttackProgress,
    CleanEvaluated,
    Crashed,
    EpochFinished,
    EvaluationFailed,
    EvaluationFinished,
    Event,
    Finished,
    Started,
    Stopped,
    Trained,
    TrainingProgress,
    TrialFailed,
)
from core.executors.protocol import Slot
from core.records import Plan, TrialSpec

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

NORM_SIGNS = {"linf": "ℓ∞", "l2": "ℓ2"}
_REDRAW_SECONDS = 0.25
_COUNT_SECONDS = 1.0

Counts = Mapping[str, int]


def in_words(seconds: float) -> str:
    """A duration as a person says it: "0.3 s", "48 s", "3 min", "2 h 05 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def accuracies(event: EvaluationFinished) -> str:
    """Robust accuracy at each ε: "pgd ℓ∞ 0.05→81.0% 0.1→35.2%"."""
    parts = [f"{ledger.eps:g}→{ledger.survived.mean():.1%}" for ledger in event.ledgers if ledger.eps is not None]
    return f"{event.attack.name} {NORM_SIGNS[event.attack.norm]} {' '.join(parts)}"


@dataclass
class _Line:
    """One running trial, as last heard of."""

    label: str
    slot: str
    since: float
    clean: float | None = None
    text: str = "starting"
    share: float | None = None
    detail: str = ""


class Progress:
    """Both forms of the display; `counts` asks the database for the study's trials per state,
    `stop` whether the user wants to end."""

    def __init__(
        self,
        plan: Plan,
        counts: Callable[[], Counts],
        console: Console,
        stop: Callable[[], int],
        *,
        quiet: bool,
        verbose: bool,
    ) -> None:
        self._verbose = verbose
        self._stop = stop
        self._plan = plan
        self._counts = counts
        self._console = console
        self._quiet = quiet
        self._lines: dict[str, _Line] = {}
        self._state: Counts = counts()
        self._begun = time.monotonic()
        self._settled_at_start = self._settled()
        self._drawn_at = 0.0
        self._counted_at = time.monotonic()
        self._stopping = False
        self._live = None
        if console.is_terminal and not quiet:
            from rich.live import Live

            self._live = Live(console=console, auto_refresh=False, transient=True)
            self._live.start()

    # --- what the worker tells ---

    def following(self, pid: int | None) -> None:
        self._say(f"another worker (pid {pid or 'unknown'}) owns this home: following it; Ctrl-C stops following only")

    def began(self, trial: TrialSpec, slot_number: int, slot: Slot) -> None:
        slot_name = f"{slot.device} {slot_number + 1}" if slot.device == "cpu" else slot.device
        self._lines[trial.id] = _Line(trial_label(trial, self._plan), slot_name, time.monotonic())
        self._draw()  # the first trial waits for torch to load, seconds in which a blank screen would worry

    def happened(self, trial: TrialSpec, event: Event) -> None:
        line = self._lines[trial.id]
        match event:
            case Started(resumed=resumed) if resumed:
                self._say(f"{self._position()} {line.label}: resumed after epoch {resumed[-1].epoch}")
            case TrainingProgress():
                line.text = f"epoch {event.epoch}/{event.epochs}"
                line.share = (event.epoch - 1 + event.batch / max(1, event.batches)) / event.epochs
                line.detail = f"loss {event.loss:.3f}  acc {event.accuracy:.1%}"
            case EpochFinished(record) if self._verbose:
                self._say(
                    f"{self._position()} {line.label}: epoch {record.epoch}, loss {record.loss:.4f}, "
                    f"accuracy {record.accuracy:.1%} in {in_words(record.seconds)}"
                )
            case Trained(history=history):
                seconds = sum(record.seconds for record in history)
                self._say(f"{self._position()} {line.label}: trained in {in_words(seconds)}")
            case CleanEvaluated():
                line.clean = float(event.correct.mean())
            case AttackProgress():
                at = "" if event.eps is None else f" ε={event.eps:g}"
                line.text = f"{event.attack.name}{at}"
                line.share = event.done / max(1, event.total)
                line.detail = f"{event.survivors}/{event.total} survive"
            case EvaluationFinished():
                clean = "" if line.clean is None else f"clean {line.clean:.1%}, "
                self._say(f"{self._position()} {line.label}: {clean}{accuracies(event)} in {in_words(event.seconds)}")
                for note in event.notes:
                    self._say(f"{self._position()} {line.label}: {note}")
            case EvaluationFailed():
                self._say(f"{self._position()} {line.label}: {event.attack.name} failed: {event.reason}")
            case TrialFailed(reason=reason) | Crashed(reason=reason):
                self._say(f"{self._position()} {line.label}: {reason}")
            case Stopped():
                self._say(f"{self._position()} {line.label}: stopped, checkpoint written")
            case Finished():
                self._count()
                self._say(f"{self._position()} {line.label}: done in {in_words(time.monotonic() - line.since)}")
        if isinstance(event, TrialFailed | Stopped | Finished | Crashed):
            del self._lines[trial.id]

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
            self._console.print(text, highlight=False, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _count(self) -> None:
        self._counted_at = time.monotonic()
        self._state = self._counts()

    def _settled(self) -> int:
        return sum(self._state.get(state, 0) for state in ("done", "failed", "cancelled"))

    def _total(self) -> int:
        return len(self._plan.trials)

    def _position(self) -> str:
        return f"[{self._settled()}/{self._total()}]"

    def _time_left(self) -> str:
        """Learned from the trials that this run has finished; what is under way counts for its share."""
        finished = self._settled() - self._settled_at_start
        if finished == 0:
            return "time left known after the first trial"
        under_way = (
            sum(line.share or 0.0 for line in self._lines.values()) / 2
        )  # training, then attacks: about half each
        left = max(0.0, self._total() - self._settled() - under_way)
        return f"about {in_words((time.monotonic() - self._begun) / (finished + under_way) * left)} left"

    def _panel(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        settled, total = self._settled(), self._total()
        head = f"{self._plan.study.name}  {settled}/{total} done"
        if self._state.get("failed"):
            head += f", {self._state['failed']} failed"
        table = Table.grid(padding=(0, 2), expand=False)
        for line in self._lines.values():
            bar = ProgressBar(total=1.0, completed=line.share or 0.0, width=10)
            table.add_row(line.slot, Text(line.label), line.text, bar, line.detail)
        whole = Table.grid()  # a bar alone does not end its line
        whole.add_row(ProgressBar(total=max(1, total), completed=settled, width=min(76, self._console.width - 2)))
        return Group(
            Text(f"{head}  ·  {self._time_left()}", style="bold", no_wrap=True, overflow="ellipsis"), whole, table
        )


def console_for_stderr(*, colour: bool) -> Console:
    """Rich on stderr; NO_COLOR and --no-color take the colours, a TERM of "dumb" the live panel."""
    from rich.console import Console

    return Console(stderr=True, no_color=not colour or bool(os.environ.get("NO_COLOR")))

"""What submitting a draft would bring: trials new, cached and failed, evaluations, hours, and what the data says to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.report.leaving import COMMAND
from app.tui.compose.draft import Document
from app.tui.compose.mistakes import Mistake, by_part
from app.worker.timing import Timings, Wanted
from core import datasets
from core.errors import BadInput
from core.study.plan import examine, make_plan
from core.study.resolve import LARGE_GRID, grid_size, parse_study

if TYPE_CHECKING:
    from sqlite_utils import Database

    from core.records.study import Plan, Study
    from storage.home import Home
    from storage.submitting import Submission


@dataclass(frozen=True)
class Outlook:
    """`submission` is None where the grid is too large to look at each trial, or `mistakes` say why there is none."""

    name: str
    dataset: str
    trials: int = 0
    submission: Submission | None = None
    seconds: float | None = None
    plan: Plan | None = None
    """What `submission` is of."""
    lacking: Wanted = field(default_factory=Wanted)
    """What a forecast needs and no run here has told."""
    timed: Timings = field(default_factory=Timings)
    """What was measured of that instead."""
    mistakes: Mapping[str, Mistake] = field(default_factory=dict)
    """By part, what only the data set can tell."""
    absent: str | None = None
    """Why the data set is not at hand, with what to do; None if it is."""
    stored: int | None = None
    """Runs of the stored study of this name, None if there is none."""
    warning: str | None = None
    """That what lies under the data set's name is not that set."""
    notes: tuple[str, ...] = ()
    """What is to be known of how the data set was read."""

    @property
    def large(self) -> bool:
        return self.trials > LARGE_GRID


class Outlooks:
    """Works out outlooks, for the readers' thread alone. What was read of the last draft's data set is kept: the
    database changes more often than a draft.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._last: tuple[Document, Plan] | None = None
        self._fitting: Document | None = None
        """The last large draft that its data set had nothing against."""

    def of(self, db: Database, document: Document, base: Path, timed: Timings) -> Outlook:
        """For a draft without mistakes of its own; what only its data set can tell is in `mistakes`. `timed` stands in for what
        no run here has told."""
        study = parse_study(document, "draft", base)
        absent = datasets.problem(study.source, self._home.data_root, self._home.cache)
        outlook = Outlook(study.name, study.source.name, grid_size(study), absent=absent)
        from storage.content import met

        try:
            if outlook.large:
                self._examine(document, study)
                return outlook
            plan = self._plan(document, study, met(db))
        except BadInput as error:
            return replace(outlook, mistakes=by_part([error, *error.also]))
        return _held_against(db, plan, replace(outlook, plan=plan, timed=timed))

    def _examine(self, document: Document, study: Study) -> None:
        if self._fitting != document:
            examine(study, self._home.data_root, self._home.cache, large=True, decoded=False)
            self._fitting = document

    def _plan(self, document: Document, study: Study, known: Mapping[str, str]) -> Plan:
        if self._last is not None and self._last[0] == document and self._last[1].samples is not None:
            return self._last[1]
        # Every change of an option would decode all pictures anew: submitting does, and tells what it finds then.
        plan = make_plan(study, self._home.data_root, self._home.cache, met=known, decoded=False)
        self._last = (document, plan)
        return plan


def _held_against(db: Database, plan: Plan, outlook: Outlook) -> Outlook:
    from app.report.forecast import forecast, wanted
    from app.report.portrait import other_content_warning
    from storage.studies import trials_of
    from storage.submitting import preview

    submission = preview(db, plan)
    there = trials_of(db, outlook.name)
    return replace(
        outlook,
        submission=submission,
        seconds=forecast(db, plan, submission, outlook.timed),
        lacking=wanted(db, plan, submission),
        stored=None if there is None else len(there),
        warning=other_content_warning(plan.info) if plan.info.other_content else None,
        notes=plan.info.notes,
    )


def counts(outlook: Outlook) -> list[str]:
    """Trials, evaluations and hours, each in a phrase."""
    trials = f"{outlook.trials:,} trial{'' if outlook.trials == 1 else 's'}"
    submission = outlook.submission
    if submission is None:
        return [f"{trials}: more than {LARGE_GRID:,}, so S asks first"]
    numbers = {"new": submission.new, "cached": submission.done + submission.trained, "failed": submission.failed}
    told = [f"{count:,} {word}" for word, count in numbers.items() if count]
    if numbers["new"] == outlook.trials:
        told = ["all new"]
    phrases = [f"{trials}: {', '.join(told)}"]
    if submission.tuning_missing:
        phrases.append(f"{submission.tuning_missing:,} to tune by first")
    evaluations = f"{submission.evaluations:,} evaluation{'' if submission.evaluations == 1 else 's'}"
    if submission.evaluations == 0:
        phrases.append("no attack")
    elif submission.evaluations_missing == submission.evaluations:
        phrases.append(evaluations)
    else:
        phrases.append(f"{evaluations}, {submission.evaluations_missing:,} missing")
    return [*phrases, _hours(outlook)]


def _hours(outlook: Outlook) -> str:
    from app.report.forecast import SPREAD, measured_on, why_not_timed
    from app.worker.narration import in_words

    assert outlook.submission is not None
    if outlook.submission.new + outlook.submission.trained == 0:
        return "nothing to do"
    lacking, timed = outlook.lacking, outlook.timed
    if outlook.seconds is None:
        failed = why_not_timed(lacking, timed)
        if failed is not None:
            return f"no forecast: {failed}"
        measurable = outlook.absent is None and not timed.tells(lacking)
        return "no forecast yet: m measures a few batches" if measurable else "no forecast yet"
    told = f"about {in_words(outlook.seconds)}"
    return f"{told} ± {SPREAD} %, measured on {measured_on(lacking, timed)[0]}" if lacking else told


def remarks(outlook: Outlook) -> list[str]:
    """What else to know before it is submitted."""
    found = []
    if outlook.absent is not None:
        found.append(f"{outlook.dataset} is not here yet: S downloads it")
    if outlook.warning is not None:
        found.append(outlook.warning)
    submission = outlook.submission
    undecided, leaving = (0, 0) if submission is None else (submission.undecided, len(submission.leaving))
    if outlook.stored is not None and (leaving or outlook.stored + undecided != outlook.trials):
        told = f": {_runs(leaving)} it, but stay here ({COMMAND})" if leaving else ""
        found.append(f"changes the study {outlook.name}{told}")
    return found


def _runs(count: int) -> str:
    return "1 run leaves" if count == 1 else f"{count:,} runs leave"


def in_lines(phrases: Sequence[str], width: int) -> list[str]:
    """Phrases joined by " · ", as many to a line as fit."""
    lines: list[str] = []
    for phrase in phrases:
        if lines and len(lines[-1]) + 3 + len(phrase) <= width:
            lines[-1] += f" · {phrase}"
        else:
            lines.append(phrase)
    return lines

"""What a study's grid comes to before it runs, as a page of text."""

from __future__ import annotations

from app.report.forecast import SPREAD, measured_on, why_not_timed
from app.report.labels import shown_choice
from app.report.leaving import leaving_text
from app.report.portrait import dataset_label, other_content_warning, portrait_rows
from app.worker.narration import in_words
from app.worker.timing import Timings, Wanted
from core.datasets import Portrait
from core.records.study import Plan, Tuning
from storage.submitting import Submission


def plan_page(planned: Plan, portrait: Portrait | None, submission: Submission, time: str) -> str:
    """The grid, the data (`portrait` None: not at hand yet), what is new, done, failed and leaves; `time`: in words."""
    study, info = planned.study, planned.info
    axes = [
        ("architectures", study.architectures),
        ("optimizers", study.optimizers),
        ("activations", study.activations),
        ("defenses", study.defenses),
    ]
    trials = f"{submission.trials:,} trial{'' if submission.trials == 1 else 's'}"
    lines = [f"{study.name}: {trials} on {dataset_label(info)}"]
    if info.other_content:
        lines.append(other_content_warning(info))
    known = [("data", "not at hand yet; innate run fetches it")] if portrait is None else portrait_rows(portrait)
    lines += [f"  {name:<14} {words}" for name, words in known]
    lines += [f"  {'data set':<14} {note}" for note in info.notes]
    lines += [f"  {name:<14} {', '.join(shown_choice(choice, axis) for choice in axis)}" for name, axis in axes]
    own = f", each with {study.train_samples:,} training samples of its own" if "train_subset" in study.vary else ""
    lines.append(f"  {'seeds':<14} {len(study.seeds)}{own}")
    for attack in study.attacks:
        lines.append(f"  attack         {attack.name} {attack.norm}, ε {', '.join(f'{eps:g}' for eps in attack.eps)}")
    if study.threat:
        lines.append(f"  score at       {study.threat.norm}, ε {study.threat.eps:g}")
    lines.append(
        f"trials: {submission.new:,} new, {submission.trained:,} trained but to attack, {submission.done:,} done, "
        f"{submission.failed:,} failed"
    )
    if study.tuning is not None:
        lines.append(_tuning_text(study.tuning, planned, submission))
    if submission.leaving:
        lines.append(f"leaving: {leaving_text(submission.leaving)}")
    lines.append(f"evaluations: {submission.evaluations_missing:,} of {submission.evaluations:,} missing")
    lines.append(
        f"audits: {submission.audits_missing:,} of {submission.audits:,} missing"
        if submission.audits
        else "audits: none asked for (audit.samples = 0), so robust accuracies are upper bounds"
    )
    lines.append(f"time: {time}")
    return "\n".join(lines)


def time_text(submission: Submission, seconds: float | None, lacking: Wanted, timed: Timings) -> str:
    """How long it may take, and by what that is known; or how to find out."""
    if submission.nothing_left:
        return "nothing to do"
    if submission.new + submission.trained + submission.tuning_missing == 0:
        return f"a look at {submission.traits_missing:,} trained models, a few passes each"
    if seconds is None:
        failed = why_not_timed(lacking, timed)
        if failed is not None:
            return f"unknown: {failed}"
        if timed.tells(lacking):
            return "unknown until an audit as deep as this was made here"
        return "unknown, nothing like it was run here; --measure times a few batches"
    if lacking:
        seen = " and ".join(measured_on(lacking, timed))
        return f"about {in_words(seconds)}, ± {SPREAD} %: measured just now on {seen}"
    return f"about {in_words(seconds)}, learned from trials like these on this machine"


def _tuning_text(tuning: Tuning, planned: Plan, submission: Submission) -> str:
    if not planned.cells:
        return "tuning: nothing, every learning rate is given"
    first, cells = len(planned.cells) * tuning.trials, len(planned.cells)
    known = f"{submission.tuning:,} candidates"
    if submission.tuning > first:
        known += f", {submission.tuning - first:,} of them beyond the ranges"
    return (
        f"tuning: {known}, {submission.tuning_missing:,} new ({cells:,} cells × {tuning.trials}, and {tuning.trials // 2} more "
        f"where the best is on the edge), then {submission.trials:,} trials"
    )

"""Everything about one trial as a page of text: configuration, training, results, scores, attempts, what went wrong."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from app.report.leaving import left_text
from app.report.noted import note_lines
from app.report.other_weights import other_weights
from app.report.text import in_room, interval, moment, no_room_for, number, percent, table
from app.report.traits import cells
from app.report.variants import choice_text, level, named, options, seed_text
from app.report.worst_cases import worst_case_table
from core.names import FACTORS, short_id
from core.verdict.scoring import SCORES

if TYPE_CHECKING:
    from core.records.trial import ImportRecord
    from storage.rows import EpochRow, ResultRow
    from storage.trial import AttemptRow, CheckRow, StudyScore, TrialDetail, TrialInNoStudy, TrialInStudy

_END_OF_TRACEBACK = 8
_STRONGER = "an attack as strong or an escalation answers it"
_ANSWERS = {"weaker_than_sample": "the audit drew a sample of its own"}
"""By check: why a doubt is none for the verdict."""


def trial_page(detail: TrialDetail, log: Sequence[str], width: int, *, every: bool) -> str:
    """The page, cut to `width` columns; `every` check or only those with something to say. `log` is what has
    happened to it last."""
    lines = _configuration(detail)
    for study in detail.studies:
        lines += _study(detail, study, width, every=every)
    if detail.outside is not None:
        lines += _outside(detail, detail.outside, width)
    if detail.epochs:
        lines += ["", _epoch_table(detail.epochs, width)]
    for failed in detail.failed_evaluations:
        lines += ["", f"{failed.attack} failed: {failed.reason}", *_end_of(failed.traceback)]
    lines += ["", *_attempts(detail.attempts)]
    for copy in detail.copies:
        lines += ["", *other_weights(copy, width)]
    if log:
        lines += ["", "what happened last:", *(f"  {line}" for line in log)]
    return "\n".join(part for line in lines for part in _folded(line, width))


def _folded(line: str, width: int) -> list[str]:
    """Prose cut to the width; tables, which come as several lines, fit already."""
    if "\n" in line or len(line) <= width:
        return [line]
    return textwrap.wrap(line, width, subsequent_indent=" " * 14)


def _configuration(detail: TrialDetail) -> list[str]:
    lines = [f"trial {detail.trial_id}", f"variant {short_id(detail.variant_id)}, seed {seed_text(detail)}", ""]
    if detail.imported is not None:
        lines.append(f"imported      {detail.imported}: trained elsewhere, so what is unknown here stays so")
        if detail.import_record is not None:
            lines.append(f"read          {import_text(detail.import_record)}")
        lines.append(f"dataset       {detail.dataset}")
    else:
        lines.append(
            f"dataset       {detail.dataset} ({detail.train_samples or 'all'} training samples{drawn_text(detail)})"
        )
    lines += _data(detail)
    for factor in FACTORS:
        shown = ", ".join(f"{key}={value}" for key, value in options(detail, factor).items())
        lines.append(f"{factor:<13} {level(detail, factor) or 'unknown'}" + (f" ({shown})" if shown else ""))
    lines += [
        f"{key:<15} {choice_text(value) if isinstance(value, Mapping) else value}"
        for key, value in (detail.training or {}).items()
    ]
    digests = {"initial_digest": detail.initial_digest, "final_digest": detail.final_digest}
    return lines + [f"{key:<15} {digest or '-'}" for key, digest in digests.items()]


def drawn_text(detail: TrialDetail) -> str:
    """What to say behind the number of training samples where they are not those of every seed."""
    return ", drawn by its seed" if detail.own_subset else ""


def import_text(record: ImportRecord) -> str:
    """How imported weights were read, in a line."""
    parts = [f"key {record.key}"] if record.key else []
    parts.append(f"tensors by {record.placed_by}")
    if record.norm is not None:
        parts.append(f"batch norm {record.norm} the activation ({record.norm_by})")
    mean, deviation = (",".join(f"{value:.4g}" for value in values) for values in (record.mean, record.deviation))
    parts.append(f"mean {mean} and deviation {deviation} ({record.normalised_by})")
    if record.clean_accuracy is not None:
        parts.append(f"clean {percent(record.clean_accuracy)} % of all test images, as expected")
    return "; ".join([*parts, *(f"a guess: {guess}" for guess in record.guesses)])


def _data(detail: TrialDetail) -> list[str]:
    """The digest of what its attempts read of the data set, as far as they recorded it; nothing before the first."""
    begun = [attempt for attempt in detail.attempts if attempt.environment is not None]
    if not begun:
        return []
    seen = list(dict.fromkeys(attempt.data for attempt in begun if attempt.data is not None))
    if not seen:
        return ["data            not recorded: run by an earlier version"]
    without = [str(attempt.number) for attempt in begun if attempt.data is None]
    told = f"; not recorded for attempt {', '.join(without)}" if without else ""
    return [f"data            {', '.join(seen)}{told}"]


def _study(detail: TrialDetail, study: TrialInStudy, width: int, *, every: bool) -> list[str]:
    """How it stands in one study: state, verdict, scores, results."""
    lines = ["", f"in study {study.study}: {study.state}" + (f" - {study.reason}" if study.reason else "")]
    lines += [f"{on}: {text}" for on, text in note_lines(detail.notes, study.study)]
    if study.trust:
        lines.append(f"trust: {study.trust}")
        lines += [f"  {reason}" for reason in study.trust_reasons or ()]
        lines += _check_lines([row for row in detail.checks if row.study == study.study], width, every=every)
    scores = [row for row in detail.scores if row.study == study.study]
    if scores:
        lines.append(_score_table(scores, width))
    worst_cases = [row for row in detail.robustness if row.study == study.study]
    if worst_cases:
        lines += ["", worst_case_table(worst_cases, width, of_one=True)]
    results = [row for row in detail.results if row.study == study.study]
    if results:
        lines += ["", _result_table(results, width)]
    traits = [cell for cell in cells(detail.traits.get(study.study, {})) if cell[0] not in SCORES]
    if traits:
        lines += ["", table(["trait", "value", "unit"], traits, width, right=(1,))]
        lines.append("(what was measured of the model; innate traits says how)")
    return lines


def _outside(detail: TrialDetail, stands: TrialInNoStudy, width: int) -> list[str]:
    """How it stands that is in no study: state, the verdict that it had, what attacks found."""
    known = "" if stands.left_study is None else f" ({left_text(stands)})"
    lines = ["", f"in no study{known}: {stands.state}"]
    lines += [f"trust: {stands.trust}, in the study that it left"] if stands.trust else []
    if detail.results:
        lines += ["", _result_table(detail.results, width)]
    return lines


def _check_lines(rows: Sequence[CheckRow], width: int, *, every: bool) -> list[str]:
    """The checks behind a verdict, besides the reasons that it names."""
    aside = [row for row in rows if row.trust != "ok" and not row.counted]
    passed = [row for row in rows if row.trust == "ok"]
    lines = [f"  set aside, since {_ANSWERS.get(row.check, _STRONGER)}: {row.reason}" for row in aside]
    lines += [f"  {row.reason}" for row in passed if row.reason]
    if not every:
        return [*lines, f"  {len(passed)} of {len(rows)} checks passed; innate -v show lists them"] if rows else lines
    cells = [
        [row.check, row.attack or "-", _place(row), row.trust, number(row.value, 3), number(row.bound, 3)]
        for row in rows
    ]
    return [*lines, table(["check", "attack", "at", "trust", "value", "bound"], cells, width, right=(4, 5))]


def _place(row: CheckRow) -> str:
    """A norm and a radius, as far as the check is about one."""
    return " ".join([row.norm or "", "" if row.eps is None else f"{row.eps:g}"]).strip() or "-"


def _score_table(rows: Sequence[StudyScore], width: int) -> str:
    lines = []
    known = [row for row in rows if row.name in SCORES]  # a plugin's may be gone
    for row in sorted(known, key=lambda row: list(SCORES).index(row.name)):
        scale = 100.0 if SCORES[row.name].percent else 1.0
        value = number(None if row.value is None else scale * row.value)
        lines.append([row.name, value, interval(row.low, row.high, scale, bound=bool(row.upper_bound))])
    text = table(["score", "value", "95 % CI"], lines, width, right=(1, 2))
    return f"{text}\n(95 % over test images: of this model, not of others trained like it)"


def _result_table(rows: Sequence[ResultRow], width: int) -> str:
    measured = any(row.median_distance is not None for row in rows)
    names = named([(row.attack, row.attack_spec.params) for row in rows])
    lines = [
        [
            f"{name}{'*' if row.is_rung else ''}",
            row.norm,
            "-" if row.eps is None else f"{row.eps:g}",
            percent(row.robust_accuracy),
            *([number(row.median_distance, 3)] if measured else []),
            str(row.samples),
            row.trust or "-",
            f"{row.forward_passes:,}",
            f"{row.backward_passes:,}",
            number(row.seconds),
        ]
        for name, row in zip(names, rows, strict=True)
    ]
    extra = ["median"] if measured else []
    headings = ["attack", "norm", "eps", "robust %", *extra, "samples", "trust", "forward", "backward", "seconds"]
    headings, lines, left_out = in_room(headings, lines, width, ("forward", "backward", "seconds"))
    numbers = [index for index, heading in enumerate(headings) if heading not in ("attack", "norm", "trust")]
    climbed = any(row.is_rung for row in rows)
    note = "\n(* escalation: on what the attacks before left standing, all of them counted)" if climbed else ""
    lack = f"\n{no_room_for(left_out)}" if left_out else ""
    return table(headings, lines, width, right=numbers, fill=0, apart=True) + note + lack


def _epoch_table(rows: Sequence[EpochRow], width: int) -> str:
    probed = any(row.probe_accuracy is not None for row in rows)
    headings = ["epoch", "loss", "accuracy %", "validation %", *(["probe %"] if probed else []), "lr", "seconds"]
    lines = [
        [
            str(row.epoch),
            number(row.loss, 4),
            percent(row.accuracy),
            percent(row.validation_accuracy),
            *([percent(row.probe_accuracy)] if probed else []),
            f"{row.lr:g}",
            number(row.seconds),
        ]
        for row in rows
    ]
    return table(headings, lines, width, right=range(len(headings)))


def _attempts(attempts: Sequence[AttemptRow]) -> list[str]:
    lines = []
    for attempt in attempts:
        end = attempt.exit_kind or "under way"
        lines.append(f"attempt {attempt.number} on {attempt.device or '?'}, {moment(attempt.started_at)}: {end}")
        if attempt.reason:
            lines.append(f"  {attempt.reason}")
        lines += _end_of(attempt.traceback)
    environment = next((attempt.environment for attempt in reversed(attempts) if attempt.environment), None)
    if environment:
        known = ", ".join(f"{key} {value}" for key, value in environment.items() if value is not None)
        lines.append(f"environment   {known}")
    return lines


def _end_of(traceback: str | None) -> list[str]:
    return [f"  | {line}" for line in (traceback or "").strip().splitlines()[-_END_OF_TRACEBACK:]]

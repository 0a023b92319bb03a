"""A run in words and tables: what it is and scored, how it was configured, where and on what it was run."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from textual.content import Content

from app.report.noted import note_lines
from app.report.text import interval
from app.report.traits import cells
from app.report.trial_page import drawn_text, import_text
from app.report.variants import choice_text, level, options, seed_text, short
from app.report.worst_cases import audit_text
from app.tui.run.data import Run, results_of
from app.tui.shell.keys import APP
from app.tui.shell.own import Own
from app.tui.shell.themes import STATE_COLOURS
from app.tui.widgets.grid import Cell, Column, Line, named_cell
from core.names import FACTORS, NORM_SIGNS, full_name, short_id
from core.verdict.scoring import SCORES
from storage.reading import Options
from storage.rows import EpochRow, ListedTrial, ResultRow, RobustnessRow
from storage.trial import FailedEvaluation, TrialDetail

_QUIET = "$foreground 70%"
Part = str | tuple[str, str]


def title(row: ListedTrial) -> str:
    """The run in a line."""
    name = full_name(level(row, factor) for factor in FACTORS)
    return f"{short_id(row.trial_id)}  {row.study}  ·  {name}  ·  seed {seed_text(row)}  ·  {row.state}"


def overview(run: Run, own: Own) -> Content:
    """State, scores with intervals, trust with every reason, and what comes next where something is missing."""
    row, detail = run.row, run.detail
    parts: list[Part] = [_label("state"), (row.state, STATE_COLOURS[row.state])]
    parts.append(f": {row.reason}\n" if row.reason else "\n")
    parts += [_label("data"), f"{row.dataset}, {_samples(detail)}\n"]
    for factor in FACTORS:
        rate = options(detail, factor).get("lr")
        chosen = "" if options(row, factor).get("lr") == rate else ", tuned"  # a study names it, a trial knows it
        parts.append(_label(factor))
        parts += [level(row, factor) or "unknown", "\n" if rate is None else f" lr={short(rate)}{chosen}\n"]
    if row.train_seconds is not None:
        parts += [_label("trained"), f"{row.train_seconds:.1f} s, {len(detail.epochs)} epochs\n"]
    elif detail.epochs:
        parts += [_label("trained"), f"{len(detail.epochs)} epochs so far\n"]
    scores = {score.name: score for score in detail.scores if score.study == row.study}
    parts.append("\n")
    if scores:
        parts.append(("score             value        95 %\n", "bold $primary"))
    for name, entry in SCORES.items():
        if name in scores:
            scale, score = 100.0 if entry.percent else 1.0, scores[name]
            value = _times(scale, score.value)
            ends = interval(score.low, score.high, scale, bound=bool(score.upper_bound))
            bare = name.rpartition(":")[2]  # without the plugin that adds it
            named = f"{bare} %" if entry.percent else bare
            parts.append(f"{named:<17} {value:>5}  {ends if ends != '-' else 'no interval':>10}\n")
    if scores:
        parts.append(("95 % over test images, of this model\n", _QUIET))
    if row.trust:
        parts += [_label("trust"), (row.trust, STATE_COLOURS[row.trust]), "\n"]
        parts += [f"- {reason}\n" for reason in row.trust_reasons or ()]
    known = [one for one in detail.robustness if one.study == row.study]
    if known:
        parts.append(("all known  worst %      audit   over\n", "bold $primary"))
    for one in known:
        at, worst_case = f"{NORM_SIGNS[one.norm]} {one.eps:.4g}", _times(100.0, one.robust_accuracy)
        fell = "none" if one.audited is None else f"{one.fell} of {one.audited}"
        mark = "≤" if one.audited is None else ""
        parts.append(f"{at:<9} {mark + worst_case:>8}  {fell:>9}  {_times(100.0, one.overstated_at_most):>5}\n")
    if any(one.audited is not None for one in known):
        parts.append(("audit: how many of those drawn fell; over: points too high at most, 95 %\n", _QUIET))
    traits = [cell for cell in cells(detail.traits.get(row.study, {})) if cell[0] not in SCORES]
    if traits:
        parts.append(("trait                value\n", "bold $primary"))
    parts += [f"{name:<16} {value:>9} {unit}".rstrip() + "\n" for name, value, unit in traits]
    if row.state == "queued":
        why, start = own.key(f"{APP}.mode('queue')", "3"), own.key(f"{APP}.mode('worker')", "5")
        parts.append(f"It waits for a worker: {why} says why, {start} starts one.\n")
    if row.state in ("failed", "cancelled"):
        retry, lab = own.key("lab.retry", "R"), own.key(f"{APP}.mode('lab')", "1")
        edit = own.key("run.resubmit", "E")
        parts.append(
            f"{retry} in {lab} Lab queues it again, {edit} edits what it was asked for; Config has the traceback.\n"
        )
    for on, note in note_lines(detail.notes, row.study):
        parts += [_label(on), note, "\n"]
    others = [f"{study.study} ({study.state})" for study in detail.studies if study.study != row.study]
    if others:
        parts += [_label("also in"), ", ".join(others), "\n"]
    return Content.assemble(*parts)


def _samples(detail: TrialDetail) -> str:
    if detail.imported is not None:
        return f"trained elsewhere: {detail.imported}"
    return f"{detail.train_samples or 'all'} samples{drawn_text(detail)}"


def _label(name: str) -> Part:
    return f"{name:<13}", _QUIET


def config(detail: TrialDetail) -> Content:
    """Every resolved option, digests, attempts with where and on what they ran, and their tracebacks."""
    parts: list[Part] = []
    _section(parts, "Identity", {
        "trial": detail.trial_id, "variant": detail.variant_id, "seed": seed_text(detail),
        "engine": detail.spec.get("engine"), "initial": detail.initial_digest, "final": detail.final_digest,
        "weights": _weights(detail),
    })  # fmt: skip
    samples = "unknown" if detail.imported else f"{detail.train_samples or 'all'}{drawn_text(detail)}"
    _section(parts, "Data", {"dataset": detail.dataset, "training samples": samples})
    if detail.import_record is not None:
        _section(parts, "Import", {"read": import_text(detail.import_record)})
    for factor in FACTORS:
        given = {f"  {key}": short(value) for key, value in options(detail, factor).items()}
        _section(parts, factor.capitalize(), {"name": level(detail, factor) or "unknown", **given})
    _section(parts, "Training", {key: choice_text(value) for key, value in (detail.training or {}).items()})
    for failed in detail.failed_evaluations:
        _section(parts, f"{failed.attack} {NORM_SIGNS[failed.norm]} failed", {"reason": failed.reason})
        parts += _traceback(failed.traceback)
    for attempt in detail.attempts:
        _section(parts, f"Attempt {attempt.number}", {
            "device": attempt.device, "began": _moment(attempt.started_at), "ended": _moment(attempt.ended_at),
            "how": attempt.exit_kind or "under way", "reason": attempt.reason, **(attempt.environment or {}),
        })  # fmt: skip
        parts += _traceback(attempt.traceback)
    if not detail.attempts:
        parts.append(("It has not been started yet.\n", _QUIET))
    return Content.assemble(*parts)


def epochs_table(epochs: Sequence[EpochRow]) -> tuple[list[Column[EpochRow]], list[EpochRow]]:
    """One row per epoch."""
    columns: list[Column[EpochRow]] = [
        Column("epoch", "epoch", 5, lambda row: (str(row.epoch), ""), right=True),
        Column("loss", "loss", 8, lambda row: (f"{row.loss:.4f}", ""), right=True),
        Column("accuracy", "acc %", 6, lambda row: (_times(100.0, row.accuracy), ""), right=True),
    ]
    if any(row.validation_accuracy is not None for row in epochs):
        columns.append(
            Column("validation", "val %", 6, lambda row: (_times(100.0, row.validation_accuracy), ""), right=True)
        )
    if any(row.probe_accuracy is not None for row in epochs):
        columns.append(Column("probe", "probe %", 7, lambda row: (_times(100.0, row.probe_accuracy), ""), right=True))
    columns += [
        Column("lr", "lr", 8, lambda row: (f"{row.lr:.4g}", ""), right=True),
        Column("seconds", "s", 6, lambda row: (f"{row.seconds:.1f}", ""), right=True),
    ]
    return columns, list(epochs)


def attacks_table(detail: TrialDetail, study: str, *, wide: bool) -> tuple[list[Column[Line]], list[Line]]:
    """One line per attack × ε, one per norm × ε for all that is known, one per evaluation that failed; their words say the
    rest."""
    columns = [
        Column("attack", "attack", 16, named_cell("attack")),
        Column("norm", "norm", 4, named_cell("norm")),
        Column("eps", "ε", 7, named_cell("eps"), right=True),
        Column("robust", "robust %", 8, named_cell("robust"), right=True),
        Column("trust", "trust", 8, named_cell("trust")),
        Column("forward", "forward", 9, named_cell("forward"), right=True),
        Column("backward", "backward", 9, named_cell("backward"), right=True),
        Column("seconds", "seconds", 8, named_cell("seconds"), right=True),
    ]
    if wide:
        columns += [
            Column("samples", "samples", 8, named_cell("samples"), right=True),
            Column("crafting", "crafted in", 10, named_cell("crafting")),
            Column("params", "parameters", 60, named_cell("params")),
        ]
    lines = [_result(row) for row in results_of(detail, study)]
    lines += [_worst_case(row) for row in detail.robustness if row.study == study and lines]
    lines += [_failed(failed, place) for place, failed in enumerate(detail.failed_evaluations)]
    return columns, lines


def _result(row: ResultRow) -> Line:
    given = dict(row.attack_spec.params)
    after = given.pop("after", None)
    params = ", ".join(f"{key} {short(value)}" for key, value in given.items())
    eps = "-" if row.eps is None else f"{row.eps:.4g}"
    told = [f"{row.attack} {NORM_SIGNS[row.norm]} ε = {eps}", *([params] if params else [])]
    told += ["added to this run"] if row.added and not after else []
    told += [f"escalation: only on what {len(after['attacks'])} attacks before left standing"] if after else []
    told += [f"median distance {row.median_distance:.3g}"] if row.median_distance is not None else []
    told += [f"{row.samples} samples, crafted in {row.crafting or 'fp32'}"]
    told += row.notes or []
    if row.trust not in (None, "ok"):
        reasons = row.trust_reasons or ["the model itself, see its verdict"]
        told.insert(1, f"{row.trust}: {'; '.join(reasons)}")
    texts = {
        "attack": row.attack,
        "norm": NORM_SIGNS[row.norm],
        "eps": eps,
        "robust": _times(100.0, row.robust_accuracy),
        "forward": f"{row.forward_passes:,}",
        "backward": f"{row.backward_passes:,}",
        "seconds": f"{row.seconds:.1f}",
        "samples": str(row.samples),
        "crafting": row.crafting or "",
        "params": params,
    }
    cells = {**{name: (text, "") for name, text in texts.items()}, "trust": _coloured(row.trust or "-")}
    return Line((row.attack_id, row.eps), cells, " · ".join(told))


def _worst_case(row: RobustnessRow) -> Line:
    """The worst case by all that is known of the run, and what its audit says of it."""
    told = [f"worst case at {NORM_SIGNS[row.norm]} ε = {row.eps:.4g} by every adversarial image known of this run"]
    told.append(audit_text(row))
    if row.compared_accuracy != row.robust_accuracy:
        told.append(f"{_times(100.0, row.compared_accuracy)} % by what all runs of the study had")
    texts = {
        "attack": "all known",
        "norm": NORM_SIGNS[row.norm],
        "eps": f"{row.eps:.4g}",
        "robust": f"{'≤' if row.audited is None else ''}{_times(100.0, row.robust_accuracy)}",
        "seconds": "" if row.audit_seconds is None else f"{row.audit_seconds:.1f}",
        "samples": str(row.samples),
        "params": audit_text(row),
    }
    cells = {**{name: (text, "") for name, text in texts.items()}, "trust": _coloured(row.trust)}
    return Line(("all known", row.norm, row.eps), cells, " · ".join(told))


def _failed(failed: FailedEvaluation, place: int) -> Line:
    cells = {
        "attack": (failed.attack, ""),
        "norm": (NORM_SIGNS[failed.norm], ""),
        "trust": _coloured("failed"),
        "params": (failed.reason or "", ""),
    }
    return Line(("failed", place), cells, f"{failed.attack} failed: {failed.reason}; the traceback is in Config")


def _coloured(word: str) -> Cell:
    """A state or a verdict in its colour."""
    return word, word if word in STATE_COLOURS else ""


def _section(parts: list[Part], heading: str, rows: Options) -> None:
    parts.append((f"{heading}\n", "bold $accent"))
    known = {key: value for key, value in rows.items() if value is not None}
    width = max(map(len, known), default=0)
    for key, value in known.items():
        parts += [(f"  {key:<{width}}  ", _QUIET), f"{value}\n"]
    parts.append("\n")


def _traceback(text: str | None) -> Sequence[Part]:
    return [(f"{text.rstrip()}\n\n", "$error")] if text else []


def _weights(detail: TrialDetail) -> str:
    if detail.weights_removed:
        return "removed from disk"
    path = detail.weights
    return f"checkpoints/{short_id(path)}…{path[64:]}" if path else "none yet"


def _times(scale: float, value: float | None) -> str:
    return "-" if value is None else f"{scale * value:.1f}"


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")

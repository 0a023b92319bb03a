"""A run in words and tables: what it is and scored, how it was configured, where and on what it was run."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from textual.content import Content

from app.report.variants import FACTORS, choice_text, seed_text, short
from app.tui.run.data import Run, results_of
from app.tui.shell.themes import STATE_COLOURS
from app.tui.widgets.grid import Cell, Column, Row
from core.verdict.scoring import SCORES

_QUIET = "$foreground 70%"
_NORMS = {"linf": "ℓ∞", "l2": "ℓ2"}
Part = str | tuple[str, str]


def title(row: Mapping[str, Any]) -> str:
    """The run in a line."""
    names = [row[factor] for factor in FACTORS if row[factor] not in (None, "none")]
    return f"{row['trial_id'][:10]}  {row['study']}  ·  {' '.join(names)}  ·  seed {seed_text(row)}  ·  {row['state']}"


def overview(run: Run) -> Content:
    """State, scores with intervals, trust with every reason, and what comes next where something is missing."""
    row, detail = run.row, run.detail
    assert row is not None, "a run that is gone is not shown"
    parts: list[Part] = [_label("state"), (row["state"], STATE_COLOURS[row["state"]])]
    parts.append(f": {row['reason']}\n" if row["reason"] else "\n")
    parts += [_label("data"), f"{row['dataset']}, {_samples(detail)}\n"]
    for factor in FACTORS:
        rate = (row[f"{factor}_options"] or {}).get("lr")
        parts += [_label(factor), row[factor] or "unknown", "\n" if rate is None else f" lr={short(rate)}\n"]
    if row["train_seconds"] is not None:
        parts += [_label("trained"), f"{row['train_seconds']:.1f} s, {len(detail['epochs'])} epochs\n"]
    elif detail["epochs"]:
        parts += [_label("trained"), f"{len(detail['epochs'])} epochs so far\n"]
    scores = {score["name"]: score for score in detail["scores"] if score["study"] == row["study"]}
    parts.append("\n")
    if scores:
        parts.append(("score             value        95 %\n", "bold $primary"))
    for name, entry in SCORES.items():
        if name in scores:
            scale = 100.0 if entry.percent else 1.0
            value, low, high = (_times(scale, scores[name][key]) for key in ("value", "low", "high"))
            interval = f"{low}–{high}" if low != "-" else "no interval"
            named = f"{name} %" if entry.percent else name
            parts.append(f"{named:<17} {value:>5}  {interval:>10}\n")
    if scores:
        parts.append(("95 % bootstrap over test samples\n", _QUIET))
    if row["trust"]:
        parts += [_label("trust"), (row["trust"], STATE_COLOURS[row["trust"]]), "\n"]
        parts += [f"- {reason}\n" for reason in row["trust_reasons"] or ()]
    if row["state"] == "queued":
        parts.append("It waits for a worker: 3 says why, 5 starts one.\n")
    if row["state"] in ("failed", "cancelled"):
        parts.append("R in 1 Runs queues it again; Config has the traceback.\n")
    others = [f"{study['study']} ({study['state']})" for study in detail["studies"] if study["study"] != row["study"]]
    if others:
        parts += [_label("also in"), ", ".join(others), "\n"]
    return Content.assemble(*parts)


def _samples(detail: Mapping[str, Any]) -> str:
    if detail["imported"] is not None:
        return f"trained elsewhere: {detail['imported']}"
    return f"{detail['train_samples'] or 'all'} samples"


def _label(name: str) -> Part:
    return f"{name:<13}", _QUIET


def config(run: Run) -> Content:
    """Every resolved option, digests, attempts with where and on what they ran, and their tracebacks."""
    detail = run.detail
    parts: list[Part] = []
    _section(parts, "Identity", {
        "trial": detail["trial_id"], "variant": detail["variant_id"], "seed": seed_text(detail),
        "engine": detail["spec"].get("engine"), "initial": detail["initial_digest"], "final": detail["final_digest"],
        "weights": _weights(detail),
    })  # fmt: skip
    _section(parts, "Data", {
        "dataset": detail["dataset"], "training samples": "unknown" if detail["imported"] else detail["train_samples"] or "all",
    })  # fmt: skip
    for factor in FACTORS:
        options = {f"  {key}": short(value) for key, value in (detail[f"{factor}_options"] or {}).items()}
        _section(parts, factor.capitalize(), {"name": detail[factor] or "unknown", **options})
    _section(parts, "Training", {key: choice_text(value) for key, value in (detail["training"] or {}).items()})
    for failed in detail["failed_evaluations"]:
        _section(parts, f"{failed['attack']} {_NORMS[failed['norm']]} failed", {"reason": failed["reason"]})
        parts += _traceback(failed["traceback"])
    for attempt in detail["attempts"]:
        _section(parts, f"Attempt {attempt['number']}", {
            "device": attempt["device"], "began": _moment(attempt["started_at"]), "ended": _moment(attempt["ended_at"]),
            "how": attempt["exit_kind"] or "under way", "reason": attempt["reason"], **(attempt["environment"] or {}),
        })  # fmt: skip
        parts += _traceback(attempt["traceback"])
    if not detail["attempts"]:
        parts.append(("It has not been started yet.\n", _QUIET))
    return Content.assemble(*parts)


def epochs_table(run: Run) -> tuple[list[Column], list[Row]]:
    """One row per epoch."""
    rows = run.detail["epochs"]
    columns = [
        Column("epoch", "epoch", 5, lambda row: (str(row["epoch"]), ""), right=True),
        Column("loss", "loss", 8, lambda row: (f"{row['loss']:.4f}", ""), right=True),
        Column("accuracy", "acc %", 6, lambda row: (_times(100.0, row["accuracy"]), ""), right=True),
    ]
    if any(row["validation_accuracy"] is not None for row in rows):
        columns.append(
            Column("validation", "val %", 6, lambda row: (_times(100.0, row["validation_accuracy"]), ""), right=True)
        )
    if any(row["probe_accuracy"] is not None for row in rows):
        columns.append(
            Column("probe", "probe %", 7, lambda row: (_times(100.0, row["probe_accuracy"]), ""), right=True)
        )
    columns += [
        Column("lr", "lr", 8, lambda row: (f"{row['lr']:.4g}", ""), right=True),
        Column("seconds", "s", 6, lambda row: (f"{row['seconds']:.1f}", ""), right=True),
    ]
    return columns, [{**row, "trial_id": row["epoch"]} for row in rows]


def attacks_table(run: Run, study: str, *, wide: bool) -> tuple[list[Column], list[Row]]:
    """One row per attack × ε, and one per evaluation that failed; "words" says the rest of it."""
    columns = [
        Column("attack", "attack", 16, _text("attack")),
        Column("norm", "norm", 4, _text("norm")),
        Column("eps", "ε", 7, _text("eps"), right=True),
        Column("robust", "robust %", 8, _text("robust"), right=True),
        Column("trust", "trust", 8, lambda row: (row["trust"], row["trust"] if row["trust"] in STATE_COLOURS else "")),
        Column("forward", "forward", 9, _text("forward"), right=True),
        Column("backward", "backward", 9, _text("backward"), right=True),
        Column("seconds", "seconds", 8, _text("seconds"), right=True),
    ]
    if wide:
        columns += [
            Column("samples", "samples", 8, _text("samples"), right=True),
            Column("crafting", "crafted in", 10, _text("crafting")),
            Column("params", "parameters", 60, _text("params")),
        ]
    rows = [_result(row) for row in results_of(run, study)]
    rows += [_failed(failed, place) for place, failed in enumerate(run.detail["failed_evaluations"])]
    return columns, rows


def _result(row: Mapping[str, Any]) -> Row:
    spec = row["attack_spec"] or {}
    given = dict(spec.get("params") or {})
    after = given.pop("after", None)
    params = ", ".join(f"{key} {short(value)}" for key, value in given.items())
    eps = "-" if row["eps"] is None else f"{row['eps']:.4g}"
    told = [f"{row['attack']} {_NORMS[row['norm']]} ε = {eps}", *([params] if params else [])]
    told += ["added to this run"] if row["added"] and not after else []
    told += [f"escalation: only on what {len(after['attacks'])} attacks before left standing"] if after else []
    told += [f"median distance {row['median_distance']:.3g}"] if row["median_distance"] is not None else []
    told += [f"{row['samples']} samples, crafted in {row['crafting'] or 'fp32'}"]
    told += row["notes"] or []
    if row["trust"] not in (None, "ok"):
        reasons = row["trust_reasons"] or ["the model itself, see its verdict"]
        told.insert(1, f"{row['trust']}: {'; '.join(reasons)}")
    return {
        "trial_id": (row["attack_id"], row["eps"]),
        "attack": row["attack"],
        "norm": _NORMS[row["norm"]],
        "eps": eps,
        "robust": _times(100.0, row["robust_accuracy"]),
        "trust": row["trust"] or "-",
        "forward": f"{row['forward_passes']:,}",
        "backward": f"{row['backward_passes']:,}",
        "seconds": f"{row['seconds']:.1f}",
        "samples": str(row["samples"]),
        "crafting": row["crafting"] or "",
        "params": params,
        "words": " · ".join(told),
    }


def _failed(failed: Mapping[str, Any], place: int) -> Row:
    blank = dict.fromkeys(("eps", "robust", "forward", "backward", "seconds", "samples", "crafting", "params"), "")
    told = f"{failed['attack']} failed: {failed['reason']}; the traceback is in Config"
    row = {"trial_id": ("failed", place), "attack": failed["attack"], "norm": _NORMS[failed["norm"]]}
    return {**blank, **row, "trust": "failed", "params": failed["reason"] or "", "words": told}


def _section(parts: list[Part], heading: str, rows: Mapping[str, Any]) -> None:
    parts.append((f"{heading}\n", "bold $accent"))
    known = {key: value for key, value in rows.items() if value is not None}
    width = max(map(len, known), default=0)
    for key, value in known.items():
        parts += [(f"  {key:<{width}}  ", _QUIET), f"{value}\n"]
    parts.append("\n")


def _traceback(text: str | None) -> Sequence[Part]:
    return [(f"{text.rstrip()}\n\n", "$error")] if text else []


def _weights(detail: Mapping[str, Any]) -> str:
    if detail["weights_removed"]:
        return "removed from disk"
    path = detail["weights"]
    return f"checkpoints/{path[:10]}…{path[64:]}" if path else "none yet"


def _text(key: str) -> Any:
    def cell(row: Row) -> Cell:
        return row[key], ""

    return cell


def _times(scale: float, value: float | None) -> str:
    return "-" if value is None else f"{scale * value:.1f}"


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")

"""What the list of runs says: the line above it, what an empty one means, and the commands that do the same."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from textual.content import Content

from app.tui.lab.run_list import Listed
from app.tui.shell.keys import KeyOf
from app.tui.shell.state import Remembered
from core.names import short_id
from storage.rows import ListedTrial


def about(listed: Listed, chosen: str, state: Remembered, study: str | None, eps: float | None) -> Content:
    """How many runs there are, of which study, at which ε, and why these in this order."""
    total, everything = listed.total, listed.everything
    parts = [f"{total:,} runs" if total == everything else f"{total:,} of {everything:,} runs"]
    parts.append(study or "all studies")
    if eps is not None:
        parts.append(f"ε {eps:g}")
    if chosen:
        parts.append(f"filter: {chosen}")
    if state.sort:
        parts.append(f"by {state.sort} {'▼' if state.descending else '▲'}")
    if state.marks:
        parts.append(f"{len(state.marks)} marked")
    if listed.baseline is not None:
        parts.append(f"Δ against {short_id(listed.baseline.trial_id)}")
    return Content("  ·  ".join(parts))


def nothing(chosen: str | None, key_of: KeyOf) -> Content:
    """Why the table is empty and what to do: the filter's doing, or (None) nothing has been run."""
    if chosen is not None:
        return Content.assemble(
            "No run passes the filter ", (chosen, "bold"), ".\n\n", (key_of("filter"), "bold $accent"), " changes it."
        )  # fmt: skip
    return Content.assemble(
        ("Nothing has been run here yet.\n\n", "bold"),
        (key_of("mode('compose')"), "bold $accent"), "  compose a study and submit it\n",
        (key_of("help"), "bold $accent"), "  the keys of this screen\n\n",
        "Or from the command line: ", ("innate run quick --detach", "bold"), "\n",
        ("trains twelve small models on 5,000 real images in a few minutes.", "$foreground 70%"),
    )  # fmt: skip


def commands(
    chosen: str, state: Remembered, trial: ListedTrial | None, meant: Sequence[str], listed: str | None
) -> Mapping[str, str]:
    """Action → command; `meant` are the trials that a change would be about, `listed` the study that is listed."""
    command = listing_command(chosen, state, study=listed)
    found = {
        **dict.fromkeys(("study", "filter", "sort", "reverse"), command),
        "export": listing_command(chosen, state, Path("runs.csv"), listed),
    }
    if trial is not None:
        found["open"] = f"innate show {short_id(trial.trial_id)}"
        found["group"] = f"innate results --study {shlex.quote(trial.study)} --by optimizer"
        shown = " ".join(f"--trial {short_id(one)}" for one in meant)
        found["mark"] = f"innate chart curves --study {shlex.quote(trial.study)} {shown}"
    if meant:
        trials = " ".join(map(short_id, meant))
        found |= {"delete": f"innate delete {trials} --yes", "retry": f"innate retry {trials}"}
    return found


def listing_command(chosen: str, state: Remembered, output: Path | None = None, study: str | None = None) -> str:
    """`innate trials` of the same study with the same filter and order."""
    command = "innate trials" + (f" --study {shlex.quote(study)}" if study is not None else "")
    if chosen:
        command += f" --filter {shlex.quote(chosen)}"
    if state.sort:
        command += f" --sort {state.sort}{' --descending' if state.descending else ''}"
    if output is not None:
        command += f" --output {shlex.quote(str(output))}"
    return command


def runs(count: int) -> str:
    return "the run" if count == 1 else f"{count} runs"

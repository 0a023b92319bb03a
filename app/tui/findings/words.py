"""What Findings says around its findings: the line above, what to do where there is nothing, the commands that do the same."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from textual.content import Content

from app.tui.findings.charts import SCORE, crossed_with, factor_of, trait_of
from app.tui.findings.data import Loaded
from app.tui.shell.keys import KeyOf
from app.tui.widgets.text import joined
from core.names import NORM_SIGNS, short_id
from core.verdict.findings import Finding

PARTS = ("rests", "pairs", "interaction", "causes", "settle", "beside")
CHARTS = ("interaction", "causes")
TITLES = ("Rests on", "Pairs", "Interaction", "Causes", "Settle", "Beside")


def about(loaded: Loaded, width: int, *, looking: bool) -> str:
    """Which study, how many models at which ε, and whether there is more to come."""
    if loaded.study is None:
        return ""
    found, listed = loaded.found, loaded.listed
    parts = [loaded.study if loaded.beside is None else f"{loaded.study} beside {loaded.beside.study}"]
    if looking:
        parts.append("looking …")
    if found is not None:
        at = "not attacked" if found.threat is None else f"{NORM_SIGNS[found.threat.norm]} ε {found.threat.eps:g}"
        parts += [f"worst case, {at}", f"{len(found.models):,} models"]
    if listed is not None and listed.queued + listed.running:
        parts.append(f"{listed.queued + listed.running:,} trials to come")
    if found is not None:
        parts.append(f"margin {found.margin:g} points")
    return joined(parts, width)


def nothing(key_of: KeyOf) -> Content:
    """Where nothing has been run."""
    return Content.assemble(
        ("Nothing has been run here yet, so nothing is found.\n\n", "bold"),
        (key_of("mode('compose')"), "bold $accent"), "  compose a study with several seeds and submit it\n\n",
        "Or from the command line: ", ("innate run quick --set seeds=3 --detach", "bold"),
    )  # fmt: skip


def commands(
    loaded: Loaded | None, family: str, one: Finding | None, part: str, trial: str | None
) -> Mapping[str, str]:
    """Action → command; `trial` is the run of the pair under the cursor."""
    if loaded is None or loaded.study is None:
        return {"study": "innate findings"}
    name = shlex.quote(loaded.study)
    page = f"innate findings --study {name}"
    beside = loaded.beside.study if loaded.beside else next(iter(loaded.others), None)
    return {
        "turn(1)": shown(loaded, family, one, part),
        "study": page,
        "settle": f"{page} --settle --about {family}",
        "beside": page if beside is None else f"{page} --beside {shlex.quote(beside)}",
        "enter": f"innate show {short_id(trial)}" if trial else page,
        "comparison": f"{page} --json",
        "copy": shown(loaded, family, one, part),
    }


def shown(loaded: Loaded, heading: str, one: Finding | None, part: str) -> str:
    """What says or draws the part in front."""
    name = shlex.quote(loaded.study or "STUDY")
    page = f"innate findings --study {name}"
    crossed = crossed_with(loaded.partners, heading, one)
    if part == "pairs":
        return f"{page} --json"
    if part == "beside" and loaded.beside is not None:
        return f"{page} --beside {shlex.quote(loaded.beside.study)}"
    if part == "interaction" and crossed is not None:
        return f"innate chart interactions --study {name} --score {SCORE} --by {','.join(crossed)}"
    if part == "causes":
        trait, by = trait_of(one), factor_of(heading, one)
        command = f"innate chart causes --study {name}"
        command += f" --trait {trait}" if trait else ""
        return command + (f" --by {by}" if by else "")
    return page

"""What Compare says of what it shows: the line above, what to do where there is nothing, the command that draws the same."""

from __future__ import annotations

import shlex

from textual.content import Content

from app.report import charts
from app.report.study_numbers import Robustness
from app.tui.compare.views import Differences, Loaded
from core.names import short_id
from core.verdict.scoring import SCORES

_ALL_KEY: tuple[str | tuple[str, str], ...] = (("m", "bold $accent"), "  all variants instead of the marked ones\n")


def about(loaded: Loaded) -> str:
    """The study, what is shown of it, and whether of all its variants."""
    choice, content = loaded.choice, loaded.content
    parts = [loaded.study or ""]
    match choice.view:
        case "bars":
            parts.append(f"{_named(choice.score)}, 95 % intervals")
        case "heatmap":
            factors = getattr(content, "factors", ("optimizer", "activation"))
            parts.append(f"{_named(choice.score)}, {factors[0]} × {factors[1]}")
        case "curves":
            attack = choice.attack if choice.attack in loaded.attacks else None
            parts.append(f"accuracy under {attack}, %" if attack else "worst case, %")
            if isinstance(content, Robustness) and len(content.lines) > charts.MOST_CURVES:
                parts.append(f"{charts.MOST_CURVES} of {len(content.lines)} drawn")
        case "tradeoff":
            parts.append(f"clean against {_named(choice.robust)}, ★ Pareto front")
        case _ if isinstance(content, Differences):
            left = f" of {len(content.runs) + content.left_out:,}" if content.left_out else ""
            parts.append(f"{len(content.runs)}{left} runs, only what differs; h l move the columns")
    if loaded.waiting is not None:
        parts.insert(1, loaded.waiting)
    if not choice.only_marked:
        parts.append("all (m: marked)")
    elif choice.marks and choice.view == "differences":
        parts.append("marked runs")
    elif choice.marks and loaded.marked:
        parts.append(f"{len(loaded.marked)} marked variant{'' if len(loaded.marked) == 1 else 's'}")
    else:
        parts.append("no mark here, so all" if choice.marks else "none marked, so all (1, space)")
    if loaded.about:
        parts.append(loaded.about)
    return "  ·  ".join(part for part in parts if part)


def nothing(loaded: Loaded) -> Content:
    """Why there is nothing, and which key leads on."""
    study, view = loaded.study, loaded.choice.view
    if study is None:
        return Content.assemble(
            ("Nothing has been run here yet.\n\n", "bold"),
            ("2", "bold $accent"), "  compose a study and submit it\n\n",
            "Or from the command line: ", ("innate run quick --detach", "bold"),
        )  # fmt: skip
    if view == "differences":
        return Content.assemble(
            ("There are no two runs to compare.\n\n", "bold"),
            ("1", "bold $accent"), "  go to the Lab, ", ("space", "bold $accent"), " marks a run; mark two or more\n",
            ("m", "bold $accent"), "  all runs of the study instead of the marked ones\n",
            ("o", "bold $accent"), "  choose another study",
        )  # fmt: skip
    waits = f"{loaded.unfinished} of its runs wait or are under way.\n\n" if loaded.unfinished else "\n"
    return Content.assemble(
        (f"{study} has nothing to show here yet.\n", "bold"), waits,
        ("3", "bold $accent"), "  see in Queue what runs and what waits\n",
        ("o", "bold $accent"), "  choose another study\n",
        *(_ALL_KEY if loaded.marked and loaded.choice.only_marked else ()),
    )  # fmt: skip


def command(loaded: Loaded | None) -> str:
    """What draws the view in front."""
    if loaded is None or loaded.study is None:
        return "innate chart scores"
    study, choice, content = shlex.quote(loaded.study), loaded.choice, loaded.content
    if choice.view == "differences":
        runs = content.runs[:4] if isinstance(content, Differences) else ()
        return "; ".join(f"innate show {short_id(trial)}" for _, trial in runs) or "innate show TRIAL"
    text = f"innate chart {'scores' if choice.view == 'bars' else choice.view} --study {study}"
    if choice.view in ("bars", "heatmap"):
        text += f" --score {choice.score}"
    if choice.view == "tradeoff":
        text += f" --score {choice.robust}"
    factors = choice.factors or getattr(content, "factors", None)
    if choice.view == "heatmap" and factors:
        text += f" --by {','.join(factors)}"
    if choice.view == "curves" and choice.attack in loaded.attacks:
        text += f" --attack {choice.attack}"
    return text + "".join(f" --trial {short_id(trial)}" for trial in loaded.marked_runs if choice.only_marked)


def _named(score: str) -> str:
    return f"{score}{' %' if SCORES[score].percent else ''}"

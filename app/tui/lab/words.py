"""What the Lab says of its groups: the line above, who is best and how sure that is, what is weak, and the commands that do the
same."""

from __future__ import annotations

import shlex
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

from rich.cells import cell_len
from textual.content import Content

from app.report.grid import SINGLE
from app.report.text import wrapped
from app.tui.lab.columns import plus_minus
from app.tui.lab.loaded import Loaded
from app.tui.lab.rows import LabRow
from app.tui.shell.keys import KeyOf
from core.names import FACTORS, short_id
from core.plugged import owner
from storage.grouping import SEED, VARIANT, Weakness

Part = str | tuple[str, str]
_GAP = "  "
_MOST_NAMES = 4
_ANSWER, _WEAK, _HERE = "ANSWER ", "WEAK   ", "HERE   "
NONE = "none"
QUEUE = "mode('queue')"


def by_words(by: Sequence[str]) -> str:
    return "by " + ", ".join(by)


def score_words(score: str) -> str:
    return score.replace("_", " ")


def radius_words(loaded: Loaded) -> str:
    """At or over which ε; "" where no attack decides the score."""
    if loaded.score in SINGLE:
        return f"ε ‹{loaded.eps:g}›" if loaded.eps is not None else ""
    if loaded.score == "clean_accuracy" or owner(loaded.score) is not None or not loaded.grid:
        return ""
    return f"over ε 0…{loaded.grid[-1]:g}"


def title(loaded: Loaded, marks: int, width: int) -> Content:
    """The knobs first, then what there is; what has no room is left out whole."""
    variants, complete, seeds = loaded.whole.variants, loaded.whole.complete, loaded.whole.seeds
    kind = "runs" if SEED in loaded.by else "variants"
    needed = [
        (loaded.study.name, "bold $primary"),
        (by_words(loaded.by), ""),
        (radius_words(loaded), "bold $accent"),
        (score_words(loaded.score), "bold"),
        (f"filter: {loaded.chosen.text}" if loaded.chosen.text else "", "$accent"),
    ]
    more = [
        (f"{marks} marked" if marks else "", ""),
        (f"{complete}/{variants} {kind}" if variants else "", ""),
        (f"{seeds} seed{_s(seeds)}" if variants and SEED not in loaded.by else "", ""),
    ]
    told = [part for part in needed if part[0]]
    for part in more:
        used = sum(cell_len(text) + len(_GAP) for text, _ in told)
        if part[0] and used + cell_len(part[0]) <= width:
            told.append(part)
    return Content.assemble(*[piece for part in told for piece in (part, _GAP)])


# --- who is best, and how sure that is ---


def answer(
    loaded: Loaded,
    rows: Sequence[LabRow],
    note: str | None,
    key_of: KeyOf,
    fits: Callable[[str], bool] = lambda _: True,
) -> Content:
    """From the rows at the top; `note` says why there are no intervals, if there are none. It names as many as fit."""
    top = [row for row in rows if row.depth == 0]
    for most in range(_MOST_NAMES, -1, -1):
        said = _answer(loaded, top, note, key_of, most)
        if fits(f"{_ANSWER}{said}"):
            break
    return Content.assemble((_ANSWER, "bold $accent"), said)


def _answer(loaded: Loaded, top: Sequence[LabRow], note: str | None, key_of: KeyOf, most: int) -> str:
    valued = [row for row in top if row.value is not None]
    if not valued:
        waiting = sum(row.states.get("queued", 0) + row.states.get("running", 0) for row in top)
        return f"nothing has {_article(loaded)} yet" + (
            f"; {waiting} runs wait or are under way ({key_of(QUEUE)})." if waiting else "."
        )
    if len(valued) == 1:
        alone, group = f"{valued[0].label} alone has {_article(loaded)}, {valued[0].value:.1f}", key_of("group")
        return f"{alone}: {group} groups by something else."
    first = next((row for row in valued if row.role == "best"), valued[0])
    if note is not None:
        return f"{first.label} has the highest mean {_of(loaded)}, {first.value:.1f}; {note}."
    pinned = next((row for row in top if row.role == "baseline"), None)
    if pinned is not None:
        return _beside(loaded, pinned, [row for row in valued if row is not pinned], most)
    others = [row for row in valued if row is not first]
    paired = [row for row in others if row.difference is not None]
    if not paired:
        return f"{first.label} has the highest mean {_of(loaded)}, {first.value:.1f}; nothing can be paired, so how sure is open."
    tied = [row for row in paired if row.difference is not None and not row.difference.apart]
    left = len(others) - len(paired)
    rest = f" {left} could not be paired." if left else ""
    if tied:
        return f"{first.label} cannot be told from {_names(tied, most)} {_of(loaded)}{_reach(tied)}.{rest}"
    second = paired[0]
    assert second.difference is not None
    found = second.difference
    how = "over images, one seed" if found.over_images else "paired"
    reach = f"{plus_minus(-found.high)} to {plus_minus(-found.low)}"
    inside = f"in {found.lost} of {found.pairs} matched pairs ({how}, 95 %: {reach})"
    than = second.label if len(paired) == 1 else f"{second.label}, the next,"
    return f"{first.label} {_claim(loaded)}: better than {than} {inside}.{rest}"


def _beside(loaded: Loaded, pinned: LabRow, others: Sequence[LabRow], most: int) -> str:
    """Against the baseline: who is above it, who below, who cannot be told from it."""
    apart = [row for row in others if row.difference is not None and row.difference.apart]
    above = [row for row in apart if row.difference is not None and row.difference.value > 0]
    below = [row for row in apart if row not in above]
    tied = [row for row in others if row.difference is not None and not row.difference.apart]
    said = [
        f"{word}: {_names(found, most)}"
        for word, found in (("better", above), ("worse", below), ("not to be told from it", tied))
        if found
    ]
    if not said:
        return f"against {pinned.label} nothing can be paired."
    return f"against {pinned.label} {_of(loaded)} (paired, 95 % each) {'; '.join(said)}."


def _reach(tied: Sequence[LabRow]) -> str:
    """How far apart the two may be, where it is two."""
    found = tied[0].difference
    if len(tied) != 1 or found is None:
        return " (paired, 95 % each)"
    how = "over images, one seed" if found.over_images else f"{found.pairs} matched pairs"
    return f" ({how}, 95 %: {plus_minus(-found.high)} to {plus_minus(-found.low)})"


def _names(rows: Sequence[LabRow], most: int) -> str:
    """So many of them at most, and how many others there are."""
    more = len(rows) - most
    if not most:
        return f"{more} other{_s(more)}"
    return ", ".join(row.label for row in rows[:most]) + (f" and {more} more" if more > 0 else "")


def _article(loaded: Loaded) -> str:
    return "an innate score" if loaded.score == "innate" else f"a {score_words(loaded.score)}"


def _of(loaded: Loaded) -> str:
    """ "at ε 0.1", "over ε 0…0.3" or "on clean images"."""
    if loaded.score == "clean_accuracy":
        return "on clean images"
    if loaded.score in SINGLE:
        return f"at ε {loaded.eps:g}" if loaded.eps is not None else "under attack"
    return radius_words(loaded) or "under attack"


def _claim(loaded: Loaded) -> str:
    match loaded.score:
        case "worst_case":
            return f"is most robust {_of(loaded)}"
        case "retention":
            return f"keeps most of its accuracy {_of(loaded)}"
        case "clean_accuracy":
            return "is most accurate on clean images"
        case "curve_area":
            return f"has the largest area under its curve {_of(loaded)}"
    return f"has the highest innate score {_of(loaded)}"


# --- what is weak ---


def weak(
    row: LabRow | None, found: Sequence[Weakness], *, here: bool, key_of: KeyOf, fits: Callable[[str], bool]
) -> Content:
    """What speaks against a row's numbers; where the cursor stands on it (`here`) also which key helps. Of reasons that are too
    long, so that it does not fit, the beginning: their numbers stand in the run's detail."""
    failed = "" if row is None or not here else _failed(row, row.states.get("failed", 0), key_of)
    if row is None or not (found or failed):
        return Content("")
    if not found:
        return Content.assemble((_WEAK, "bold $warning"), failed)
    worst = found[0]
    count, what = (worst.variants, "variant") if row.kind == "group" else (worst.trials, "run")
    who = f"{row.label} is" if row.kind == "trial" else f"{count} {row.label} {what}{_s(count)}"
    more = f" ({len(found) - 1} other reason{_s(len(found) - 1)})" if len(found) > 1 else ""
    key = f" → {key_of('harder')} attack harder" if here and worst.trust == "suspect" else ""
    before, after = f"{who} {worst.trust}: ", f"{more}{key}{'; ' if failed else ''}{failed}"
    reasons = _beginning("; ".join(worst.reasons), lambda text: fits(f"{_WEAK}{before}{text}{after}"))
    return Content.assemble((_WEAK, "bold $warning"), before, reasons, after)


def _failed(row: LabRow, count: int, key_of: KeyOf) -> str:
    return f"{count} {row.label} run{_s(count)} failed → {key_of('retry')} run again" if count else ""


def _beginning(text: str, fits: Callable[[str], bool]) -> str:
    """As many of its words as fit."""
    words = text.split()
    if fits(text):
        return text
    count = bisect_left(range(len(words)), True, key=lambda count: not fits(f"{' '.join(words[:count])} …"))
    return f"{' '.join(words[: max(0, count - 1)])} …"


def here(row: LabRow) -> Content:
    """A row's name in full, where the table has no room for it."""
    return Content.assemble((_HERE, "bold"), row.label)


def in_lines(text: str, width: int) -> int:
    """How many lines of that width it takes."""
    return sum(len(wrapped([line], width, 0)) for line in text.splitlines())


def _s(count: int) -> str:
    return "" if count == 1 else "s"


# --- the same from the command line ---


def results_command(loaded: Loaded) -> str:
    command = f"innate results --study {shlex.quote(loaded.study.name)}"
    if VARIANT not in loaded.by:
        command += f" --by {','.join(loaded.by)}"
    command += f" --score {loaded.score}"
    if loaded.reading.eps is not None and VARIANT not in loaded.by:
        command += f" --eps {loaded.reading.eps:g}"
    return command


def commands(loaded: Loaded, trials: Sequence[str], meant: Sequence[str]) -> Mapping[str, str]:
    """Action → command; `trials` are those of the row under the cursor, `meant` those that a change would be about."""
    shown = results_command(loaded)
    study = shlex.quote(loaded.study.name)
    one = short_id(trials[0]) if trials else "TRIAL"
    changed = " ".join(map(short_id, meant)) or "TRIAL"
    marked = " ".join(f"--trial {short_id(trial)}" for trial in meant) or f"--trial {one}"
    listed = "innate trials" + (f" --filter {shlex.quote(loaded.chosen.text)}" if loaded.chosen.text else "")
    return {
        "group": shown,
        "radius(1)": shown,
        "score": shown,
        "study": f"innate results --study {study}",
        "filter": listed,
        "open": f"innate show {one}",
        "mark": f"innate chart curves --study {study} {marked}",
        "export": f"{shown} --format csv",
        "delete": f"innate delete {changed}",
        "retry": f"innate retry {changed}",
    }


GROUPINGS: tuple[tuple[str, str], ...] = (
    *((factor, "a row is a mean over all that have it") for factor in FACTORS),
    (VARIANT, "all but the seed: a row is a mean over seeds"),
    (SEED, "what a seed alone does"),
    (NONE, "every run in a list"),
)
"""What rows can be grouped by, each in a sentence."""

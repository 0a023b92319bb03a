"""A comparison for a person: who is who, what differs in how they were made, the table of results, and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from app.report.comparison import Comparison, Outcome, is_bound
from app.report.sides import LEVEL
from app.report.text import ranges, table, wrapped
from core.names import FACTORS, NORM_SIGNS, short_id
from core.verdict.findings.contrast import Group
from core.verdict.findings.find import bound_of
from core.verdict.findings.versus import Versus
from core.verdict.scoring import SCORES

SHORT = {"clean_accuracy": "clean", "worst_case": "worst"}
"""Columns of the results, by score."""
MOST_VALUES = 4
"""Of one key on one side that are named; more are counted."""


def comparison_page(found: Comparison, width: int) -> str:
    """For a person: who is who, what differs in how they were made, and the table of results with what it rests on."""
    parts = [
        *wrapped([_title(found)], width),
        *wrapped([f"{letter}  {_about(found, one)}" for letter, one in _lettered(found)], width),
    ]
    if found.made.differing:
        headings = ["differs", "A", "B"]
        lines = [[key, _listed(one), _listed(other)] for key, (one, other) in found.made.differing.items()]
        parts += ["", table(headings, _fitting(lines, width), width)]
    parts += ["", *wrapped([_alike(found)], width)]
    if not found.measured:
        return "\n".join([*parts, "", "Nothing was measured of both."])
    return "\n".join([*parts, "", _results(found, width), "", *wrapped(_foot(found), width)])


def _lettered(found: Comparison) -> list[tuple[str, Outcome]]:
    return [("A", found.first), ("B", found.second)]


def _title(found: Comparison) -> str:
    kind = found.first.side.kind
    return f"{found.study}: two {kind}s, A less B"


def _about(found: Comparison, one: Outcome) -> str:
    """A side in a line: what it is called, of how many models, whether they can be believed."""
    text = one.side.named
    if not found.of_trials:
        count = len(one.models)
        text += f": {count} model{'' if count == 1 else 's'}"
        if one.seeds:
            text += f", seed{'' if len(one.seeds) == 1 else 's'} {ranges(one.seeds)}"
    if one.trust == "ok":
        return f"{text}; trust ok"
    counts = [
        f"{count} of {len(one.models)} {trust}"
        for trust in ("suspect", "invalid")
        if (count := sum(model.trust == trust for model in one.models))
    ]
    return f"{text}; trust: {one.trust if found.of_trials else ', '.join(counts)}"


def _fitting(lines: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Values cut so that both columns have room."""
    room = max(8, (width - max(len(line[0]) for line in lines) - 4) // 2)
    return [[line[0], *(cell if len(cell) <= room else f"{cell[: room - 1]}…" for cell in line[1:])] for line in lines]


def _listed(values: Sequence[str]) -> str:
    if len(values) > MOST_VALUES:
        return f"{len(values)} values"
    return ", ".join(values)


def _seeds(values: Sequence[str]) -> str:
    """All of them in few characters; of imported models none is known."""
    return ranges(sorted(int(value) for value in values if value.isdecimal()))


def _alike(found: Comparison) -> str:
    """What both were made of, in a sentence, and what they are paired over."""
    same, counted = [], 0
    for key, value in found.made.alike.items():
        if key in ("dataset", "training.epochs", *FACTORS):
            same.append("no defense" if (key, value) == ("defense", "none") else f"{key.split('.')[-1]} {value}")
        elif key == "train_samples":
            same.append(f"{value} training images")
        elif key == "seed":
            same.append(f"seed {value}")
        else:
            counted += 1
    text = f"The same: {', '.join(same)}" + (f", and {counted} options" if counted else "") + "."
    shared = [
        f"{key} ({_seeds(values) if key == 'seed' else _listed(values)})"
        for key, values in found.made.shared.items()
        if key in (*FACTORS, "seed")
    ]
    if shared and found.paired:
        text += f" Paired by {', '.join(shared)}."
    return text


def _results(found: Comparison, width: int) -> str:
    names = measure_names(found)
    lines = []
    for one in found.measured:
        cells = [names[one.measure.attack_id or one.measure.name]]
        for value, side in ((one.first, found.first), (one.second, found.second)):
            shown = "-" if value is None else f"{100 * value:.1f}"
            cells.append(f"≤{shown}" if value is not None and is_bound(side, one) else shown)
        cells += difference_cells(one)
        if found.of_trials:
            test = one.mcnemar
            cells += ["", "", ""] if test is None else [str(test.only_first), str(test.only_second), p_text(test.p)]
        else:
            cells.append(f"{one.found.won}/{one.found.pairs}" if one.found.pairs else "-")
        lines.append(cells)
    headings = ["", "A", "B", "A − B", "95 % CI", *(["only A", "only B", "p"] if found.of_trials else ["won"])]
    return table(headings, lines, width, right=range(1, len(headings)), fill=0)


def difference_cells(one: Versus) -> list[str]:
    """The paired difference and its interval, in points; "-" where nothing is paired."""
    if one.found.spread is None or one.interval is None:
        return ["-", "-"]
    low, high = one.interval
    return [f"{100 * one.found.spread.mean:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}"]


def measure_names(found: Comparison) -> dict[str, str]:
    """By attack or score; attacks of another norm or ε than the score's say so, namesakes are told apart."""
    named = {}
    for measure in (one.measure for one in found.measured):
        if measure.attack_id is None:
            named[measure.name] = SHORT.get(measure.name, measure.name)
            continue
        threat, text = found.threat, measure.attack or ""
        if threat is None or (measure.norm, measure.eps) != (threat.norm, threat.eps):
            text += f" {NORM_SIGNS[measure.norm or '']} {measure.eps:g}"
        named[measure.attack_id] = text
    for key, text in list(named.items()):
        if list(named.values()).count(text) > 1 and key not in SHORT:
            named[key] = f"{text} {short_id(key)[:6]}"
    return named


def _foot(found: Comparison) -> list[str]:
    """What the table rests on, and what it does not say."""
    images = len(found.first.models[0].outcomes.clean)
    at = "" if found.threat is None else f" at {NORM_SIGNS[found.threat.norm]} ε = {found.threat.eps:g}"
    score = next((one.measure.name for one in found.measured if not one.measure.bits), None)
    unit = "" if score is None else f"; {score} {'in %' if SCORES[score].percent else '0 to 100'}"
    text = [f"Accuracies in % of the same {images} test images, worst: under every attack{at}{unit}."]
    if found.of_trials:
        text.append(
            "This model against that one, over images: it says nothing of other seeds. only A, only B: images that one alone "
            "classifies rightly; p: McNemar's exact test, the interval of an accuracy Tango's."
        )
    elif found.paired:
        over = "seed and image" if found.first.side.kind != LEVEL else "seed, image and every other choice"
        text.append(f"A − B: paired by {over}; won: pairs in which A is the better. Each interval by itself.")
    text += gaps(found) + doubts(found)
    return text


def gaps(found: Comparison) -> list[str]:
    """What could not be compared, or only in part, and what would change that."""
    text = []
    if found.uncommon:
        names = dict.fromkeys(one.name for one in found.uncommon)
        text.append(
            f"Left out, since only some of these models had them: {', '.join(names)}; even out: innate attack --study "
            f"{found.study} --level"
        )
    if found.of_trials:
        return text
    seeds = [set(one.seeds) for one in (found.first, found.second)]
    if not found.paired:
        if not all(seeds):
            why = "weights that were trained elsewhere have no seed to pair by; compare two trials by their ids"
        elif not seeds[0] & seeds[1]:
            why = f"they have no seed in common; {_mend(found)}"
        else:
            why = f"no seed of any combination of the other choices has both; {_mend(found)}"
        return [*text, f"No pairs, so no difference: {why}."]
    missing = max(one.found.missing for one in found.measured)
    if missing:
        lack = "1 pair lacks a side and is" if missing == 1 else f"{missing} pairs lack a side and are"
        text.append(f"{lack} left out; {_mend(found)}.")
    if all(one.found.spread is None or one.found.spread.seeds is None for one in found.measured):
        text.append(
            "One seed: the intervals are over images only, and say nothing of other seeds; more seeds: innate run FILE --set "
            "seeds=5."
        )
    return text


def _mend(found: Comparison) -> str:
    """The command that gives what is missing a result."""
    if found.unfinished.get("failed"):
        return f"failed trials go on with: innate retry --study {found.study}"
    if found.unfinished:
        return "trials are waiting: innate run, or innate worker start"
    return "add what is missing to the study file, and: innate run FILE"


def doubts(found: Comparison) -> list[str]:
    """What audits, or their absence, leave open."""
    text = []
    if any(is_bound(side, one) for one in found.measured for side in (found.first, found.second)):
        text.append(f"≤: not audited, so an upper bound only; innate attack --study {found.study} --audit")
    uneven = sum(model.uneven for side in (found.first, found.second) for model in side.models)
    if uneven:
        text.append(
            f"{uneven} of these models {'was' if uneven == 1 else 'were'} not attacked like the rest; "
            f"even out: innate attack --study {found.study} --level"
        )
    for one in found.measured:
        if one.measure.name == "worst_case" and one.found.spread is not None:
            bound = bound_of(one.found, [Group(1.0, ()), Group(-1.0, ())])
            if bound is not None and abs(one.found.spread.mean) <= bound:
                text.append(
                    f"worst: the better one may be too high by {100 * bound:.1f} points (audit, 95 %), and the difference is no "
                    "larger than that."
                )
    return text


def p_text(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"

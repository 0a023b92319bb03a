"""What stands behind the finding under the cursor, in words and tables: what it rests on, its pairs, what settling it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from app.report import cause_words
from app.report import finding_words as words
from app.report.described import ranks_text, variance_table
from app.report.findings import Findings, basis, head
from app.report.replication import answers, side_by_side
from app.report.settle import Outlook
from app.report.settle_words import cost_text, left, told
from app.report.text import distinct, wrapped
from app.tui.findings.table import CLAIMS, SILENT, verdict
from app.tui.shell.keys import KeyOf
from app.tui.widgets.grid import Column, Line, named_cell
from core.names import full_name
from core.verdict.findings import Finding, Hindrance
from core.verdict.findings.finding import Kind, Part

if TYPE_CHECKING:
    from core.verdict.findings.models import Model
    from core.verdict.findings.pairs import Pair

Styled = tuple[str, str]
"""A paragraph and its style."""
PairTable = tuple[list[Column[Line]], list[Line]]
"""What the table of pairs is filled with."""

_QUIET = "$foreground 70%"
COMPOSE, _QUEUE = "mode('compose')", "mode('queue')"
_HELPS = {
    Hindrance.NO_MODELS: (_QUEUE, " Queue"),
    Hindrance.RUNNING: (_QUEUE, " Queue"),
    Hindrance.ONE_SEED: ("settle", ""),
    Hindrance.NO_LEVEL: (COMPOSE, " Compose"),
    Hindrance.ONE_LEVEL: (COMPOSE, " Compose"),
    Hindrance.NO_DEFENSE: (COMPOSE, " Compose"),
    Hindrance.FEW_ATTACKS: (COMPOSE, " Compose"),
}
"""Where the screens have a key for what helps: its action, and where that leads; elsewhere the command does."""
_FIRST = 2
"""Lines of the basis that stand before all else: the difference that decides, and the test."""


def rests(found: Findings, one: Finding, settling: Mapping[str, tuple[int, int]], width: int, key_of: KeyOf) -> Content:
    """The claim in full, what decides it, what stands beside it and what in its way."""
    said: list[Styled] = [(f"{verdict(one, settling, wide=True)}  {words.claim(one.key)}", "bold")]
    measured = basis(one)
    said += [(line, "") for line in measured[:_FIRST]]
    if one.obstacles:
        said.append(("What stands in the way:" if measured else "Why it cannot say:", _QUIET))
        said += [(line, "") for line in _ways(found, one, key_of)]
    if measured[_FIRST:]:
        said.append(("Beside it:", _QUIET))
        said += [(line, "") for line in measured[_FIRST:]]
    if len(one.parts) > 1:
        said.append((f"All {len(one.parts)} comparisons, the one that decides marked:", _QUIET))
        said += [(_compared(part, deciding=part is one.deciding), "") for part in one.parts]
    return prose(said, width)


def _ways(found: Findings, one: Finding, key_of: KeyOf) -> list[str]:
    """What stands in its way, and the command or the key that would change that."""
    lines = []
    for obstacle in one.obstacles:
        action, where = _HELPS.get(obstacle.kind, ("", ""))
        here = f"; here: {key_of(action)}{where}" if action else ""
        lines.append(f"{words.way(obstacle, one, found.study).told}{here}")
    return lines


def _compared(part: Part, *, deciding: bool) -> str:
    under = "worst case" if part.attack is None else part.attack
    mark = "►" if deciding else " "
    spread = part.found.spread
    if spread is None:
        return f"{mark} {part.level} against {part.other}, {under}: no pairs"
    won = f"won {part.found.won} of {part.found.pairs}"
    return f"{mark} {words.points(spread.mean):>6}  {part.level} against {part.other or 'the others'}, {under} ({won})"


def of_heading(found: Findings, heading: str, width: int, key_of: KeyOf) -> Content:
    """What is to be said of all claims together, or of a factor's levels, and of the study as a whole."""
    said: list[Styled] = []
    if heading == SILENT:
        said.append(("What this study cannot say, and what would let it:", "bold"))
        for one in found.found:
            if one.kind is not Kind.EFFECT and one.effect is None:
                said.append((words.claim(one.key), ""))
                said += [(f"  {line}", _QUIET) for line in _ways(found, one, key_of)]
        return prose(said, width)
    if heading != CLAIMS:
        said.append((f"{heading}: each level's worst case against the mean of the others", "bold"))
        said.append(("Paired by seed, image and every other choice; of two levels the one against the other.", ""))
        said += [(ranks_text(ranks), "") for ranks in found.described.ranks if ranks.factor == heading]
        said.append((" ", ""))
    said += [(" ".join(paragraph.split()), "") for paragraph in "\n".join(head(found, width)).split("\n\n")]
    lines = [prose(said, width)]
    if found.described.variance is not None:
        lines += [Content(""), *(Content(line) for line in variance_table(found.described.variance, width))]
    supposed = cause_words.assumptions(found.found)
    if supposed is not None:
        lines += [Content(""), *(Content(line) for line in wrapped([supposed], width, 0))]
    return Content("\n").join(lines)


def caption(one: Finding, part: Part, key_of: KeyOf) -> str:
    """What the pairs are of, and how many do not go the way of their mean."""
    spread, several = part.found.spread, len(one.parts)
    assert spread is not None, "there are pairs"
    than = f"{part.level} against {part.other}" if part.other else f"{part.level} against the mean of the others"
    under = "worst case" if part.attack is None else part.attack
    contrary = part.found.lost if spread.mean >= 0 else part.found.won
    way = (
        f"{contrary} of {part.found.pairs} go{'es' if contrary == 1 else ''} the other way"
        if contrary
        else f"none of {part.found.pairs} goes the other way"
    )
    more = f"; {key_of('comparison')}: the next of {several} comparisons" if several > 1 else ""
    decides = "" if part is one.deciding or several == 1 else " (not the one that decides)"
    return f"{than}, {under}{decides}: {words.points(spread.mean)} points; {way}{more}"


def pair_table(found: Sequence[Pair], mean: float, width: int) -> PairTable:
    """A line for each pair, those first that go another way than their mean; `Line.key` is the pair's place in `found`."""
    order = sorted(range(len(found)), key=lambda place: found[place].difference * (1.0 if mean >= 0 else -1.0))
    numbers = [
        Column("pairs seed", "seed", 4, named_cell("seed"), right=True),
        Column("pairs level", "level", 6, named_cell("level"), right=True),
        Column("pairs other", "other", 6, named_cell("other"), right=True),
        Column("pairs differs", "points", 6, named_cell("differs"), right=True),
        Column("pairs way", "", 9, named_cell("way")),
    ]
    room = width - 3 - sum(column.width + 1 for column in numbers)  # the place of marks, and the gap behind the names
    blocks = distinct([" ".join(pair.levels.values()) for pair in found], room)
    longest = max(map(len, blocks), default=0)
    columns = [Column(f"pairs of {longest}", "of", longest, named_cell("block"))] if longest else []
    columns += numbers
    lines = []
    for place in order:
        pair = found[place]
        contrary = pair.difference * mean < 0
        lines.append(
            Line(
                place,
                {
                    "block": (blocks[place], ""),
                    "seed": (str(pair.seed), ""),
                    "level": (f"{100 * pair.level:.1f}", ""),
                    "other": (f"{100 * pair.other:.1f}", ""),
                    "differs": (words.points(pair.difference), "failed" if contrary else ""),
                    "way": ("other way" if contrary else "", "failed"),
                },
            )
        )
    return columns, lines


def run_name(model: Model) -> str:
    """A run of a pair, by everything that was chosen for it."""
    return f"{full_name(model.levels.values())}, seed {model.seed}"


def settling_text(
    one: Finding | None,
    settling: Mapping[str, tuple[int, int]],
    known: Outlook | str | None,
    width: int,
    key_of: KeyOf,
) -> Content:
    """What is open of the finding and of the study, and what it takes to settle that."""
    said: list[Styled] = []
    if one is not None:
        said.append((words.claim(one.key), "bold"))
        if one.key in settling:
            ended, count = settling[one.key]
            said.append(
                (
                    f"settling: {ended} of the {count} trials that were added for it have ended; here: {key_of(_QUEUE)} Queue",
                    "",
                )
            )
    if known is None:
        return prose([*said, ("looking at what is open …", _QUIET)], width)
    if isinstance(known, str):
        return prose([*said, (known, "")], width)
    if one is not None:
        said.append((_state(one, known), ""))
    said.append((cost_text(known), ""))
    if known.more:
        said.append(
            (f"{key_of('settle')} settles: asks first, then keeps this look and queues exactly these trials.", _QUIET)
        )
    elif known.decides:
        said.append(
            (f"{key_of('settle')} keeps this look, which decides {known.decides}; there is nothing to train.", _QUIET)
        )
    return Content("\n").join(
        [prose(said, width), Content(""), *(Content(line) for line in told(known, width).splitlines())]
    )


def _state(one: Finding, known: Outlook) -> str:
    for stage in known.stages.values():
        for decided in stage.decided:
            if decided.key == one.key:
                return f"{decided.verdict} at look {decided.look}, for good"
        for still in stage.undecided:
            if still.key == one.key:
                return left(still, known.study)
    return "this study cannot ask it, so that no further seed settles it"


def beside_text(found: Findings, beside: Findings | None, one: Finding | None, width: int, key_of: KeyOf) -> Content:
    """The same question asked of two studies; of a heading all claims."""
    if beside is None:
        sets = f"{key_of('beside')} sets another study beside this one: what both say of the same question."
        return prose([(sets, "")], width)
    if one is None:
        return Content(side_by_side([found, beside], width))
    lines = answers([found, beside], one.key, width)
    return Content("\n").join([prose([(words.claim(one.key), "bold")], width), *(Content(line) for line in lines)])


def prose(said: Sequence[Styled], width: int) -> Content:
    """Paragraphs folded to the width, continued with an indent."""
    lines = [Content.styled(line, style) for text, style in said for line in _folded(text, width)]
    return Content("\n").join(lines)


def _folded(text: str, width: int) -> list[str]:
    """A line of a table keeps its first spaces."""
    indent = len(text) - len(text.lstrip())
    return [" " * indent + text.strip()] if len(text) <= width else wrapped([text], width, indent + 4)

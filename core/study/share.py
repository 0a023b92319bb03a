"""One of several parts of a study, so that as many machines can each work through one: the same on every machine, without asking
any.

Models of one architecture and defense cost about the same, and each kind of them is dealt out in turn: every share gets as many
of each kind, to within one. A cell that is tuned is dealt out whole, its candidates and what is compared.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from core.errors import BadInput
from core.identity import canonical_json, digest
from core.records.study import Plan
from core.records.trial import TrialSpec

_MOST = 1_000_000
_FORM = re.compile(r"([0-9]{1,7})/([0-9]{1,7})")


@dataclass(frozen=True)
class Share:
    """The `number`th, from 1, of `of` shares."""

    number: int
    of: int


def parse_share(text: str) -> Share:
    """What `--share I/N` says. Raises BadInput for anything else."""
    match = _FORM.fullmatch(text.strip())
    share = Share(int(match[1]), int(match[2])) if match else None
    if share is None or not 1 <= share.of <= _MOST:
        raise BadInput(f"--share {text}: expected I/N, such as 1/4 for the first of four", key="--share")
    if not 1 <= share.number <= share.of:
        raise BadInput(f"--share {text}: shares are counted from 1 to {share.of}", key="--share")
    return share


def only(plan: Plan, share: Share, there: Collection[str] = (), cells_there: Collection[int] = ()) -> Plan:
    """`plan` with the trials and cells of one share, and with those of its trials (ids) and cells (positions) that are `there`
    already: so shares that are run one after the other in one home add up."""
    order = sorted((_kind(trial), trial.id, place) for place, trial in plan.placed)
    dealt = {place for turn, (*_, place) in enumerate(order) if turn % share.of == share.number - 1}
    cell_order = sorted((_kind(cell.compared), digest(cell.as_json()), cell.position) for cell in plan.cells)
    mine = {
        position for turn, (*_, position) in enumerate(cell_order) if (turn + len(order)) % share.of == share.number - 1
    }
    kept = [(place, trial) for place, trial in plan.placed if place in dealt or trial.id in there]
    return replace(
        plan,
        trials=tuple(trial for _, trial in kept),
        places=tuple(place for place, _ in kept),
        cells=tuple(cell for cell in plan.cells if cell.position in mine or cell.position in cells_there),
    )


def _kind(trial: TrialSpec) -> str:
    """What a trial's time hangs on most."""
    defense = None if trial.defense is None else trial.defense.as_json()
    return canonical_json([trial.architecture.as_json(), defense])

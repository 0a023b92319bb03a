"""One more attack on trained trials, by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.worker import changes
from core.attacks import ATTACKS, parse_norm
from core.errors import BadInput
from core.records.study import Study
from storage import queries
from storage.changes import Attack, Attacked
from storage.home import Home
from storage.studies import stored_study, study_with
from storage.trial import trial_detail

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.reading import Json, Options
    from storage.rows import ResultRow


def study_of(db: Database, trials: Sequence[str]) -> str:
    """The study run last that has all of `trials`; raises BadInput where none has."""
    found = study_with(db, trials)
    if found is None:
        raise BadInput("attack: no study has all of these trials; name fewer at a time")
    return found


def add(
    db: Database, home: Home, study: str, trials: Sequence[str], name: str, options: Options, eps: Sequence[str] | None
) -> Attacked:
    """Have the attack `name` tried on these trials of `study`. Without `eps` at the radii that the study attacks in its norm,
    unless it finds distances itself. Raises BadInput naming the option at fault, NotFound for a trial outside the study."""
    given: dict[str, Json] = dict(options)
    if eps is not None:
        given["eps"] = list(eps)
    elif not ATTACKS.find(name, "--attack").minimum_norm:
        given["eps"] = _usual_radii(stored_study(db, study), given)
    return changes.perform(db, home, Attack(study, tuple(trials), name, given))


def results_of(db: Database, added: Attacked, trials: Sequence[str]) -> list[ResultRow]:
    """What the attack has come to on these trials so far."""
    return [
        row for trial in trials for row in queries.results(db, added.study, trial) if row.attack_id == added.attack_id
    ]


def any_failed(db: Database, trials: Sequence[str]) -> bool:
    """Whether one of these trials has failed in a study."""
    return any(one.state == "failed" for trial in trials for one in trial_detail(db, trial).studies)


def _usual_radii(study: Study, options: Options) -> list[float]:
    norm = parse_norm(options["norm"], "--set norm") if "norm" in options else "linf"
    known = sorted({radius for attack in study.attacks if attack.norm == norm for radius in attack.eps})
    if not known:
        raise BadInput(f"--eps: the study {study.name} attacks nothing in {norm}; give radii such as --eps 0.1,8/255")
    return known

"""The ways to attack models harder than their study did: what each does, what it changes of the numbers, what it costs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.report.attack_cost import Cost, Models, cost_of_attacks, cost_of_audits, cost_of_climb, models_of
from app.report.toml import toml_value
from app.worker.equal_effort import lacking_attacks
from core.attacks import ATTACKS, check_classes, check_eps, resolve
from core.attacks.price import price
from core.errors import BadInput
from core.names import NORM_SIGNS, short_id
from core.records.attack import AttackSpec, AuditSettings, Threat
from core.verdict.audited import wanted_audits
from core.verdict.ledgers import USUAL_EPS
from core.verdict.trust.ladder import rungs
from storage import studies
from storage.changes import Attack, Audit, Change, Escalate, Level

if TYPE_CHECKING:
    from sqlite_utils import Database

MOST_CLIMBS = 100
"""Models that are escalated at once: each is looked at whole before its first rung."""
STRONGER: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("apgd", {}),
    ("apgd", {"loss": "targeted"}),
    ("square", {}),
    ("standard", {}),
)
"""What is offered by name; any other attack can be asked for, too."""
_COUNTS = "What it breaks counts in a model's own worst case and verdict; rankings count it once all models have had it (level)."


@dataclass(frozen=True)
class Target:
    """The models that are to be attacked, and what their study attacked them with."""

    study: str
    trials: tuple[str, ...]
    """Those of the chosen ones that are trained."""
    finished: tuple[str, ...]
    """Those of them that have had every attack of the study."""
    asked: int
    threat: Threat
    radii: tuple[float, ...]
    """The ε attacked in the threat's norm, else the threat's own."""
    usual: bool
    """Whether an attack that names no ε gets these."""
    scored: bool
    """Whether the threat is the study's own; a study that scores at no radius has the usual one."""
    strongest: AttackSpec
    """Of the study's attacks in that norm the dearest that is tried at given ε."""
    shape: tuple[int, int, int]
    models: Models


@dataclass(frozen=True)
class Way:
    """One way: `change` asks the worker for it, `command` does the same; `cost` is of all models it concerns."""

    name: str
    about: str
    change: Change[Any]
    cost: Cost
    command: str


def target_of(db: Database, study: str, trials: Sequence[str]) -> Target:
    """Raises NotFound for an unknown study, BadInput where none of the trials is trained."""
    stored = studies.stored_study(db, study)
    row = studies.study_row(db, study)
    chosen = tuple(dict.fromkeys(trials))
    known = set(studies.trained_trials(db, study))
    trained = tuple(trial for trial in chosen if trial in known)
    if not trained:
        what = "this run is not" if len(chosen) == 1 else f"none of these {len(chosen)} runs is"
        raise BadInput(f"{what} trained, so there is nothing to attack yet")
    done = set(studies.done_trials(db, study))
    norm = row.threat_norm or "linf"
    own = tuple(sorted({eps for attack in stored.attacks if attack.norm == norm for eps in attack.eps}))
    eps = row.threat_eps or USUAL_EPS[norm]
    swept = [one for one in stored.attacks if one.norm == norm and one.eps]
    models = models_of(db, study, trained)
    channels, height, width = row.shape
    return Target(
        study=study,
        trials=trained,
        finished=tuple(trial for trial in trained if trial in done),
        asked=len(chosen),
        threat=Threat(norm, float(eps)),
        radii=own or (float(eps),),
        usual=bool(own),
        scored=row.threat_eps is not None,
        strongest=max(
            swept or [resolve("pgd", {"norm": norm, "eps": [eps]}, "attack")],
            key=lambda one: price(one, models.tested.classes),
        ),
        shape=(int(channels), int(height), int(width)),
        models=models,
    )


def ways(db: Database, target: Target) -> list[Way]:
    """Every way that needs nothing more to be said, in the order in which to offer them."""
    found = [escalation(db, target)] if target.finished else []
    found += [attack(db, target, name, options) for name, options in STRONGER]
    return [*found, level(db, target.study), full_audit(db, target.study)]


def escalation(db: Database, target: Target) -> Way:
    """Of the models that are done, MOST_CLIMBS at most."""
    trials, threat = target.finished[:MOST_CLIMBS], target.threat
    models = models_of(db, target.study, trials)
    names = ", ".join(dict.fromkeys(rung.name for rung in rungs(threat)))
    at = f"{NORM_SIGNS[threat.norm]} ε {threat.eps:g}"
    about = f"{names}: each on what still stands at {at}, until nothing more falls. {_COUNTS}"
    radius = "" if target.scored else f" --eps {threat.eps!r}"
    if len(trials) < len(target.trials):
        about += f" {len(trials)} of {len(target.trials)} runs: those that are done, {MOST_CLIMBS} at once at most."
    return Way(
        "escalate",
        about,
        Escalate(target.study, trials, threat),
        cost_of_climb(db, models, threat),
        f"innate attack {_ids(trials)} --escalate{radius} --study {shlex.quote(target.study)}",
    )


def attack(db: Database, target: Target, name: str, options: Mapping[str, Any]) -> Way:
    """One attack with some options, at the ε of the study unless `eps` is among them. Raises BadInput naming the option at
    fault."""
    entry, given = ATTACKS.find(name, "attack"), attack_options(target, name, options)
    spec = resolve(name, given, name)
    words = [
        f"--set {shlex.quote(f'{key}={_value(value)}')}" for key, value in options.items() if key not in ("eps", "norm")
    ]
    if spec.norm != entry.norms[0]:
        words.insert(0, f"--set norm={spec.norm}")
    if spec.eps and not (target.usual and spec.norm == target.threat.norm and spec.eps == target.radii):
        words.insert(0, f"--eps {','.join(map(repr, spec.eps))}")
    radii = f"at ε {', '.join(f'{eps:g}' for eps in spec.eps)}" if spec.eps else "for the distance of each image"
    added = [eps for eps in spec.eps if spec.norm != target.threat.norm or eps not in target.radii]
    beside = " Single-ε scores and curve areas keep to the study's own ε." if added else ""
    return Way(
        " ".join([name, *map(_shown, options.items())]),
        f"{entry.summary}; {NORM_SIGNS[spec.norm]}, {radii}, on every test image.{beside} {_COUNTS}",
        Attack(target.study, target.trials, name, given),
        cost_of_attacks(db, target.models, [spec]),
        " ".join(
            [f"innate attack {_ids(target.trials)} --attack {name}", *words, f"--study {shlex.quote(target.study)}"]
        ),
    )


def attack_options(target: Target, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` with the norm and the ε of the study where they name none. Raises BadInput naming the one at fault."""
    entry = ATTACKS.find(name, "attack")
    norm = target.threat.norm if target.threat.norm in entry.norms else entry.norms[0]
    given: dict[str, Any] = {"norm": norm, **options}
    if not entry.minimum_norm and "eps" not in given:
        given["eps"] = list(target.radii)
    spec = resolve(name, given, name)
    check_eps(spec, target.shape, f"{name}.eps")
    check_classes(spec, target.models.tested.classes, name)
    return given


def more_radii(target: Target, radii: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """(name, options) of the study's strongest attack at other ε."""
    spec = target.strongest
    usual = {parameter.name: parameter.default for parameter in ATTACKS[spec.name].parameters}
    given = {key: value for key, value in spec.params.items() if usual.get(key) != value}
    seed = {"seed": spec.seed} if spec.seed else {}
    return spec.name, {"eps": list(radii), **given, **seed}


def level(db: Database, study: str) -> Way:
    """Equal effort for every model of the study."""
    wanted = lacking_attacks(db, study)
    names = ", ".join(dict.fromkeys(one.name for one in wanted))
    about = (
        f"Every model of {study} gets what any of them was attacked with beside the study's attacks: {names}. Rankings and "
        "comparisons then count it."
        if wanted
        else f"All models of {study} have had the same attacks already, and no audit broke any."
    )
    models = models_of(db, study, studies.trained_trials(db, study))
    cost = cost_of_attacks(db, models, wanted)
    return Way("level the study", about, Level(study), cost, f"innate attack --study {shlex.quote(study)} --level")


def full_audit(db: Database, study: str) -> Way:
    """The whole ensemble on a sample of what stands of every model."""
    stored = studies.stored_study(db, study)
    options: dict[str, Any] = {"depth": "full"}
    samples = stored.audit.samples
    if not samples:
        options["samples"] = samples = 64
    settings = AuditSettings(samples, stored.audit.share, "full")
    attacks = studies.attacks_tried(db, study)
    specs = wanted_audits(attacks, stored.threat, settings)
    members = {spec.norm: resolve("standard", {"norm": spec.norm, "eps": list(spec.eps)}, "audit") for spec in specs}
    models = models_of(db, study, studies.trained_trials(db, study))
    about = (
        f"The whole of standard on {samples} images that stand, drawn at each ε, for every model of {study}: says by how many "
        "points at most each number is too high, and what it breaks counts."
    )
    given = "".join(f" --set {key}={value}" for key, value in options.items())
    command = f"innate attack --study {shlex.quote(study)} --audit{given}"
    return Way("audit in full depth", about, Audit(study, options), cost_of_audits(db, models, specs, members), command)


def _ids(trials: Sequence[str]) -> str:
    return " ".join(map(short_id, trials))


def _value(value: Any) -> str:
    return value if isinstance(value, str) else toml_value(value)


def _shown(option: tuple[str, Any]) -> str:
    """An option in few letters: "targeted" says what "loss=targeted" does."""
    key, value = option
    if key == "loss":
        return str(value)
    return f"{key}={','.join(map(str, value)) if isinstance(value, list) else _value(value)}"

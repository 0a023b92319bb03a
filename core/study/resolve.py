"""From a study file to a Study: overrides, names held against the registries, attacks, threat. Torch-free."""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from core.attacks import ATTACKS, norm_of, parse_norm
from core.attacks import resolve as resolve_attack
from core.datasets import parse_source
from core.datasets.folder_options import as_table, written
from core.errors import BadInput, Mistakes, NotFound
from core.models.activations import ACTIVATIONS
from core.models.architectures import ARCHITECTURES
from core.records.attack import AUDIT_DEPTHS, AttackSpec, AuditSettings, Threat
from core.records.choice import Choice
from core.records.data import DatasetSource
from core.records.study import TUNING_SEED, Search, Study, Tuning
from core.records.trial import SEED_ALONE, VARIED, Training
from core.registry import Entry, Registry, nearest, parse_number, resolve_options
from core.study.file import StudyFile, TrainingTable, read, read_audit
from core.study.presets import preset_names, preset_text
from core.study.tuning import candidates
from core.training import optimizers
from core.training.averaging import AVERAGINGS
from core.training.defenses import DEFENSES
from core.training.schedules import SCHEDULES
from core.verdict.ledgers import USUAL_EPS

PROFILES: Mapping[str, str] = {"torch": "torch", "keras": "keras", "tuned": "torch", "tuned-keras": "keras"}
"""What `hyperparameters` may say, and whose update rules and defaults that means."""
TUNED = ("tuned", "tuned-keras")
"""Those by which what an optimizer's entry names as tuned is chosen where it is not given."""
INITIALISATIONS = ("torch", "glorot")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
LARGE_GRID = 10_000
"""Trials above which a study wants an explicit yes: most such grids are a slip of the hand."""
NO_SUBSET = "train_subset moves nothing where all training samples are used; give train_samples, fewer than there are"
_AXES = ("architectures", "optimizers", "activations", "defenses")


def load_study(spec: str, overrides: Sequence[str] = ()) -> Study:
    """The study that `spec` names: a file if there is one (or it looks like a path), else a preset.

    Raises NotFound if there is neither, BadInput for whatever is wrong in it, naming the file and the key.
    """
    path = Path(spec).expanduser()
    if path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{spec}: cannot be read as text: {error}") from None
        return parse_study(apply_overrides(parse_toml(text, spec), overrides), spec, path.parent.resolve())
    if spec in preset_names():
        where = f"preset {spec}"
        return parse_study(apply_overrides(parse_toml(preset_text(spec), where), overrides), where, Path.cwd())
    if path.is_dir():
        raise BadInput(f"{spec}: is a folder, not a study file")
    if path.suffix or "/" in spec:
        raise NotFound(f"{spec}: there is no such study file (write one with `innate init {spec}`)")
    raise NotFound(f"{spec}: neither a preset nor a study file{nearest(spec, preset_names())}")


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """TOML as plain data; raises BadInput with the place of the mistake."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{where}: not valid TOML: {error}") from None


def apply_overrides(document: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """`document` with each "dotted.key=VALUE" set; VALUE is TOML, or else taken as text.

    A text with commas set on an axis, or on `vary`, is a list of names: `optimizers=adam,sgd`.
    """
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key.strip():
            raise BadInput(f"--set {override}: expected KEY=VALUE, such as training.epochs=1")
        path = re.sub(r"\[(\d+)\]", r".\1", key.strip()).split(".")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except (tomllib.TOMLDecodeError, KeyError):
            value = text.strip()
        if path[0] == "dataset" and len(path) > 1:
            document["dataset"] = as_table(document.get("dataset"))
        if path[0] in (*_AXES, "vary") and len(path) == 1 and not isinstance(value, list):
            value = [name.strip() for name in value.split(",")] if isinstance(value, str) else [value]
        _set(document, path, value, override)
    return document


def _set(document: dict[str, Any], path: Sequence[str], value: Any, override: str) -> None:
    here: Any = document
    for part, following in zip(path, [*path[1:], None], strict=True):
        if isinstance(here, list):
            if not part.isdigit() or int(part) >= len(here):
                raise BadInput(f"--set {override}: the list has no item {part!r}", key=".".join(path))
            key: Any = int(part)
        elif isinstance(here, dict):
            key = part
        else:
            raise BadInput(f"--set {override}: {part!r} is not inside a table", key=".".join(path))
        if following is None:
            here[key] = value
        else:
            here = here.setdefault(key, {}) if isinstance(here, dict) else here[key]


def parse_study(document: Mapping[str, Any], where: str, base: Path) -> Study:
    """A Study from plain data in the study file's keys; paths in it are relative to `base`.

    Raises BadInput in one line that starts with `where` and names the key: the first of `mistakes`.
    """
    found = Mistakes()
    file = read(document, found)
    unread = len(found.found)
    study = _resolve(file, base, found)
    if study is None:
        first = found.found[0]
        tail = f" (and {unread - 1} more)" if unread > 1 else ""
        raise BadInput(f"{first.sentence}{tail}", key=first.key, where=where, words=f"{first.words}{tail}")
    return study


def mistakes(document: Mapping[str, Any], base: Path) -> tuple[BadInput, ...]:
    """All that keeps a document from being a study, none if it is one: first what is not a study file's key or type.

    Every table is looked at for itself. What rests on a table at fault is left out: the score's ε, for one, where it is
    not known what is attacked.
    """
    found = Mistakes()
    _resolve(read(document, found), base, found)
    return tuple(found.found)


def study_without_grid(name: str, description: str, source: DatasetSource) -> Study:
    """A study that trains nothing: it holds trials whose weights were trained elsewhere, and attacks added to them."""
    training = _training(TrainingTable(), Mistakes())
    assert training is not None, "its defaults are right"
    return Study(
        name=name,
        description=description,
        source=source,
        architectures=(),
        optimizers=(),
        activations=(),
        defenses=(),
        seeds=(),
        vary=SEED_ALONE,
        train_samples=None,
        test_samples=None,
        training=training,
        attacks=(),
        threat=None,
        audit=AuditSettings(),
        document={"name": name, "description": description, "dataset": written(source)},
    )


def study_from(document: Mapping[str, Any], where: str) -> Study:
    """A Study from the document of one that was accepted before, whose paths are absolute; it may have no grid."""
    if has_grid(document):
        return parse_study(document, where, Path("/"))
    source = parse_source(document["dataset"], Path("/"))
    return study_without_grid(document["name"], document["description"], source)


def has_grid(document: Mapping[str, Any]) -> bool:
    """Whether a stored study trains models of its own; else it only holds imported ones."""
    return "architectures" in document


def audit_settings(options: Mapping[str, Any], settings: AuditSettings, where: str) -> AuditSettings:
    """`settings` with some keys of an `[audit]` table set over them. Raises BadInput naming the key at fault."""
    found = Mistakes()
    table = read_audit({**asdict(settings), **options}, where, found)
    depth = found.attempt(_one_of, table.depth, AUDIT_DEPTHS, f"{where}.depth")
    if found.found or depth is None:
        raise found.error()
    return AuditSettings(table.samples, table.share, depth)


def grid_size(study: Study) -> int:
    """How many trials the study asks for, without making them."""
    axes = (study.architectures, study.optimizers, study.activations, study.defenses, study.seeds)
    return math.prod(len(axis) for axis in axes)


def tuning_size(study: Study) -> int:
    """How many candidates its tuning begins with."""
    if study.tuning is None:
        return 0
    others = (study.architectures, study.activations, study.defenses)
    return math.prod(len(axis) for axis in others) * len(study.tuning.searches) * study.tuning.trials


def refuse_large_grid(study: Study, *, large: bool) -> None:
    """Raises BadInput for more than LARGE_GRID trials unless `large` says that they are meant."""
    trials = grid_size(study) + tuning_size(study)
    if trials > LARGE_GRID and not large:
        told = f"{trials:,} trials, tuning included" if study.tuning else f"{trials:,} trials"
        sentence = f"the grid has {told}, more than {LARGE_GRID:,}; add --yes if so meant"
        raise BadInput(sentence, where=study.name)


def _resolve(file: StudyFile, base: Path, found: Mistakes) -> Study | None:
    """The study; None, and everything that is wrong in `found`, if anything is. It holds already what could not be read."""
    source = None if found.concern("dataset") else found.attempt(parse_source, file.dataset, base)
    training = _training(file.training, found)
    # Whatever the profile was meant to be, an optimizer's own options are right or wrong.
    profile = found.attempt(_profile, file.training.hyperparameters) or "torch"
    attacks = [found.attempt(_attack, table, index) for index, table in enumerate(file.attacks)]
    _note_twins(attacks, [attack.id if attack else None for attack in attacks], "attacks", found)
    architectures = _axis(file.architectures, "architectures", _from_registry(ARCHITECTURES), found)
    chosen = _axis(
        file.optimizers,
        "optimizers",
        lambda name, given, at: optimizers.resolve(name, given, profile, file.training.weight_decay, at),
        found,
    )
    activations = _axis(file.activations, "activations", _from_registry(ACTIVATIONS), found)
    defenses = _axis(file.defenses, "defenses", _defense, found)
    seeds = found.attempt(_seeds, file.seeds)
    subset_known = file.train_samples is not None or found.concern("train_samples")
    vary = found.attempt(_vary, file.vary, subset=subset_known)
    tuning = _tuning(file, chosen, found)
    threat = _threat(file, attacks, found)
    depth = found.attempt(_one_of, file.audit.depth, AUDIT_DEPTHS, "audit.depth")
    if source is None or training is None or seeds is None or vary is None or depth is None or found.found:
        return None
    document = file.model_dump(exclude_unset=True)
    if source.path is not None:
        document["dataset"] = written(source)
    if "vary" in document:
        document["vary"] = list(vary)
    return Study(
        name=file.name,
        description=file.description,
        source=source,
        architectures=architectures,
        optimizers=chosen,
        activations=activations,
        defenses=defenses,
        seeds=seeds,
        vary=vary,
        train_samples=file.train_samples,
        test_samples=file.test_samples,
        training=training,
        attacks=tuple(attack for attack in attacks if attack is not None),
        threat=threat,
        audit=AuditSettings(file.audit.samples, file.audit.share, depth),
        document=document,
        tuning=tuning,
    )


def _training(table: TrainingTable, found: Mistakes) -> Training | None:
    schedule = found.attempt(_schedule, table.schedule)
    initialisation = found.attempt(_one_of, table.initialisation, INITIALISATIONS, "training.initialisation")
    precision = found.attempt(_one_of, table.precision, PRECISIONS, "training.precision")
    averaging = found.attempt(_averaging, table.averaging)
    if schedule is None or initialisation is None or precision is None or averaging is None:
        return None
    return Training(
        epochs=table.epochs,
        batch_size=table.batch_size,
        initialisation=initialisation,
        precision=precision,
        schedule=schedule,
        weight_decay=table.weight_decay,
        label_smoothing=table.label_smoothing,
        augment=table.augment,
        validation=table.validation,
        averaging=averaging,
    )


def _schedule(item: Any) -> Choice:
    name, given = _name_and_options(item, "training.schedule")
    entry = SCHEDULES.find(name, "training.schedule")
    options = resolve_options(entry, given, "training.schedule")
    entry.check(options, "training.schedule")
    return Choice(name, options)


def _averaging(item: Any) -> Choice:
    name, given = _name_and_options(item, "training.averaging")
    return _from_registry(AVERAGINGS)(name, given, "training.averaging")


def _profile(name: str) -> str:
    return PROFILES[_one_of(name, tuple(PROFILES), "training.hyperparameters")]


def _tuning(file: StudyFile, chosen: Sequence[Choice], found: Mistakes) -> Tuning | None:
    """The `[tuning]` table with what it is about, None where nothing is tuned; `chosen` are the optimizers that are right."""
    table, hyperparameters = file.tuning, file.training.hyperparameters
    if hyperparameters not in TUNED:
        if "tuning" in file.model_fields_set and hyperparameters in PROFILES:
            found.note(
                BadInput.at(
                    "tuning", f'is for training.hyperparameters = "tuned" or "tuned-keras", not "{hyperparameters}"'
                )
            )
        return None
    if len(chosen) < len(file.optimizers):  # one is at fault, and the places of the others are not known
        return None
    searches = {}
    for place, item in enumerate(file.optimizers):
        name, given = _name_and_options(item, f"optimizers[{place}]")
        search = optimizers.OPTIMIZERS[name].tuned
        if search.option not in given:
            searches[place] = search
    tuned = {chosen[place].name for place in searches}
    ranges = {
        name: found.attempt(_range, name, options, tuned, [one.name for one in chosen], table.trials)
        for name, options in table.ranges.items()
    }
    for place, search in searches.items():
        searches[place] = ranges.get(chosen[place].name) or search
        _note_tuned_twin(chosen, place, search.option, found)
    if isinstance(seeds := file.seeds, list) and TUNING_SEED in seeds:
        found.note(BadInput.at("seeds", f"{TUNING_SEED} is the seed of what is trained to choose by; take another"))
    epochs = table.epochs or file.training.epochs
    return Tuning(table.trials, table.validation, epochs, table.train_samples or file.train_samples, searches)


def _range(
    name: str, options: Mapping[str, Any], tuned: Collection[str], chosen: Collection[str], trials: int
) -> Search:
    """One entry of `[tuning.ranges]`: {lr = [1e-4, 1e-2]} of an optimizer that is tuned in that option."""
    where = f"tuning.ranges.{name}"
    usual = optimizers.OPTIMIZERS.find(name, where).tuned
    if name not in chosen:
        raise BadInput.at(where, f"the study has no optimizer {name} (it has {', '.join(dict.fromkeys(chosen))})")
    if name not in tuned:
        raise BadInput.at(where, f"its {usual.option} is given under optimizers, so there is nothing to tune")
    wrong = next((option for option in options if option != usual.option), None)
    if wrong is not None or not options:
        raise BadInput.at(where, f"{name} is tuned in {usual.option} alone: {{{usual.option} = [LOW, HIGH]}}")
    where, ends = f"{where}.{usual.option}", options[usual.option]
    if not isinstance(ends, list) or len(ends) != 2:
        raise BadInput.at(
            where, f"expected the two ends of a range, such as [{usual.low:g}, {usual.high:g}], got {ends!r}"
        )
    low, high = (parse_number(end, where) for end in ends)
    if low <= 0:
        raise BadInput.at(where, f"{low:g} is out of range, both ends must be above 0 (the scale is logarithmic)")
    if low >= high:
        words = (
            "a range of one value; give the option to the optimizer instead" if low == high else "the ends are reversed"
        )
        raise BadInput.at(where, f"[{low:g}, {high:g}]: {words}")
    search = Search(usual.option, low, high)
    values = candidates(search, trials)
    if any(value >= after for value, after in itertools.pairwise(values)):
        raise BadInput.at(where, f"[{low:g}, {high:g}] is too narrow for {trials} values that differ in four digits")
    return search


def _note_tuned_twin(chosen: Sequence[Choice], place: int, option: str, found: Mistakes) -> None:
    """Another optimizer that differs from a tuned one in the tuned option alone: the choice might fall on the same."""

    def rest(one: Choice) -> tuple[str, dict[str, Any]]:
        return one.name, {key: value for key, value in one.options.items() if key != option}

    for other, one in enumerate(chosen):
        if one.options[option] != chosen[place].options[option] and rest(one) == rest(chosen[place]):
            words = f"{one.name} is the same as optimizers[{place}] but for {option}, which is tuned there; leave one of them out"
            found.note(BadInput.at(f"optimizers[{other}]", words))


def _attack(table: Mapping[str, Any], index: int) -> AttackSpec:
    where = f"attacks[{index}]"
    options = dict(table)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise BadInput.at(f"{where}.name", f"expected the name of an attack ({', '.join(ATTACKS)})")
    return resolve_attack(name, options, where)


def _axis(
    names: Sequence[Any], key: str, resolve: Callable[[str, Mapping[str, Any], str], Choice], found: Mistakes
) -> tuple[Choice, ...]:
    """The choices that are right."""

    def choice(item: Any, where: str) -> Choice:
        name, given = _name_and_options(item, where)
        return resolve(name, given, where)

    choices = [found.attempt(choice, item, f"{key}[{index}]") for index, item in enumerate(names)]
    _note_twins(choices, [one.as_json() if one else None for one in choices], key, found)
    return tuple(one for one in choices if one is not None)


def _from_registry(registry: Registry[Any]) -> Callable[[str, Mapping[str, Any], str], Choice]:
    def resolve(name: str, given: Mapping[str, Any], where: str) -> Choice:
        entry: Entry = registry.find(name, where)
        return Choice(entry.name, resolve_options(entry, given, where))

    return resolve


def _defense(name: str, given: Mapping[str, Any], where: str) -> Choice:
    chosen = _from_registry(DEFENSES)(name, given, where)
    return replace(chosen, engine=DEFENSES[name].engine(chosen.options))


def _name_and_options(item: Any, where: str) -> tuple[str, dict[str, Any]]:
    if isinstance(item, str):
        return item, {}
    options = dict(item)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise BadInput.at(where, 'a table needs a name, such as {name = "adam", lr = 1e-3}')
    return name, options


def _note_twins(
    named: Sequence[Choice | AttackSpec | None], identities: Sequence[Any], key: str, found: Mistakes
) -> None:
    """`identities` tell them apart; None stands for one at fault, which is no twin of anything."""
    for index, (one, identity) in enumerate(zip(named, identities, strict=True)):
        if one is not None and identity in identities[:index]:
            found.note(_twin(one.name, key, index, identities.index(identity)))


def _twin(name: str, key: str, index: int, first: int) -> BadInput:
    return BadInput.at(f"{key}[{index}]", f"{name} is the same as {key}[{first}]; name each once")


def _seeds(seeds: int | list[int]) -> Sequence[int]:
    if isinstance(seeds, int):
        return range(seeds)
    for index, seed in enumerate(seeds):
        if seed in seeds[:index]:
            raise _twin(str(seed), "seeds", index, seeds.index(seed))
    return tuple(seeds)


def _vary(names: list[str], *, subset: bool) -> tuple[str, ...]:
    """What a seed moves, in the order of VARIED; `subset`: whether there is a training subset to move."""
    for index, name in enumerate(names):
        if name not in VARIED:
            raise BadInput.at(f"vary[{index}]", f"{name!r} is nothing that a seed moves{nearest(name, VARIED)}")
        if name in names[:index]:
            raise _twin(name, "vary", index, names.index(name))
    if "seed" not in names:
        raise BadInput.at("vary", 'a seed always moves initialisation and data order: add "seed"')
    if "train_subset" in names and not subset:
        raise BadInput.at("vary", NO_SUBSET)
    return tuple(name for name in VARIED if name in names)


def _threat(file: StudyFile, attacks: Sequence[AttackSpec | None], found: Mistakes) -> Threat | None:
    """The `[score]` table, or its defaults: linf if attacked, else l2; the lower median of the ε in that norm.

    Where only minimum-norm attacks have that norm, which name no ε, it is the usual one: linf 0.1, l2 1. An attack at
    fault still has its norm, if that is right; what would need to know more of it is not looked at.
    """
    norms = {attack.norm if attack else _norm_of(table) for attack, table in zip(attacks, file.attacks, strict=True)}
    if found.concern("score.norm") or (not file.attacks and found.concern("attacks")):
        return None
    if not file.attacks and file.score.norm is None:
        if file.score.eps is not None:
            found.note(BadInput.at("score.eps", "the study has no attacks to score"))
        return None
    norm = found.attempt(_threat_norm, file.score.norm, norms)
    if norm is None:
        return None
    whole = None not in attacks
    attacked = sorted({eps for attack in attacks if attack and attack.norm == norm for eps in attack.eps})
    if file.score.eps is None:
        return Threat(norm, attacked[(len(attacked) - 1) // 2] if attacked else USUAL_EPS[norm])
    eps = found.attempt(_threat_eps, file.score.eps, norm, attacked if whole else [])
    return None if eps is None else Threat(norm, eps)


def _norm_of(table: Mapping[str, Any]) -> str | None:
    """The norm of an `[[attacks]]` table that something is wrong with; None if that is its name or the norm itself."""
    entry = ATTACKS.get(str(table.get("name")))
    return None if entry is None else Mistakes().attempt(norm_of, entry, table, "")


def _threat_norm(given: str | None, norms: Collection[str | None]) -> str | None:
    """The norm of the score; None where it depends on attacks whose norm is not known."""
    if given is not None:
        norm = parse_norm(given, "score.norm")
        if norm not in norms and None not in norms:
            raise BadInput.at("score.norm", f"no attack of the study has the norm {norm}")
        return norm
    if "linf" in norms:
        return "linf"
    return None if None in norms else "l2"


def _threat_eps(given: float | str, norm: str, attacked: Sequence[float]) -> float:
    eps = parse_number(given, "score.eps")
    if eps <= 0 or (norm == "linf" and eps > 1):
        raise BadInput.at("score.eps", f"{given!r} is out of range (pixel units: above 0, for linf at most 1)")
    if attacked and eps < attacked[0]:
        smallest = f"the smallest is {attacked[0]:g}"
        raise BadInput.at("score.eps", f"{eps:g} is below every ε attacked in {norm} ({smallest})")
    return eps


def _one_of(value: str, allowed: Sequence[str], where: str) -> str:
    if value not in allowed:
        raise BadInput.at(where, f"{value!r} is not one of {', '.join(allowed)}")
    return value

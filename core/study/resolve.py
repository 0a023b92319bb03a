"""From a study file to a Study: overrides, names held against the registries, attacks, threat. Torch-free."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.attacks import ATTACKS, parse_norm
from core.attacks import resolve as resolve_attack
from core.datasets import parse_source
from core.errors import BadInput, NotFound
from core.models.activations import ACTIVATIONS
from core.models.architectures import ARCHITECTURES
from core.records import AttackSpec, Choice, DatasetSource, Study, Threat, Training
from core.registry import Entry, Registry, nearest, parse_number, resolve_options
from core.study.file import StudyFile, TrainingTable, validate
from core.study.presets import preset_names, preset_text
from core.training import optimizers
from core.training.defenses import DEFENSES
from core.training.schedules import SCHEDULES
from core.verdict.ledgers import USUAL_EPS

PROFILES = (*optimizers.PROFILES, "tuned")
INITIALISATIONS = ("torch", "glorot")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
LARGE_GRID = 10_000
"""Trials above which a study wants an explicit yes: most such grids are a slip of the hand."""
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

    A text with commas set on an axis is a list of names: `optimizers=adam,sgd`.
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
        if path[0] in _AXES and len(path) == 1 and not isinstance(value, list):
            value = [name.strip() for name in value.split(",")] if isinstance(value, str) else [value]
        _set(document, path, value, override)
    return document


def _set(document: dict[str, Any], path: Sequence[str], value: Any, override: str) -> None:
    here: Any = document
    for part, following in zip(path, [*path[1:], None], strict=True):
        if isinstance(here, list):
            if not part.isdigit() or int(part) >= len(here):
                raise BadInput(f"--set {override}: the list has no item {part!r}")
            key: Any = int(part)
        elif isinstance(here, dict):
            key = part
        else:
            raise BadInput(f"--set {override}: {part!r} is not inside a table")
        if following is None:
            here[key] = value
        else:
            here = here.setdefault(key, {}) if isinstance(here, dict) else here[key]


def parse_study(document: Mapping[str, Any], where: str, base: Path) -> Study:
    """A Study from plain data in the study file's keys; paths in it are relative to `base`.

    Raises BadInput in one line that starts with `where` and names the key.
    """
    file = validate(dict(document), where)
    try:
        return _resolve(file, base)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None


def study_without_grid(name: str, description: str, source: DatasetSource) -> Study:
    """A study that trains nothing: it holds trials whose weights were trained elsewhere, and attacks added to them."""
    dataset = source.name if source.path is None else f"{source.kind}:{source.path}"
    return Study(
        name=name,
        description=description,
        source=source,
        architectures=(),
        optimizers=(),
        activations=(),
        defenses=(),
        seeds=(),
        train_samples=None,
        test_samples=None,
        training=_training(TrainingTable()),
        attacks=(),
        threat=None,
        document={"name": name, "description": description, "dataset": dataset},
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


def grid_size(study: Study) -> int:
    """How many trials the study asks for, without making them."""
    axes = (study.architectures, study.optimizers, study.activations, study.defenses, study.seeds)
    return math.prod(len(axis) for axis in axes)


def refuse_large_grid(study: Study, *, large: bool) -> None:
    """Raises BadInput for more than LARGE_GRID trials unless `large` says that they are meant."""
    trials = grid_size(study)
    if trials > LARGE_GRID and not large:
        raise BadInput(f"{study.name}: the grid has {trials:,} trials, more than {LARGE_GRID:,}; add --yes if so meant")


def _resolve(file: StudyFile, base: Path) -> Study:
    source = parse_source(file.dataset, base)
    training = _training(file.training)
    profile = _one_of(file.training.hyperparameters, PROFILES, "training.hyperparameters")
    if profile == "tuned":
        raise BadInput('training.hyperparameters: "tuned" is not built yet; use "torch" or "keras"')
    attacks = tuple(_attack(table, index) for index, table in enumerate(file.attacks))
    _refuse_twins([attack.id for attack in attacks], [attack.name for attack in attacks], "attacks")
    document = file.model_dump(exclude_unset=True)
    if source.path is not None:
        document["dataset"] = f"{source.kind}:{source.path}"
    return Study(
        name=file.name,
        description=file.description,
        source=source,
        architectures=_axis(file.architectures, "architectures", _from_registry(ARCHITECTURES)),
        optimizers=_axis(
            file.optimizers,
            "optimizers",
            lambda name, given, at: optimizers.resolve(name, given, profile, training.weight_decay, at),
        ),
        activations=_axis(file.activations, "activations", _from_registry(ACTIVATIONS)),
        defenses=_axis(file.defenses, "defenses", _defense),
        seeds=_seeds(file.seeds),
        train_samples=file.train_samples,
        test_samples=file.test_samples,
        training=training,
        attacks=attacks,
        threat=_threat(file, attacks),
        document=document,
    )


def _training(table: TrainingTable) -> Training:
    name, given = _name_and_options(table.schedule, "training.schedule")
    entry = SCHEDULES.find(name, "training.schedule")
    options = resolve_options(entry, given, "training.schedule")
    entry.check(options, "training.schedule")
    return Training(
        epochs=table.epochs,
        batch_size=table.batch_size,
        initialisation=_one_of(table.initialisation, INITIALISATIONS, "training.initialisation"),
        precision=_one_of(table.precision, PRECISIONS, "training.precision"),
        schedule=Choice(name, options),
        weight_decay=table.weight_decay,
        label_smoothing=table.label_smoothing,
        augment=table.augment,
        validation=table.validation,
    )


def _attack(table: Mapping[str, Any], index: int) -> AttackSpec:
    where = f"attacks[{index}]"
    options = dict(table)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise BadInput(f"{where}.name: expected the name of an attack ({', '.join(ATTACKS)})")
    return resolve_attack(name, options, where)


def _axis(
    names: Sequence[Any], key: str, resolve: Callable[[str, Mapping[str, Any], str], Choice]
) -> tuple[Choice, ...]:
    choices = []
    for index, item in enumerate(names):
        where = f"{key}[{index}]"
        name, given = _name_and_options(item, where)
        choices.append(resolve(name, given, where))
    _refuse_twins([choice.as_json() for choice in choices], [choice.name for choice in choices], key)
    return tuple(choices)


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
        raise BadInput(f'{where}: a table needs a name, such as {{name = "adam", lr = 1e-3}}')
    return name, options


def _refuse_twins(identities: Sequence[Any], names: Sequence[str], key: str) -> None:
    for index, identity in enumerate(identities):
        if identity in identities[:index]:
            first = list(identities).index(identity)
            raise BadInput(f"{key}[{index}]: {names[index]} is the same as {key}[{first}]; name each once")


def _seeds(seeds: int | list[int]) -> Sequence[int]:
    if isinstance(seeds, int):
        return range(seeds)
    _refuse_twins(seeds, [str(seed) for seed in seeds], "seeds")
    return tuple(seeds)


def _threat(file: StudyFile, attacks: Sequence[AttackSpec]) -> Threat | None:
    """The `[score]` table, or its defaults: linf if attacked, else l2; the lower median of the ε in that norm.

    Where only minimum-norm attacks have that norm, which name no ε, it is the usual one: linf 0.1, l2 1.
    """
    norms = {attack.norm for attack in attacks}
    norm = file.score.norm
    if norm is not None:
        norm = parse_norm(norm, "score.norm")
        if norm not in norms:
            raise BadInput(f"score.norm: no attack of the study has the norm {norm}")
    elif attacks:
        norm = "linf" if "linf" in norms else "l2"
    if norm is None:
        if file.score.eps is not None:
            raise BadInput("score.eps: the study has no attacks to score")
        return None
    attacked = sorted({eps for attack in attacks if attack.norm == norm for eps in attack.eps})
    if file.score.eps is None:
        return Threat(norm, attacked[(len(attacked) - 1) // 2] if attacked else USUAL_EPS[norm])
    eps = parse_number(file.score.eps, "score.eps")
    if eps <= 0 or (norm == "linf" and eps > 1):
        raise BadInput(f"score.eps: {file.score.eps!r} is out of range (pixel units: above 0, for linf at most 1)")
    if attacked and eps < attacked[0]:
        raise BadInput(f"score.eps: {eps:g} is below every ε attacked in {norm} (the smallest is {attacked[0]:g})")
    return Threat(norm, eps)


def _one_of(value: str, allowed: Sequence[str], where: str) -> str:
    if value not in allowed:
        raise BadInput(f"{where}: {value!r} is not one of {', '.join(allowed)}")
    return value

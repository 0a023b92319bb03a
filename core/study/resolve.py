"""From a study file to a Study: overrides, names held against the registries, attacks, threat. Torch-free."""

from __future__ import annotations

import codecs
import math
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.datasets import parse_source, stored_source
from core.datasets.folder_options import as_table, written
from core.errors import BadInput, Mistakes, NotFound
from core.models.activations import ACTIVATIONS
from core.models.architectures import resolve as architecture
from core.paths import given
from core.records.attack import AUDIT_DEPTHS, AuditSettings
from core.records.data import DatasetSource
from core.records.study import Study
from core.records.trial import SEED_ALONE
from core.registry import nearest
from core.study.file import StudyFile, TrainingTable, read, read_audit
from core.study.keys.attacks import attack_of, threat_of
from core.study.keys.axes import axis, defense, from_registry, note_twins, one_of, seeds_of, varied
from core.study.keys.training import profile_of, training_of
from core.study.keys.tuning import tuning_of
from core.study.presets import preset_names, preset_text
from core.training import optimizers

LARGE_GRID = 10_000
"""Trials above which a study wants an explicit yes: most such grids are a slip of the hand."""
_HERE = Path()
"""The current folder, looked up when a relative path needs it."""
_AXES = ("architectures", "optimizers", "activations", "defenses")


def load_study(spec: str, overrides: Sequence[str] = ()) -> Study:
    """The study that `spec` names: a file if there is one (or it looks like a path), else a preset; "-" is the one on stdin. What
    comes through stdin or a pipe, such as the shell's <(…), is read once, and its paths are relative to the current folder.

    Raises NotFound if there is neither, BadInput for whatever is wrong in it, naming the file and the key.
    """
    if spec == "-":
        # a stream that a program has put in the place of stdin may hold text alone
        content = sys.stdin.buffer.read() if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode()
        return parse_study(apply_overrides(parse_toml(in_utf8(content, "stdin"), "stdin"), overrides), "stdin", _HERE)
    if spec not in preset_names():
        given(spec, "study file")
    path = Path(spec).expanduser()
    if path.exists() and not path.is_dir():
        try:
            text = in_utf8(path.read_bytes(), spec)
        except OSError as error:
            raise BadInput(f"{spec}: cannot be read: {error.strerror}") from None
        beside = path.parent.resolve() if path.is_file() and not _is_descriptor(path) else _HERE
        return parse_study(apply_overrides(parse_toml(text, spec), overrides), spec, beside)
    if spec in preset_names():
        where = f"preset {spec}"
        return parse_study(apply_overrides(parse_toml(preset_text(spec), where), overrides), where, _HERE)
    if path.is_dir():
        raise BadInput(f"{spec}: is a folder, not a study file")
    if path.suffix or "/" in spec:
        raise NotFound(f"{spec}: there is no such study file (write one with `innate init {spec}`)")
    raise NotFound(f"{spec}: neither a preset nor a study file{nearest(spec, preset_names())}")


def in_utf8(content: bytes, where: str) -> str:
    """A text file's content, whatever ends its lines, without the mark that some editors put first. Raises BadInput with the
    place of what is no UTF-8."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BadInput(f"{where}: is written in UTF-16; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = content.count(b"\n", 0, error.start) + 1, error.start - content.rfind(b"\n", 0, error.start)
        raise BadInput(
            f"{where}: is not UTF-8: byte {content[error.start]:#04x} at line {line}, column {column}; save it as UTF-8"
        ) from None
    return text.replace("\r\n", "\n")


def _is_descriptor(path: Path) -> bool:
    """Whether it is a name for an open file, as /dev/stdin is: nothing lies beside it."""
    return path.absolute().parts[:2] in (("/", "dev"), ("/", "proc"))


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
    training = training_of(TrainingTable(), Mistakes())
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
    source = stored_source(document["dataset"])
    return study_without_grid(document["name"], document["description"], source)


def has_grid(document: Mapping[str, Any]) -> bool:
    """Whether a stored study trains models of its own; else it only holds imported ones."""
    return "architectures" in document


def audit_settings(options: Mapping[str, Any], settings: AuditSettings, where: str) -> AuditSettings:
    """`settings` with some keys of an `[audit]` table set over them. Raises BadInput naming the key at fault."""
    found = Mistakes()
    table = read_audit({**asdict(settings), **options}, where, found)
    depth = found.attempt(one_of, table.depth, AUDIT_DEPTHS, f"{where}.depth")
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
    training = training_of(file.training, found)
    # Whatever the profile was meant to be, an optimizer's own options are right or wrong.
    profile = found.attempt(profile_of, file.training.hyperparameters) or "torch"
    attacks = [found.attempt(attack_of, table, index) for index, table in enumerate(file.attacks)]
    note_twins(attacks, [attack.id if attack else None for attack in attacks], "attacks", found)
    architectures = axis(file.architectures, "architectures", architecture, found)
    chosen = axis(
        file.optimizers,
        "optimizers",
        lambda name, given, at: optimizers.resolve(name, given, profile, file.training.weight_decay, at),
        found,
    )
    activations = axis(file.activations, "activations", from_registry(ACTIVATIONS), found)
    defenses = axis(file.defenses, "defenses", defense, found)
    seeds = found.attempt(seeds_of, file.seeds)
    subset_known = file.train_samples is not None or found.concern("train_samples")
    vary = found.attempt(varied, file.vary, subset=subset_known)
    tuning = tuning_of(file, chosen, found)
    threat = threat_of(file, attacks, found)
    depth = found.attempt(one_of, file.audit.depth, AUDIT_DEPTHS, "audit.depth")
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

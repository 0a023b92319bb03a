"""The values of a draft that one types: the fields of a part and the options of a choice, each with what it may be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.tui.compose.draft import (
    CHOICES,
    TRAINING_CHOICES,
    Document,
    Path_,
    Table,
    dotted,
    entry_of,
    items,
    norm_of,
    put,
    value_at,
    with_norm,
)
from app.tui.compose.words import own_subset, shown
from core.attacks import ATTACKS
from core.errors import BadInput
from core.records.attack import AUDIT_DEPTHS
from core.records.trial import SEED_ALONE, VARIED
from core.registry import Entry, Parameter
from core.study.file import AuditTable, TrainingTable, TuningTable
from core.study.keys.training import INITIALISATIONS, PRECISIONS, PROFILES
from core.study.keys.tuning import TUNED
from core.study.resolve import mistakes
from core.training.averaging import AVERAGINGS
from core.training.optimizers import OPTIMIZERS, resolve
from core.training.schedules import SCHEDULES


@dataclass(frozen=True)
class Setting:
    """One value at `path`. `usual` is what holds while the key is absent, None where words in `absent` say what does."""

    path: Path_
    kind: str
    """A Parameter's kind, or "seeds" (a count or a list), "radii" (numbers or fractions), "count" (whole, may be absent),
    "size" (one side or two), "names" (a list of them), "path" (asked for in a dialog of its own)."""
    summary: str
    usual: Any = None
    absent: str = ""
    choices: tuple[str, ...] = ()
    range: str = ""
    unit: str = ""

    @property
    def name(self) -> str:
        """Its key; one of the tuning with its table, for it stands among those of the training."""
        return dotted(self.path) if self.path[0] == "tuning" else str(self.path[-1])

    def text(self, document: Document) -> str:
        """The value as one would type it, empty while the key is absent."""
        value = value_at(document, self.path)
        if self.name in TRAINING_CHOICES and isinstance(value, dict):
            value = value["name"]
        if value is None:
            return ""
        return (
            f"{shown(value)}," if self.kind == "seeds" and isinstance(value, list) and len(value) == 1 else shown(value)
        )

    def default_text(self) -> str:
        """What holds while the key is absent."""
        return shown(self.usual) if self.usual is not None and self.usual != "" else self.absent

    def about(self) -> str:
        """What it may be: "a whole number; at least 1; empty: 5"."""
        kinds = {"int": "a whole number", "count": "a whole number", "float": "a number", "str": "text"}
        kinds |= {
            "ints": "whole numbers such as 75, 100",
            "floats": "numbers such as 5e-4, 3e-4",
            "bool": "true or false",
        }
        kinds |= {"seeds": "a count, or a list such as 0, 7", "radii": "a list such as 0.05, 0.1, 8/255"}
        kinds |= {"size": "a number such as 64, or height and width such as 48, 64"}
        kinds |= {"names": "a list such as cat, dog", "path": "a path"}
        either = " or " if self.kind == "names" else ", "  # a list has commas of its own
        what = either.join(self.choices) if self.choices else kinds[self.kind]
        absent = "default" if self.choices or self.kind == "bool" else "empty"
        empty = f"{absent}: {self.default_text()}" if self.default_text() else ""
        return "; ".join(part for part in (what, self.range, self.unit, empty) if part)


def settings(document: Document, part: str, index: int | None = None) -> list[Setting]:
    """The fields of a part, or the options of what stands at `index` on an axis."""
    if index is not None:
        return _options(document, part, index)
    return _FIELDS[part](document) if part in _FIELDS else []


def read(setting: Setting, text: str) -> Any:
    """What `text` means for the document; None, that the key is absent. What it cannot be read as stays text, for the
    study's own validation to refuse in its own words. Raises BadInput where those words would not help.
    """
    text = text.strip()
    if not text:
        return None
    if setting.kind == "bool":
        return {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}.get(
            text.lower(), text
        )
    if setting.kind in ("int", "count"):
        return _whole(text)
    if setting.kind == "float":
        return _real(text)
    if setting.kind == "seeds":
        return _seeds(text)
    if setting.kind == "size":
        sides = [_whole(part) for part in re.split(r"[,\s×x]+", text.strip("[]")) if part]
        return sides[0] if len(sides) == 1 else sides
    if setting.kind == "names":
        return [name for name in (part.strip().strip("\"'") for part in text.strip("[]").split(",")) if name]
    if setting.kind in ("ints", "floats", "radii"):
        parts = [part for part in re.split(r"[,\s]+", re.sub(r"\s*/\s*", "/", text.strip("[]"))) if part]
        return [_whole(part) if setting.kind == "ints" else _real(part.strip("\"'")) for part in parts]
    return text


def problem(document: Document, setting: Setting, text: str, base: Path) -> str | None:
    """What is wrong with `text` there, None if nothing is; other mistakes of the draft do not matter."""
    try:
        changed = put(document, setting.path, read(setting, text))
    except BadInput as error:
        return str(error)
    key = dotted(setting.path)
    return next((fault.words for fault in mistakes(changed, base) if fault.concerns(key)), None)


def choose(document: Document, setting: Setting, choice: str | None) -> Document:
    """With one of `setting.choices` there, and what must change with it; None goes back to the default."""
    axis, *rest = setting.path
    if axis == "attacks" and setting.name == "norm" and isinstance(index := rest[0], int):
        return with_norm(document, index, choice or setting.choices[0])
    if setting.name == "schedule" and choice is not None and SCHEDULES[choice].parameters:
        epochs = value_at(document, ("training", "epochs")) or TrainingTable.model_fields["epochs"].default
        half = max(1, epochs // 2) if isinstance(epochs, int) else 1
        return put(document, setting.path, {"name": choice, "at": [half], "lr": [1e-4]})
    if setting.name == "hyperparameters" and choice not in TUNED:
        document = {key: value for key, value in document.items() if key != "tuning"}
    return put(document, setting.path, None if choice is None else read(setting, choice))


def toggled(document: Document, setting: Setting) -> bool | None:
    """The other value of one that is true or false; None where that is the default."""
    value = value_at(document, setting.path)
    other = not (setting.usual if value is None else value)
    return None if other == setting.usual else other


def _whole(text: str) -> Any:
    return int(text) if re.fullmatch(r"[+-]?\d{1,30}", text) else text


def _real(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _seeds(text: str) -> Any:
    if "," not in text and not text.startswith("["):
        value = _whole(text)
        if not isinstance(value, int):
            raise BadInput(f"expected a count such as 3, or a list such as 0, 7; got {text!r}")
        if value < 1:
            raise BadInput(f"{value} is out of range, it must be at least 1")
        return value
    seeds = [_whole(part) for part in re.split(r"[,\s]+", text.strip("[]")) if part]
    for seed in seeds:
        if not isinstance(seed, int):
            raise BadInput(f"expected whole numbers, got {seed!r}")
        if not 0 <= seed < 2**63:
            raise BadInput(f"{seed} is out of range, seeds are at least 0")
    if not seeds:
        raise BadInput("the list is empty; name at least one seed")
    return seeds


# --- the fields of the parts ---


_NAMED = "letters, digits, '.', '_' and '-'"


def _name(_: Document) -> list[Setting]:
    return [
        Setting(("name",), "str", "how the study is addressed, as in innate results --study NAME", range=_NAMED),
        Setting(("description",), "str", "a line for whoever reads it later", absent="none"),
    ]


def _samples(document: Document) -> list[Setting]:
    subset = "a stratified subset, the same for every trial"
    learned = "a stratified subset, drawn by each seed" if own_subset(document) else subset
    moved = "what a seed moves: initialisation and order; with train_subset its training images too"
    choices = (shown(SEED_ALONE), shown(VARIED))
    return [
        Setting(("seeds",), "seeds", "every model is trained once per seed; three or more give an interval", 1),
        Setting(("vary",), "names", moved, SEED_ALONE, choices=choices),
        Setting(("train_samples",), "count", f"training images: {learned}", absent="all", range="at least 1"),
        Setting(("test_samples",), "count", f"test images, attacked too: {subset}", absent="all", range="at least 1"),
    ]


_TRAINING: tuple[tuple[str, str, str, tuple[str, ...], str], ...] = (
    ("epochs", "int", "passes over the training images", (), "at least 1"),
    ("batch_size", "int", "images per step", (), "at least 1"),
    (
        "hyperparameters",
        "str",
        "optimizer rules and defaults (keras: the paper's); tuned: lr by validation",
        (*PROFILES,),
        "",
    ),
    ("initialisation", "str", "of the weights; glorot is Keras's: Glorot uniform, zero bias", INITIALISATIONS, ""),
    ("precision", "str", "tf32 and fp16 only on CUDA", PRECISIONS, ""),
    ("schedule", "str", "how the learning rate changes", tuple(SCHEDULES), ""),
    ("weight_decay", "float", "of every optimizer that has one and is given none", (), "at least 0"),
    ("label_smoothing", "float", "share of the target spread over all classes", (), "at least 0 and below 1"),
    ("augment", "bool", "flips and crops, for colour images", (), ""),
    ("validation", "float", "share of the training images held out; never test images", (), "at least 0 and below 1"),
    ("averaging", "str", "of weights on the way, which is stored and attacked", tuple(AVERAGINGS), ""),
)


def _training(document: Document) -> list[Setting]:
    found = []
    for name, kind, summary, choices, bounds in _TRAINING:
        usual = TrainingTable.model_fields[name].default
        found.append(Setting(("training", name), kind, summary, usual, choices=choices, range=bounds))
        if name in TRAINING_CHOICES:
            entry = TRAINING_CHOICES[name].get(str(value_at(document, ("training", name, "name"))))
            for parameter in entry.parameters if entry else ():
                found.append(_of(parameter, ("training", name, parameter.name), None))
    return [*found, *_tuning()] if _tuned(document) else found


_TUNING: tuple[tuple[str, str, str, str, str], ...] = (
    ("trials", "int", "values tried for each cell, the same number for all", "", "at least 2"),
    ("validation", "float", "share of the training images held out to choose by", "", "above 0 and below 1"),
    ("epochs", "count", "of each trial to choose by", "those of the training", "at least 1"),
    ("train_samples", "count", "training images of each trial to choose by", "those of the study", "at least 1"),
)


def _tuning() -> list[Setting]:
    return [
        Setting(("tuning", name), kind, summary, TuningTable.model_fields[name].default, absent, range=bounds)
        for name, kind, summary, absent, bounds in _TUNING
    ]


def _tuned(document: Document) -> bool:
    """Whether what an optimizer is not given is chosen."""
    return value_at(document, ("training", "hyperparameters")) in TUNED


_AUDIT: tuple[tuple[str, str, str, tuple[str, ...], str], ...] = (
    ("samples", "int", "survivors at each ε that are attacked harder; 0: none", (), "at least 0"),
    ("share", "float", "of the model's own passes that this may take", (), "above 0"),
    ("depth", "str", "full: the whole of standard, whatever it costs", AUDIT_DEPTHS, ""),
)


def _score(_: Document) -> list[Setting]:
    return [
        Setting(("score", "norm"), "str", "of the threat", absent="linf if attacked, else l2", choices=("linf", "l2")),
        Setting(
            ("score", "eps"),
            "float",
            "its radius",
            absent="the middle one attacked in that norm",
            unit="pixels in [0, 1]",
        ),
        *(
            Setting(
                ("audit", name), kind, summary, AuditTable.model_fields[name].default, choices=choices, range=bounds
            )
            for name, kind, summary, choices, bounds in _AUDIT
        ),
    ]


_FIELDS: Mapping[str, Callable[[Document], list[Setting]]] = {
    "name": _name,
    "seeds": _samples,
    "training": _training,
    "score": _score,
}


# --- the options of a choice ---


def _options(document: Document, axis: str, index: int) -> list[Setting]:
    item = items(document, axis)[index]
    entry = entry_of(axis, item)
    if entry is not None and axis == "dataset":
        return _folder_options(entry) if entry.name == "folder" else []
    if entry is None or axis not in (*CHOICES, "attacks"):
        return []
    usual = _usual(document, axis, entry)
    found = [_of(parameter, (axis, index, parameter.name), usual.get(parameter.name)) for parameter in entry.parameters]
    if axis == "optimizers" and _tuned(document):
        search = OPTIMIZERS[entry.name].tuned
        own = value_at(document, ("tuning", "ranges", entry.name, search.option))
        absent = f"tuned within {shown(own)}" if own is not None else f"tuned within {search.low:g}, {search.high:g}"
        found = [replace(one, usual=None, absent=absent) if one.name == search.option else one for one in found]
    if axis != "attacks":
        return found
    norms, finds_radius = ATTACKS[entry.name].norms, ATTACKS[entry.name].minimum_norm
    unit = "pixels in [0, 1]" if norm_of(item) == "linf" else "ℓ2 distance of pixels in [0, 1]"
    bounds = "above 0 and at most 1" if norm_of(item) == "linf" else "above 0"
    return [
        Setting((axis, index, "norm"), "str", "how far is measured", norms[0], choices=norms),
        *(
            []
            if finds_radius
            else [Setting((axis, index, "eps"), "radii", "the radii to attack within", range=bounds, unit=unit)]
        ),
        *found,
        Setting((axis, index, "seed"), "int", "seed of the attack's noise", 0, range="at least 0"),
    ]


_ABSENT = {"size": "as they are", "split": "train/ and test/", "classes": "all", "depth": "16"}


def _folder_options(entry: Entry) -> list[Setting]:
    kinds = {"size": "size", "classes": "names"}
    return [
        Setting(("dataset", "folder"), "path", "where the pictures are: train/CLASS/ and test/CLASS/, or CLASS/ alone"),
        *(
            Setting(
                ("dataset", parameter.name),
                kinds.get(parameter.name, parameter.kind),
                parameter.summary,
                parameter.default,
                absent=_ABSENT.get(parameter.name, ""),
                choices=parameter.choices,
                range=parameter.range_text(),
            )
            for parameter in entry.parameters
        ),
    ]


def _of(parameter: Parameter, path: Path_, usual: Any) -> Setting:
    return Setting(
        path,
        parameter.kind,
        parameter.summary,
        parameter.default if usual is None else usual,
        choices=parameter.choices,
        range=parameter.range_text(),
        unit=parameter.unit,
    )


def _usual(document: Document, axis: str, entry: Entry) -> Table:
    """The defaults of an entry: an optimizer's depend on the profile and on the training's weight decay."""
    if axis == "optimizers":
        profile = PROFILES.get(str(value_at(document, ("training", "hyperparameters"))), "torch")
        decay = value_at(document, ("training", "weight_decay")) or 0.0
        try:
            return resolve(entry.name, {}, profile, decay, "").options
        except BadInput:
            pass
    return {parameter.name: parameter.default for parameter in entry.parameters}

"""A study being composed, as plain data in the study file's own keys: its parts and its changes.

Every function is pure: a change gives a new document and leaves the old one as it was, so that any change can be undone.
Keys that no screen knows are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from core.attacks import ATTACKS
from core.datasets import DATASETS
from core.datasets.folder_options import as_table
from core.models.activations import ACTIVATIONS
from core.models.architectures import ARCHITECTURES
from core.registry import Entry, Registry
from core.study.presets import preset_text
from core.study.resolve import parse_toml
from core.training.averaging import AVERAGINGS
from core.training.defenses import DEFENSES
from core.training.optimizers import OPTIMIZERS
from core.training.schedules import SCHEDULES

Document = dict[str, Any]
Table = Mapping[str, Any]
"""A document, or a table within one: an attack, a choice with its options."""
Path_ = tuple[str | int, ...]
"""Where a value stands: ("training", "epochs"), ("optimizers", 1, "lr")."""


class Offer(NamedTuple):
    """What an axis offers: a name, and at which place it is chosen, None where it is not."""

    name: str
    place: int | None


Key = Offer | Path_
"""What names a row of a part's list: an offer, or where the value of a setting stands."""

TRAINING_CHOICES: Mapping[str | int, Registry[Any]] = {"schedule": SCHEDULES, "averaging": AVERAGINGS}
"""The keys of [training] that hold a choice, a name or a table with options."""

RADII: Mapping[str, tuple[float, ...]] = {"linf": (0.05, 0.1, 0.15), "l2": (0.5, 1.0, 2.0)}
"""What a new attack is given where no other attack of the study has its norm."""


@dataclass(frozen=True)
class Part:
    """One part of a study: the keys it consists of, and the registry to choose from if it is an axis."""

    name: str
    title: str
    keys: tuple[str, ...]
    help: str
    registry: Registry[Any] | None = None
    several: bool = True
    """Whether more than one choice can be made."""


PARTS = (
    Part("name", "name", ("name", "description"), "how the study is addressed"),
    Part("dataset", "data set", ("dataset",), "the images to learn and to attack", DATASETS, several=False),
    Part("architectures", "architectures", ("architectures",), "the models", ARCHITECTURES),
    Part("optimizers", "optimizers", ("optimizers",), "what they are trained with", OPTIMIZERS),
    Part("activations", "activations", ("activations",), "their nonlinearity", ACTIVATIONS),
    Part("defenses", "defenses", ("defenses",), "what they are trained on", DEFENSES),
    Part("attacks", "attacks", ("attacks",), "what every model is tried with", ATTACKS),
    Part("seeds", "samples", ("seeds", "vary", "train_samples", "test_samples"), "repetitions, and how many images"),
    Part("training", "training", ("training", "tuning"), "the same for every model"),
    Part("score", "score", ("score", "audit"), "the threat of single-ε scores, and the audit of every number"),
)
BY_NAME: Mapping[str, Part] = {part.name: part for part in PARTS}
CHOICES = ("architectures", "optimizers", "activations", "defenses")
"""The axes whose items are names or tables of a name and options."""


# --- what to begin with ---


def first() -> Document:
    """A small study that runs as it stands: the quick preset under a name of its own."""
    return {**put(parse_toml(preset_text("quick"), "preset quick"), ("description",), None), "name": "my-study"}


def empty() -> Document:
    """Nothing chosen but the embedded data set."""
    return {
        "name": "my-study",
        "dataset": "mnist5k",
        "architectures": [],
        "optimizers": [],
        "activations": [],
        "defenses": ["none"],
        "attacks": [],
    }


def shaped(document: Any) -> bool:
    """Whether this has a draft's shape, so that the screen can show it; it may still be full of mistakes."""
    if not isinstance(document, dict) or not _sourced(document.get("dataset", "")):
        return False
    training = document.get("training", {})
    return (
        all(_named(item) for axis in CHOICES for item in _listed(document.get(axis, [])))
        and all(isinstance(item, dict) and _named(item) for item in _listed(document.get("attacks", [])))
        and isinstance(training, dict)
        and all(_named(training.get(key, "")) for key in TRAINING_CHOICES)
        and isinstance(document.get("score", {}), dict)
        and isinstance(document.get("audit", {}), dict)
        and isinstance(document.get("tuning", {}), dict)
    )


def _named(item: Any) -> bool:
    return isinstance(item, str) or (isinstance(item, dict) and isinstance(item.get("name"), str))


def _sourced(dataset: Any) -> bool:
    return isinstance(dataset, str) or (isinstance(dataset, dict) and isinstance(dataset.get("folder"), str))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [None]


# --- reading it ---


def items(document: Document, axis: str) -> list[Any]:
    """What is chosen on an axis, as it stands in the document; a data set is a list of one."""
    if axis == "dataset":
        return [document["dataset"]] if "dataset" in document else []
    return list(document.get(axis, ["none"] if axis == "defenses" else []))


def name_of(item: Any) -> str:
    """The registry name of a chosen item; of a folder of pictures with options what it would be without."""
    if isinstance(item, str):
        return item
    return str(item["name"]) if "name" in item else f"folder:{item['folder']}"


def place_of_data(document: Document) -> tuple[str, str]:
    """The kind of the data set and, of one's own, its path: ("folder", "/data/cars"), ("mnist", "")."""
    return _place(name_of(document.get("dataset", "")))


def _place(name: str) -> tuple[str, str]:
    kind, _, path = name.partition(":")
    return (kind, path) if kind in ("folder", "npz") else (name, "")


def entry_of(axis: str, item: Any) -> Entry | None:
    """Its registry entry, None for a name that is in none."""
    name = name_of(item)
    registry = BY_NAME[axis].registry
    assert registry is not None
    return registry.get(_place(name)[0] if axis == "dataset" else name)


def value_at(document: Document, path: Path_) -> Any:
    """The value there, None if there is none."""
    here: Any = document
    for step in path:
        if path[0] == "dataset":
            here = as_table(here)
        if isinstance(here, str):  # "adam" is {name = "adam"}
            here = {"name": here}
        if isinstance(step, int):
            if not isinstance(here, list) or step >= len(here):
                return None
            here = here[step]
        else:
            here = here.get(step) if isinstance(here, dict) else None
    return here


def dotted(path: Path_) -> str:
    """The key as messages name it: optimizers[1].lr."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def choice_rows(document: Document, part: Part, words: Sequence[str] = ()) -> list[Offer]:
    """What an axis offers: every choice of its registry, once for each time that it is chosen.

    A name that is in no registry stands at the end. `words` must all occur in a choice's name, summary or source; those
    whose name has them come first, those whose name begins so before all.
    """
    assert part.registry is not None
    chosen: dict[str, list[int]] = {}
    for index, item in enumerate(items(document, part.name)):
        entry = entry_of(part.name, item)
        chosen.setdefault(entry.name if entry else name_of(item), []).append(index)
    rows: list[Offer] = []
    names = [*part.registry, *part.registry.unlisted, *(name for name in chosen if name not in part.registry)]
    if words:
        names.sort(key=lambda name: (not name.startswith(words[0]), not all(word in name for word in words)))
    for name in names:
        entry = part.registry.get(name)
        text = f"{name} {entry.summary} {entry.source}".lower() if entry else name
        if all(word in text for word in words):
            rows += [Offer(name, index) for index in chosen.get(name, [])] or [Offer(name, None)]
    return rows


# --- changes ---


def put(document: Document, path: Path_, value: Any) -> Document:
    """With `value` there; None takes the key away, so that its default holds."""
    if path[0] == "dataset" and len(path) == 2:
        return {**document, "dataset": _folder_with(document["dataset"], str(path[1]), value)}
    changed: Document = _put(document, path, value)
    if len(path) == 3 and path[0] in CHOICES:
        axis, index = path[0], path[1]
        changed[axis] = [
            _plain(item) if place == index else item for place, item in enumerate(items(changed, str(axis)))
        ]
    key = path[1] if path[0] == "training" and len(path) > 1 else ""
    if key in TRAINING_CHOICES and key in changed.get("training", {}):
        changed["training"] = {**changed["training"], key: _plain(changed["training"][key])}
    return changed


def _put(here: Any, path: Path_, value: Any) -> Any:
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        return [_put(item, rest, value) if place == step else item for place, item in enumerate(here)]
    table = {"name": here} if isinstance(here, str) else dict(here or {})
    if rest:
        inner = _put(table.get(step), rest, value)
        if inner == {}:
            table.pop(step, None)
        else:
            table[step] = inner
    elif value is None:
        table.pop(step, None)
    else:
        table[step] = value
    return table


def _folder_with(dataset: Any, key: str, value: Any) -> Any:
    """A folder of pictures with another option; {folder = PATH} is "folder:PATH". It keeps its path where None is given."""
    others = {name: other for name, other in as_table(dataset).items() if name != key}
    if key == "folder":
        others = {"folder": as_table(dataset)["folder"] if value is None else value, **others}
    elif value is not None:
        others[key] = value
    return f"folder:{others['folder']}" if list(others) == ["folder"] else others


def _plain(item: Any) -> Any:
    """{name = "adam"} is "adam"."""
    return item["name"] if isinstance(item, dict) and list(item) == ["name"] else item


def add(document: Document, axis: str, name: str) -> Document:
    """Choose `name` on an axis: beside what is chosen, or instead of it where only one can be."""
    if axis == "dataset":
        kind, path = _place(name)
        if path and kind == "folder" == place_of_data(document)[0]:  # another folder, read as the one before
            return put(document, ("dataset", "folder"), path)
        return {**document, "dataset": name}
    item: Any = name
    if axis == "attacks":
        item = {"name": name}
        if not ATTACKS[name].minimum_norm:
            item["eps"] = radii(document, ATTACKS[name].norms[0])
    return {**document, axis: [*items(document, axis), item]}


def copy_of(document: Document, axis: str, index: int) -> Document:
    """Once more what stands at `index`, behind it; a study has one data set only."""
    if axis == "dataset":
        return document
    chosen = items(document, axis)
    item = chosen[index]
    again = dict(item) if isinstance(item, dict) else item
    return {**document, axis: [*chosen[: index + 1], again, *chosen[index + 1 :]]}


def without(document: Document, axis: str, index: int) -> Document:
    """Without what stands at `index`; a study always has its data set."""
    if axis == "dataset":
        return document
    chosen = items(document, axis)
    return {**document, axis: chosen[:index] + chosen[index + 1 :]}


def radii(document: Document, norm: str) -> list[Any]:
    """The ε of the first other attack in that norm, else what is usual."""
    for attack in items(document, "attacks"):
        if norm_of(attack) == norm and isinstance(attack.get("eps"), list):
            return list(attack["eps"])
    return list(RADII.get(norm, RADII["linf"]))


def norm_of(attack: Table) -> str:
    """The norm of an `[[attacks]]` table, its attack's own if it names none."""
    entry = ATTACKS.get(str(attack.get("name")))
    return str(attack.get("norm", entry.norms[0] if entry else "linf"))


def with_norm(document: Document, index: int, norm: str) -> Document:
    """An attack in another norm, its ε too: a radius means something else in each."""
    others = {**document, "attacks": [*items(document, "attacks")[:index], *items(document, "attacks")[index + 1 :]]}
    changed = put(document, ("attacks", index, "norm"), norm)
    if norm_of(document["attacks"][index]) == norm or "eps" not in document["attacks"][index]:
        return changed
    return put(changed, ("attacks", index, "eps"), radii(others, norm))

"""A draft in words: its choices, its values as one would type them, its parts in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.tui.compose.draft import BY_NAME, Document, Part, Table, items, name_of, norm_of, place_of_data, value_at
from core.attacks import ATTACKS
from core.names import NORM_SIGNS


def label(item: Any) -> str:
    """A chosen item by its name and the options given to it: "adam lr=0.005"."""
    if isinstance(item, str):
        return item
    given = (f"{key}={shown(value)}" for key, value in item.items() if key not in ("name", "folder"))
    return " ".join([name_of(item), *given])


def label_at(document: Document, part: Part, index: int) -> str:
    """What stands at `index` on an axis, by name."""
    item = items(document, part.name)[index]
    return str(item["name"]) if part.name == "attacks" else label(item)


def attack_label(attack: Table) -> str:
    """An attack's norm, ε and steps, then what else is given: "ℓ∞ ε 0.05 0.1 · 10 steps"; "ℓ2 least distance"."""
    entry = ATTACKS.get(str(attack.get("name")))
    norm = NORM_SIGNS.get(norm_of(attack), norm_of(attack))
    if entry is not None and entry.minimum_norm and "eps" not in attack:
        parts = [f"{norm} least distance"]
    else:
        given = attack.get("eps", "?")
        radii_shown = " ".join(shown(radius) for radius in (given if isinstance(given, list) else [given]))
        parts = [f"{norm} ε {radii_shown}"]
    default = (
        next((parameter.default for parameter in entry.parameters if parameter.name == "steps"), None)
        if entry
        else None
    )
    steps = attack.get("steps", default)
    if steps is not None:
        parts.append(f"{steps} steps")
    known = ("name", "norm", "eps", "steps")
    parts += [f"{key}={shown(value)}" for key, value in attack.items() if key not in known]
    return " · ".join(parts)


def shown(value: Any) -> str:
    """A value as one would type it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    if isinstance(value, float):
        brief = f"{value:g}"
        return brief if float(brief) == value else repr(value)
    return str(value)


def summary(document: Document, part: Part) -> str:
    """What is chosen in a part, in a line."""
    if part.name == "dataset":
        kind, path = place_of_data(document)
        size = value_at(document, ("dataset", "size")) if kind == "folder" else None
        sides = "" if size is None else f"@{'x'.join(shown(size).split(', '))}"
        return f"{kind}:{Path(path).name}{sides}" if path else kind or "none chosen"
    if part.name == "attacks":
        return ", ".join(dict.fromkeys(name_of(item) for item in items(document, "attacks"))) or "none: only trained"
    if part.registry is not None:
        return ", ".join(label(item) for item in items(document, part.name)) or "none chosen"
    return _SUMMARIES[part.name](document)


def study_text(document: Document) -> str:
    """A study in a few words, for a list of them: "7 optimizers × 5 activations × 3 seeds on mnist"."""
    axes = [f"{len(items(document, axis))} {axis}" for axis in ("optimizers", "activations")]
    return f"{' × '.join(axes)} × {seeds_text(document)} on {summary(document, BY_NAME['dataset'])}"


def _name(document: Document) -> str:
    return str(document.get("name", "none"))


def seeds_text(document: Document) -> str:
    """How many seeds there are: "3 seeds"."""
    seeds = document.get("seeds", 1)
    count = len(seeds) if isinstance(seeds, list) else seeds
    return f"{count} seed{'' if count == 1 else 's'}"


def own_subset(document: Document) -> bool:
    """Whether each seed draws its own training subset."""
    vary = document.get("vary")
    return isinstance(vary, list) and "train_subset" in vary


def _samples(document: Document) -> str:
    tested, trained = document.get("test_samples", "all"), document.get("train_samples")
    each = " each" if own_subset(document) else ""
    train = "" if trained is None else f"{trained} train{each}, "
    return f"{seeds_text(document)}, {train}{tested} test"


def _training(document: Document) -> str:
    table = document.get("training", {})
    epochs = table.get("epochs", 5)
    others = {key: value for key, value in table.items() if key not in ("epochs", "batch_size")}
    words = [str(value.get("name", "…") if isinstance(value, dict) else value) for value in others.values() if value]
    told = [word for word in words if word != "none"]
    return ", ".join([f"{epochs} epoch{'' if epochs == 1 else 's'}", *told])


def _score(document: Document) -> str:
    table = document.get("score", {})
    if not table:
        return "automatic"
    return " ".join([str(table.get("norm", "")), f"ε {shown(table['eps'])}" if "eps" in table else ""]).strip()


_SUMMARIES = {"name": _name, "seeds": _samples, "training": _training, "score": _score}

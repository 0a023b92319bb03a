"""Which tensor of a foreign state dict belongs in which place of a network, and what speaks for it or against. Torch-free.

Names are no guide between programs, shapes are, as far as they differ. Where several places have the same shape the order of the
file decides, which is that of the code that made it; numbers in the names may confirm or contradict it.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]
"""Name → shape, in the state dict's order."""

_Signature = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Match:
    """`names` maps each of our names to the file's. `by` is "name", "shape" (no other way fits) or "order" (numbers in the
    names agree, or it is a `guess`). `contradiction` says what in the file speaks against it."""

    names: Mapping[str, str]
    by: str
    guess: str | None = None
    contradiction: str | None = None


def difference(expected: Shapes, given: Shapes) -> list[str]:
    """One phrase per tensor that is missing, too much or of another shape; empty where they fit."""
    return [
        *(f"{key} is missing" for key in expected if key not in given),
        *(
            f"{key} has the shape {shape_text(given[key])}, {shape_text(shape)} expected"
            for key, shape in expected.items()
            if key in given and given[key] != shape
        ),
        *(f"{key} is not part of it" for key in given if key not in expected),
    ]


def shape_text(sizes: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in sizes) or "scalar"


def match(expected: Shapes, given: Shapes) -> Match | None:
    """How the tensors of `given` fit the places of `expected`; None where they do not."""
    if not difference(expected, given):
        return Match({key: key for key in expected}, "name")
    return _by_layer(expected, given) or _by_tensor(expected, given)


def layer_of(name: str) -> str:
    """The layer that a tensor is of: "bn1" for "bn1.running_mean"."""
    return name.rpartition(".")[0]


def layers_in(names: Iterable[str]) -> list[str]:
    """The layers, in the order of their first tensor; by their numbers where the names are sorted as text, since then the file's
    own order is lost."""
    given = list(names)
    layers = list(dict.fromkeys(layer_of(name) for name in given))
    return sorted(layers, key=_natural) if given == sorted(given) else layers


def kind_of(tensors: Shapes) -> str:
    """What a layer is, as far as its tensors tell: "norm", "weights", or the names of its tensors."""
    if "running_mean" in tensors:
        return "norm"
    return "weights" if any(len(shape) > 1 for shape in tensors.values()) else " ".join(sorted(tensors))


def _by_layer(expected: Shapes, given: Shapes) -> Match | None:
    """Layers of one kind among each other: where all norms are declared after all dense layers, each kind has its order still."""
    ours, theirs = _by_kind(expected), _by_kind(given)
    if ours.keys() != theirs.keys() or any(len(ours[kind]) != len(theirs[kind]) for kind in ours):
        return None
    taken: dict[str, str] = {}
    for kind in ours:
        paired = _paired(ours[kind], theirs[kind])
        if paired is None:
            return None
        taken |= paired
    in_place = [taken[layer] for layer in dict.fromkeys(layer_of(key) for key in expected)]
    contradiction = _out_of_order(in_place, {name: one for kind in theirs.values() for name, one in kind.items()})
    interleaved = in_place == layers_in(given)  # then what stands between layers with weights is placed by them
    ordered = {
        kind: _unordered(ours[kind], taken) if not (interleaved and kind != "weights") else None for kind in ours
    }
    twins = next((twins for twins in ordered.values() if twins), None)
    names = {key: f"{taken[layer_of(key)]}.{key.rpartition('.')[2]}".lstrip(".") for key in expected}
    if not any(_repeated(layers.values()) for layers in ours.values()):
        return Match(names, "shape", None, contradiction)
    return Match(names, "order", None if twins is None else _guessed(*twins), contradiction)


def _by_kind(shapes: Shapes) -> dict[str, dict[str, _Signature]]:
    """Kind → layer → its tensors and their shapes, in the file's order."""
    tensors: dict[str, dict[str, tuple[int, ...]]] = {}
    for key, shape in shapes.items():
        tensors.setdefault(layer_of(key), {})[key.rpartition(".")[2]] = shape
    found: dict[str, dict[str, _Signature]] = {}
    for layer in layers_in(shapes):
        found.setdefault(kind_of(tensors[layer]), {})[layer] = tuple(sorted(tensors[layer].items()))
    return found


def _paired(ours: Mapping[str, _Signature], theirs: Mapping[str, _Signature]) -> dict[str, str] | None:
    """Our layer → theirs, those of one shape in their order; None where the shapes are others."""
    waiting: dict[_Signature, list[str]] = {}
    for name, signature in theirs.items():
        waiting.setdefault(signature, []).append(name)
    if Counter(ours.values()) != Counter(theirs.values()):
        return None
    return {name: waiting[signature].pop(0) for name, signature in ours.items()}


def _out_of_order(in_place: Iterable[str], theirs: Mapping[str, _Signature]) -> str | None:
    """Where names that differ in their numbers alone go against the order of their places; not where each number is a size of
    its layer."""
    alike: dict[str, list[str]] = {}
    for name in in_place:
        alike.setdefault(_template(name), []).append(name)
    for names in alike.values():
        if all(_is_size(name, theirs[name]) for name in names):
            continue
        for before, name in itertools.pairwise(names):
            if _numbers(name) < _numbers(before):
                return f"{before} would come before {name}, against the numbers in their names"
    return None


def _template(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", name))


def _is_size(name: str, signature: _Signature) -> bool:
    numbers = _numbers(name)
    return len(numbers) == 1 and any(numbers[0] in shape for _, shape in signature)


def _unordered(ours: Mapping[str, _Signature], taken: Mapping[str, str]) -> tuple[str, str] | None:
    """Two of their layers of one shape of which no numbers in their names say which comes first."""
    last: dict[_Signature, str] = {}
    for layer, signature in ours.items():
        name, before = taken[layer], last.get(signature)
        if before is not None and _template(before) != _template(name):
            return before, name
        last[signature] = name
    return None


def _repeated(shapes: Iterable[object]) -> bool:
    return any(count > 1 for count in Counter(shapes).values())


def _guessed(first: str, second: str) -> str:
    return f"{first} and {second} have the same shape, and only their order in the file says which comes first"


def _by_tensor(expected: Shapes, given: Shapes) -> Match | None:
    """Single tensors, whose names say nothing of layers: by their shapes where each is another, else in their order."""
    theirs: Sequence[str] = list(given)
    if theirs == sorted(theirs):
        theirs = sorted(theirs, key=_natural)
    if Counter(expected.values()) != Counter(given.values()):
        return None
    if not _repeated(expected.values()):
        by_shape = {shape: name for name, shape in given.items()}
        return Match({key: by_shape[shape] for key, shape in expected.items()}, "shape")
    if list(expected.values()) != [given[name] for name in theirs]:
        return None
    names = dict(zip(expected, theirs, strict=True))
    twins = next(
        (first, second)
        for place, first in enumerate(theirs)
        for second in theirs[place + 1 :]
        if given[first] == given[second]
    )
    signatures = {name: (("", shape),) for name, shape in given.items()}
    return Match(names, "order", _guessed(*twins), _out_of_order(theirs, signatures))


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers by their value: "fc10" behind "fc2"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]

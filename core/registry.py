"""Registries: the names a study file may use, each with its summary, source and parameters. Torch-free.

A registry holds frozen entries. An entry carries the function that builds the torch object, which imports
torch inside itself; listing names, validating a study and printing help never load torch.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Generic, Protocol, TypeVar

from core.errors import BadInput, Mistakes


@dataclass(frozen=True)
class Parameter:
    """One option of an entry: its type, default, range and unit.

    `kind` is one of "int", "float", "bool", "str", "ints" (a list of whole numbers), "floats", "strs". `low` and `high` are
    inclusive bounds, or exclusive where `open_low` / `open_high` say so. `none_allowed` lets the value be absent
    (None), which then means what `summary` says. A "float" may be written as a fraction in text ("8/255").
    `step_size` parameters also accept "eps/K". `omit_default` leaves the default out of the resolved options, so that an
    option added later does not change what is known by the options of before; read it with `options.get`.
    """

    name: str
    kind: str
    default: Any
    summary: str
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    choices: tuple[str, ...] = ()
    unit: str = ""
    none_allowed: bool = False
    step_size: bool = False
    omit_default: bool = False

    def parse(self, value: Any, where: str) -> Any:
        """`value` checked and in its canonical Python type; raises BadInput naming `where` (the key)."""
        if value is None and self.none_allowed:
            return None
        if self.kind == "bool":
            if not isinstance(value, bool):
                raise BadInput.at(where, f"expected true or false, got {value!r}")
            return value
        if self.kind == "str":
            if not isinstance(value, str):
                raise BadInput.at(where, f"expected text, got {value!r}")
            if self.choices and value not in self.choices:
                raise BadInput.at(
                    where, f"{value!r} is not one of {', '.join(self.choices)}{meant(value, self.choices)}"
                )
            return value
        if self.kind == "strs":
            if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
                raise BadInput.at(where, f"expected a list of names, got {value!r}")
            return list(value)
        if self.kind in ("ints", "floats"):
            if not isinstance(value, (list, tuple)) or not value:
                raise BadInput.at(where, f"expected a list of numbers, got {value!r}")
            return [self._number(item, where, whole=self.kind == "ints") for item in value]
        if self.step_size and isinstance(value, str) and value.replace(" ", "").startswith("eps/"):
            divisor = parse_number(value.replace(" ", "")[4:], where)
            if divisor <= 0:
                raise BadInput.at(where, f"{value!r} must divide by a number above 0")
            return f"eps/{divisor:g}"
        return self._number(value, where, whole=self.kind == "int")

    def _number(self, value: Any, where: str, *, whole: bool) -> int | float:
        if isinstance(value, bool) or (whole and not isinstance(value, int)):
            raise BadInput.at(where, f"expected a {'whole ' if whole else ''}number, got {value!r}")
        number: int | float = value if whole else parse_number(value, where)
        too_low = self.low is not None and (number < self.low or (self.open_low and number == self.low))
        too_high = self.high is not None and (number > self.high or (self.open_high and number == self.high))
        if too_low or too_high:
            raise BadInput.at(where, f"{value!r} is out of range, it must be {self.range_text()}")
        return number

    def range_text(self) -> str:
        """The range in words, such as "above 0 and at most 1"; empty where there is none."""
        parts = []
        if self.low is not None:
            parts.append(f"{'above' if self.open_low else 'at least'} {self.low:g}")
        if self.high is not None:
            parts.append(f"{'below' if self.open_high else 'at most'} {self.high:g}")
        return " and ".join(parts)


class Entry(Protocol):
    """What every registry entry has."""

    @property
    def name(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def parameters(self) -> tuple[Parameter, ...]: ...


E = TypeVar("E", bound=Entry)


class Registry(Generic[E], Mapping[str, E]):
    """Entries by name, in the order they were given; `noun` names one of them in messages.

    `unlisted` entries are found by name like the others; whoever goes through all does not meet them.
    """

    def __init__(self, noun: str, entries: tuple[E, ...], unlisted: tuple[E, ...] = ()) -> None:
        self.noun = noun
        self.unlisted = {entry.name: entry for entry in unlisted}
        self._entries = {entry.name: entry for entry in entries}
        if len(self._entries | self.unlisted) != len(entries) + len(unlisted):
            raise ValueError(f"two entries of the {noun} registry share a name")

    def __getitem__(self, name: str) -> E:
        return self._entries[name] if name in self._entries else self.unlisted[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: str, where: str) -> E:
        """The entry called `name`; raises BadInput naming the key and the nearest match."""
        entry = self.get(name)
        if entry is None:
            whole = [known for known in self.unlisted if known.endswith(f":{name}")]
            near = meant(name, whole or [*self._entries, *self.unlisted]) or nearest(name, self._entries)
            raise BadInput.at(where, f"unknown {self.noun} {name!r}{near}")
        return entry


def resolve_options(entry: Entry, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Every parameter of `entry` with its given or default value, checked, but for defaults that are left out by design
    (`Parameter.omit_default`); raises BadInput for an unknown option or one out of range, with all others that are."""
    known = {parameter.name: parameter for parameter in entry.parameters}
    mistakes = Mistakes()
    for key in given:
        if key not in known:
            mistakes.note(no_option(entry, key, known, where))
    resolved = {
        name: mistakes.attempt(parameter.parse, given[name], f"{where}.{name}") if name in given else parameter.default
        for name, parameter in known.items()
    }
    if mistakes.found:
        raise mistakes.error()
    return {
        name: value
        for name, value in resolved.items()
        if not (known[name].omit_default and value == known[name].default)
    }


def no_option(entry: Entry, key: str, known: Collection[str], where: str) -> BadInput:
    """What is wrong with `key` where `entry` takes only the options `known`."""
    words = f"{entry.name} has no option {key!r}{nearest(key, known) if known else ' (it takes none)'}"
    return BadInput(f"{where}: {words}", key=f"{where}.{key}", words=words)


def nearest(name: str, known: Any) -> str:
    """ "; did you mean 'x'?" for the closest of `known`, else where to look, ready to append to a message."""
    names = [str(item) for item in known]
    matches = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.5)
    if matches:
        return f"; did you mean {matches[0]!r}?"
    return f"; known: {', '.join(names)}" if len(names) <= 12 else ""


def meant(name: str, known: Any) -> str:
    """As `nearest`, for a message that lists `known` itself; empty where none is near."""
    found = nearest(name, known)
    return found if "did you mean" in found else ""


def _as_float(value: float | Fraction) -> float:
    """A number too large for a float is as infinite as a user needs it."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def parse_number(value: Any, where: str) -> float:
    """A finite float from a number or a fraction as text ("8/255"); raises BadInput naming the key."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = _as_float(value)
    elif isinstance(value, str):
        try:
            number = _as_float(Fraction(value.replace(" ", "")))
        except (ValueError, ZeroDivisionError):
            raise BadInput.at(where, f'{value!r} is not a number (write 0.1 or "8/255")') from None
    else:
        raise BadInput.at(where, f"expected a number, got {value!r}")
    if not math.isfinite(number):
        raise BadInput.at(where, f"{value!r} is not a finite number")
    return number

"""Registries: the names a study file may use, each with its summary, source and parameters. Torch-free.

A registry holds frozen entries. An entry carries the function that builds the torch object, which imports
torch inside itself; listing names, validating a study and printing help never load torch.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Generic, Protocol, TypeVar

from core import plugged
from core.errors import BadInput, Mistakes
from core.plugged import Installed


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


@dataclass(frozen=True)
class Additions(Generic[E]):
    """How a registry takes what plugins add: the field of `plugged.Plugin`, the class of its entries, and

    `adopt(entry, plugin)`, the entry as it is used, which raises ValueError saying what is wrong with it; `absent(name, why)`,
    what stands for the entry of a plugin that is not at hand wherever a stored name is looked up: everything known of it is
    usual, and whoever wants to carry it out is refused.
    """

    field: str
    kind: type[Any]
    adopt: Callable[[E, Installed], E]
    absent: Callable[[str, str], E] | None = None


@dataclass(frozen=True)
class Adopted(Generic[E]):
    """What a registry took from the plugins, and what it refused: (plugin, what is wrong)."""

    of: tuple[Installed, ...]
    entries: Mapping[str, E]
    owners: Mapping[str, Installed]
    refused: tuple[tuple[Installed, str], ...]


class Registry(Generic[E], Mapping[str, E]):
    """Entries by name, in the order they were given, then those of plugins; `noun` names one of them in messages.

    `unlisted` entries are found by name like the others; whoever goes through all does not meet them. Plugins are loaded by
    whoever goes through all, or asks for a name that only one of them can have.
    """

    def __init__(
        self, noun: str, entries: tuple[E, ...], unlisted: tuple[E, ...] = (), additions: Additions[E] | None = None
    ) -> None:
        self.noun = noun
        self.unlisted = {entry.name: entry for entry in unlisted}
        self._entries = {entry.name: entry for entry in entries}
        self._additions = additions
        self._adopted: Adopted[E] | None = None
        if len(self._entries | self.unlisted) != len(entries) + len(unlisted):
            raise ValueError(f"two entries of the {noun} registry share a name")

    def __getitem__(self, name: str) -> E:
        """As of a dict with `__missing__`: a name of a plugin's form gives what stands for it, though it is not `in` here."""
        entry = self.get(name)
        if entry is not None:
            return entry
        why = plugged.lacking(name) if self._additions is not None else None
        if why is None or self._additions is None or self._additions.absent is None:
            raise KeyError(name)
        return self._additions.absent(name, f"{self.noun} {name}: {why}")

    def get(self, name: str, default: E | None = None) -> E | None:  # type: ignore[override]
        entry = self._entries.get(name) or self.unlisted.get(name)
        if entry is None and self._additions is not None and plugged.owner(name) is not None:
            entry = self.adopted.entries.get(name)
        return default if entry is None else entry

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        yield from self._entries
        yield from self.adopted.entries

    def __len__(self) -> int:
        return len(self._entries) + len(self.adopted.entries)

    def find(self, name: str, where: str) -> E:
        """The entry called `name`; raises BadInput naming the key and the nearest match, or the plugin that it would need."""
        entry = self.get(name)
        if entry is None:
            why = plugged.lacking(name) if self._additions is not None else None
            if why is not None and name.partition(":")[0] not in self._plugins:
                raise BadInput.at(where, f"unknown {self.noun} {name!r}: {why}")
            whole = [known for known in (*self.unlisted, *self.adopted.entries) if known.endswith(f":{name}")]
            near = meant(name, whole or [*self, *self.unlisted]) or nearest(name, self)
            broken = plugged.unloaded() if self._additions is not None else ""
            raise BadInput.at(where, f"unknown {self.noun} {name!r}{near}{broken}")
        return entry

    @property
    def adopted(self) -> Adopted[E]:
        """What plugins add here."""
        found = plugged.installed() if self._additions is not None else ()
        if self._adopted is None or self._adopted.of is not found:
            self._adopted = _adopted(self._additions, found, self.noun)
        return self._adopted

    @property
    def _plugins(self) -> set[str]:
        """Those that add something here."""
        return {one.name for one in self.adopted.owners.values()}


def _adopted(additions: Additions[E] | None, found: tuple[Installed, ...], noun: str) -> Adopted[E]:
    entries: dict[str, E] = {}
    owners: dict[str, Installed] = {}
    refused: list[tuple[Installed, str]] = []
    for plugin in found if additions is not None else ():
        assert additions is not None
        for entry in getattr(plugin.plugin, additions.field):
            name = getattr(entry, "name", None)
            what = f"{noun} {name!r}" if isinstance(name, str) else f"an {noun}" if noun[0] in "aeio" else f"a {noun}"
            try:
                wrong = _fault(entry, additions.kind, plugin.name, entries)
                if wrong is None:
                    named = replace(entry, name=f"{plugin.name}:{name}", parameters=tuple(entry.parameters))
                    entries[named.name], owners[named.name] = additions.adopt(named, plugin), plugin
                else:
                    refused.append((plugin, f"{what} {wrong}"))
            except ValueError as error:
                refused.append((plugin, f"{what} {error}"))
            except Exception as error:  # what an entry is made of may be anything
                refused.append((plugin, f"{what} cannot be used: {type(error).__name__}: {error}"))
    return Adopted(found, entries, owners, tuple(refused))


def _fault(entry: Any, kind: type[Any], plugin: str, known: Collection[str]) -> str | None:
    """What keeps `entry` from any registry of this kind, in words that follow its name."""
    if not isinstance(entry, kind):
        return f"is of type {type(entry).__name__}, not {kind.__name__}"
    name: Any = entry.name
    if not isinstance(name, str) or not plugged.NAME.fullmatch(name):
        return "has a name of other characters than small letters, digits, '.', '-' and '_'"
    if f"{plugin}:{name}" in known:
        return "is there twice"
    parameters = entry.parameters
    if not isinstance(parameters, list | tuple) or not all(isinstance(one, Parameter) for one in parameters):
        return "has parameters that are no tuple of Parameter"
    if not all(isinstance(text, str) for text in (entry.summary, entry.source)):
        return "has a summary or a source that is no text"
    return None


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

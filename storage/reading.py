"""From the rows of a SELECT to frozen records, and from records to plain data, each in one place.

A record's fields are the columns that are read for it, by name and in the order in which JSON shows them. To show one more
column of a view: a field in its record.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from core.records.attack import AttackSpec

if TYPE_CHECKING:
    from sqlite_utils import Database

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
"""Plain data, as JSON knows it."""
Options = Mapping[str, Json]
"""Resolved options by name."""


class Record(Protocol):
    """Any frozen dataclass whose fields are named like columns."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


R = TypeVar("R", bound=Record)


@functools.lru_cache(maxsize=4096)
def parsed(text: str) -> Any:
    """Stored JSON. Ten thousand trials share a few dozen option texts; what is read here is never changed."""
    return json.loads(text)


@functools.lru_cache(maxsize=1024)
def _attack(text: str) -> AttackSpec:
    return AttackSpec.from_json(json.loads(text))


_STORED_AS_TEXT: Mapping[str, Callable[[str], object]] = {
    "architecture_options": parsed, "optimizer_options": parsed, "activation_options": parsed, "defense_options": parsed,
    "training": parsed, "trust_reasons": parsed, "notes": parsed, "attack_spec": _attack, "spec": json.loads,
    "environment": json.loads, "shape": parsed, "class_names": parsed,
    "audit_attacks": parsed, "felled_by": parsed, "vary": parsed, "tags": parsed,
}  # fmt: skip
"""Columns that hold JSON, each with what makes a value of it."""


def columns(kind: type[Record], table: str = "") -> str:
    """The columns of a record for a SELECT, of `table` if it is named."""
    prefix = f"{table}." if table else ""
    return ", ".join(f'{prefix}"{field.name}"' for field in dataclasses.fields(kind))


def read(db: Database, kind: type[R], sql: str, values: Sequence[object] | dict[str, object] = ()) -> list[R]:
    """The rows of a SELECT whose columns are those of `kind`, in any order."""
    return list(stream(db, kind, sql, values))


def stream(db: Database, kind: type[R], sql: str, values: Sequence[object] | dict[str, object] = ()) -> Iterator[R]:
    """The same one by one: however many there are, few are in memory. They are as of the moment of the first."""
    cursor = db.execute(sql, values)
    names = [column[0] for column in cursor.description]
    lacking = set(_names(kind)) - set(names)
    assert set(names) <= set(_names(kind)), f"{kind.__name__} has a field for each column"
    assert all(hasattr(kind, name) for name in lacking), f"{kind.__name__}: no column and no default for {lacking}"
    decoders = [(place, _STORED_AS_TEXT[name]) for place, name in enumerate(names) if name in _STORED_AS_TEXT]
    for row in cursor:
        cells = list(row)
        for place, decode in decoders:
            if cells[place] is not None:
                cells[place] = decode(cells[place])
        # What a frozen dataclass's own __init__ does field by field, which of a hundred thousand rows is most of the time.
        record = kind.__new__(kind)
        record.__dict__.update(zip(names, cells, strict=True))
        yield record


def as_json(row: Record) -> dict[str, Json]:
    """A record as plain data: its fields by name, in their order."""
    return {name: _plain(getattr(row, name)) for name in _names(type(row))}


@functools.cache
def _names(kind: type[Record]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


_BARE = (str, int, float, bool, type(None), dict, list)
"""Types of values that are plain data already; by far the most."""


def _plain(value: Any) -> Json:
    if type(value) in _BARE:
        bare: Json = value
        return bare
    if isinstance(value, AttackSpec):
        return value.as_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return as_json(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    plain: Json = value
    return plain

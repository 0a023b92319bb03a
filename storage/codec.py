"""Frozen dataclasses as plain JSON data and back, read off their own fields: what clients ask, what is answered, the log."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class Misfit(ValueError):
    """Data that is not what the dataclass holds; the message names the field."""


def encoded(value: Any) -> Any:
    """`value` as JSON data. A dataclass with an `as_json` of its own is what that says; others are their fields."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [encoded(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): encoded(one) for key, one in value.items()}
    if hasattr(value, "as_json"):
        return value.as_json()
    return {field.name: encoded(getattr(value, field.name)) for field in dataclasses.fields(value)}


def decoded(kind: type[T], data: Any) -> T:
    """The `kind` that `encoded` made `data` of. Raises Misfit; fields that the data lacks have their defaults."""
    made: T = _value(kind, data, kind.__name__)
    return made


@functools.cache
def _hints(kind: type) -> Mapping[str, Any]:
    return typing.get_type_hints(kind)


def _value(hint: Any, data: Any, name: str) -> Any:
    """`data` as what the annotation `hint` of the field `name` says."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if data is None and type(None) in arguments:
            return None
        (wanted,) = (argument for argument in arguments if argument is not type(None))
        return _value(wanted, data, name)
    if origin is typing.Literal:
        if data not in arguments:
            raise Misfit(f"{name} is none of {', '.join(map(str, arguments))}")
        return data
    if origin is tuple:
        if not isinstance(data, list):
            raise Misfit(f"{name} is not a list")
        each = [arguments[0]] * len(data) if arguments[-1] is Ellipsis else arguments
        if len(each) != len(data):
            raise Misfit(f"{name} has {len(data)} values, not {len(each)}")
        return tuple(_value(one, part, name) for one, part in zip(each, data, strict=True))
    if origin is not None:
        if not isinstance(data, dict):
            raise Misfit(f"{name} is not a table")
        return {key: _value(arguments[1], part, name) for key, part in data.items()}
    if hint is Any:
        return data
    if hint is Path and isinstance(data, str):
        return Path(data)
    if dataclasses.is_dataclass(hint):
        return _record(hint, data, name)
    fits = isinstance(data, int | float) if hint is float else isinstance(data, hint)
    if not fits or (isinstance(data, bool) and hint is not bool):
        raise Misfit(f"{name} is not of the kind {hint.__name__}")
    return data


def _record(kind: Any, data: Any, name: str) -> Any:
    if not isinstance(data, dict):
        raise Misfit(f"{name} is not a table")
    if hasattr(kind, "from_json"):
        try:
            return kind.from_json(data)
        except (KeyError, TypeError, ValueError) as error:
            raise Misfit(f"{name} is not complete ({error})") from None
    for field in dataclasses.fields(kind):
        if field.name not in data and field.default is dataclasses.MISSING:
            raise Misfit(f"{field.name} is missing")
    known = {field.name for field in dataclasses.fields(kind)} & data.keys()
    return kind(**{field: _value(_hints(kind)[field], data[field], field) for field in known})

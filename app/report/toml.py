"""A study document as TOML text, in the order in which the study file is explained."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.terminal.characters import visible_quoted

Table = Mapping[str, Any]

_TOP = (
    "name", "description", "dataset", "architectures", "optimizers", "activations", "defenses", "seeds",
    "vary", "train_samples", "test_samples",
)  # fmt: skip
_TABLES = ("training", "tuning", "attacks", "score")
_ATTACK = ("name", "norm", "eps", "steps", "alpha", "restarts", "loss", "random_start")
_WIDTH = 100
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(document: Table) -> str:
    """`document` as a study file: `tomllib.loads` gives it back. A value of None, which TOML lacks, is left out."""
    plain, tables = [], []
    for key in _ordered(document, (*_TOP, *_TABLES)):
        value = document[key]
        if isinstance(value, Mapping) and key in _TABLES:
            tables.append("\n".join([f"[{_key(key)}]", *_pairs(value, ())]))
        elif (
            key == "attacks" and value and isinstance(value, list) and all(isinstance(item, Mapping) for item in value)
        ):
            tables += ["\n".join(["[[attacks]]", *_pairs(item, _ATTACK)]) for item in value]
        else:
            plain.append(_pair(key, value))
    return "\n\n".join(["\n".join(plain), *tables] if plain else tables) + "\n"


def _ordered(table: Table, order: Sequence[str]) -> list[str]:
    there = [key for key in table if table[key] is not None]
    return [key for key in order if key in there] + [key for key in there if key not in order]


def _pairs(table: Table, order: Sequence[str]) -> list[str]:
    return [_pair(key, table[key]) for key in _ordered(table, order)]


def _pair(key: str, value: Any) -> str:
    line = f"{_key(key)} = {toml_value(value)}"
    if len(line) > _WIDTH and isinstance(value, list):
        return "\n".join([f"{_key(key)} = [", *(f"    {toml_value(item)}," for item in value), "]"])
    return line


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else toml_value(key)


def toml_value(value: Any) -> str:
    """A value as TOML has it in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return visible_quoted(
            json.dumps(value, ensure_ascii=False)
        )  # JSON's escapes are TOML's, which also wants DEL escaped
    if isinstance(value, Mapping):
        return "{" + ", ".join(_pairs_inline(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return repr(value)


def _pairs_inline(table: Table) -> list[str]:
    return [f"{_key(key)} = {toml_value(table[key])}" for key in _ordered(table, ())]

"""The study file's keys and types, as pydantic sees them; meaning (names, ranges, grids) is `core.study.resolve`'s.

Unknown keys, wrong types, NaN and counts below 1 stop here, each as one line that names the key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from core.errors import BadInput, Mistakes
from core.registry import nearest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Count = Annotated[int, Field(ge=1, le=10**12)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Name = str | dict[str, Any]
Axis = Annotated[list[Name], Field(min_length=1)]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, validate_assignment=True)


class TrainingTable(_Table):
    """`[training]`."""

    epochs: Count = 5
    batch_size: Count = 128
    hyperparameters: str = "torch"
    initialisation: str = "torch"
    precision: str = "fp32"
    schedule: Name = "constant"
    weight_decay: float = Field(default=0.0, ge=0.0)
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    augment: bool = False
    validation: float = Field(default=0.0, ge=0.0, lt=1.0)
    averaging: Name = "none"


class ScoreTable(_Table):
    """`[score]`: the threat that single-ε scores refer to."""

    norm: str | None = None
    eps: float | str | None = None


class AuditTable(_Table):
    """`[audit]`: how hard each model is attacked again after the study's own attacks, and on how many survivors."""

    samples: Annotated[int, Field(ge=0, le=10**9)] = 64
    share: float = Field(default=0.25, gt=0.0, le=100.0)
    depth: str = "budget"


class TuningTable(_Table):
    """`[tuning]`: how the options that optimizers are not given are chosen, where `training.hyperparameters` says "tuned"."""

    trials: Annotated[int, Field(ge=2, le=100)] = 5
    validation: float = Field(default=0.1, gt=0.0, lt=1.0)
    epochs: Count | None = None
    train_samples: Count | None = None
    ranges: dict[str, dict[str, Any]] = {}


class StudyFile(_Table):
    """The whole file. Attacks stay raw tables: each attack's registry entry knows its own keys."""

    name: str
    description: str = ""
    dataset: Name
    architectures: Axis
    optimizers: Axis
    activations: Axis
    defenses: Axis = ["none"]
    seeds: Count | Annotated[list[Seed], Field(min_length=1)] = 1
    vary: Annotated[list[str], Field(min_length=1)] = ["seed"]
    train_samples: Count | None = None
    test_samples: Count | None = None
    training: TrainingTable = TrainingTable()
    tuning: TuningTable = TuningTable()
    attacks: list[dict[str, Any]] = []
    audit: AuditTable = AuditTable()
    score: ScoreTable = ScoreTable()

    @field_validator("name")
    @classmethod
    def _name_is_addressable(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(
                "use letters, digits, '.', '_' and '-', starting with a letter or digit, 100 characters at most"
            )
        return value


def read(document: Mapping[str, Any], mistakes: Mistakes) -> StudyFile:
    """`document` as a StudyFile, each key by itself, so that all that are wrong are noted in `mistakes`.

    A key at fault holds its default, and one that has none is empty: neither is a mistake once more.
    """
    file = StudyFile.model_construct(name="", dataset="", architectures=[], optimizers=[], activations=[])
    _read_table(file, document, "", mistakes)
    return file


def read_audit(table: Mapping[str, Any], where: str, mistakes: Mistakes) -> AuditTable:
    """An `[audit]` table by itself; what is wrong in it is noted in `mistakes`, named from `where`."""
    audit = AuditTable()
    _read_table(audit, table, f"{where}.", mistakes)
    return audit


def _read_table(table: _Table, given: Mapping[str, Any], at: str, mistakes: Mistakes) -> None:
    fields = type(table).model_fields
    for name, field in fields.items():
        if name not in given:
            if field.is_required():
                mistakes.note(BadInput(f"the key {at + name!r} is missing", key=at + name))
            continue
        inner = getattr(table, name)
        if isinstance(inner, _Table) and isinstance(given[name], dict):
            _read_table(inner, given[name], f"{at}{name}.", mistakes)
            setattr(table, name, inner)  # so that it counts as given
            continue
        try:
            setattr(table, name, given[name])
        except ValidationError as error:
            first: dict[str | None, BadInput] = {}
            for mistake in (_in_words(fault, at) for fault in error.errors()):
                first.setdefault(mistake.key, mistake)
            for mistake in first.values():
                mistakes.note(mistake)
    for name in given:
        if name not in fields:
            hint = nearest(name, fields)
            if isinstance(table, StudyFile) and name in TrainingTable.model_fields:
                hint = f"; it belongs under [training]: training.{name}"
            mistakes.note(BadInput(f"unknown key {at + name!r}{hint}", key=at + name))


def _in_words(fault: ErrorDetails, at: str) -> BadInput:
    """One pydantic error in a study file's own words; `at` is the table that it lies in, "" or "training."."""
    key = at + _dotted(fault["loc"])
    kind, given = fault["type"], fault.get("input")
    if kind in ("too_short", "list_too_short"):
        return BadInput(f"{key} is empty: name at least one", key=key)
    bounds = fault.get("ctx", {})
    if kind == "value_error":  # what a validator of this module raised
        return BadInput.at(key, str(bounds["error"]))
    for kind_of_bound, words in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
        if kind_of_bound in bounds:
            return BadInput.at(key, f"{given!r} is out of range, it must be {words} {bounds[kind_of_bound]}")
    if kind == "finite_number":
        return BadInput.at(key, f"{given!r} is not a finite number")
    expected = _EXPECTED.get(kind)
    if expected:
        return BadInput.at(key, f"expected {expected}, got {given!r}")
    return BadInput.at(key, fault["msg"])


_MEMBERS = ("str", "list", "dict", "int", "float", "constrained-int")
_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def _dotted(location: tuple[int | str, ...]) -> str:
    """The key of a place, without the names that pydantic gives to the members of a union."""
    first, *rest = location
    key = str(first)
    for part in rest:
        if isinstance(part, int):
            key += f"[{part}]"
        elif "[" not in part and part not in _MEMBERS:
            key += f".{part}"
    return key

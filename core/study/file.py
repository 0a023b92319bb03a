"""The study file's keys and types, as pydantic sees them; meaning (names, ranges, grids) is `core.study.resolve`'s.

Unknown keys, wrong types, NaN and counts below 1 stop here, each as one line that names the key.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from core.errors import BadInput
from core.registry import nearest

Count = Annotated[int, Field(ge=1, le=10**12)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Name = str | dict[str, Any]
Axis = Annotated[list[Name], Field(min_length=1)]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


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


class ScoreTable(_Table):
    """`[score]`: the threat that single-ε scores refer to."""

    norm: str | None = None
    eps: float | str | None = None


class StudyFile(_Table):
    """The whole file. Attacks stay raw tables: each attack's registry entry knows its own keys."""

    name: str
    description: str = ""
    dataset: str
    architectures: Axis
    optimizers: Axis
    activations: Axis
    defenses: Axis = ["none"]
    seeds: Count | Annotated[list[Seed], Field(min_length=1)] = 1
    train_samples: Count | None = None
    test_samples: Count | None = None
    training: TrainingTable = TrainingTable()
    attacks: list[dict[str, Any]] = []
    score: ScoreTable = ScoreTable()

    @field_validator("name")
    @classmethod
    def _name_is_addressable(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(
                "use letters, digits, '.', '_' and '-', starting with a letter or digit, 100 characters at most"
            )
        return value


def validate(document: dict[str, Any], where: str) -> StudyFile:
    """`document` as a StudyFile; raises BadInput with the first mistake, its key, and how many more there are."""
    try:
        return StudyFile.model_validate(document)
    except ValidationError as error:
        mistakes = error.errors()
        more = len({_dotted(_location(mistake)) for mistake in mistakes}) - 1
        tail = f" (and {more} more)" if more else ""
        raise BadInput(f"{where}: {_mistake_in_words(mistakes[0])}{tail}") from None


def _location(mistake: Any) -> list[Any]:
    """Where it is, without the names that pydantic gives to the members of a union."""
    return [
        part
        for part in mistake["loc"]
        if not (isinstance(part, str) and ("[" in part or part in ("int", "constrained-int")))
    ]


def _mistake_in_words(mistake: Any) -> str:
    """One pydantic error in a study file's own words."""
    location = _location(mistake)
    key = _dotted(location)
    kind, given = mistake["type"], mistake.get("input")
    if kind == "extra_forbidden":
        table = TrainingTable if location[0] == "training" else ScoreTable if location[0] == "score" else StudyFile
        hint = nearest(str(location[-1]), table.model_fields)
        if table is StudyFile and str(location[-1]) in TrainingTable.model_fields:
            hint = f"; it belongs under [training]: training.{location[-1]}"
        return f"unknown key {key!r}{hint}"
    if kind == "missing":
        return f"the key {key!r} is missing"
    if kind in ("too_short", "list_too_short"):
        return f"{key} is empty: name at least one"
    bounds = mistake.get("ctx", {})
    for kind_of_bound, words in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
        if kind_of_bound in bounds:
            return f"{key}: {given!r} is out of range, it must be {words} {bounds[kind_of_bound]}"
    if kind == "finite_number":
        return f"{key}: {given!r} is not a finite number"
    expected = _EXPECTED.get(kind)
    if expected:
        return f"{key}: expected {expected}, got {given!r}"
    return f"{key}: {mistake['msg'].removeprefix('Value error, ')}"


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


def _dotted(location: list[Any]) -> str:
    key = ""
    for part in location:
        if isinstance(part, int):
            key += f"[{part}]"
        elif part not in ("str", "list") or not key:
            key += f".{part}" if key else str(part)
    return key.replace(".dict", "")

"""The table of runs: one row per trial × study with its scores, filtered, sorted and paged by SQLite.

The filter is a line of conditions that must all hold, such as `optimizer=adam clean>0.9 trust!=ok optimizer.lr<0.01`; a
bare word must occur in the row's names or begin its id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from core.errors import BadInput
from core.registry import nearest
from storage.brief import keep_up
from storage.reading import read
from storage.rows import FoundTrial, ListedTrial, TrialRow
from storage.tuning import companion, is_companion

if TYPE_CHECKING:
    from sqlite_utils import Database

R = TypeVar("R", bound=FoundTrial)

_TEXT = {
    "id": "st.trial_id", "study": "st.study", "dataset": "v.dataset", "architecture": "v.architecture",
    "optimizer": "v.optimizer", "activation": "v.activation", "defense": "v.defense", "state": "st.state",
    "trust": "st.trust", "reason": "st.reason",
}  # fmt: skip
_NUMBERS = {
    "seed": "b.seed", "attempts": "(SELECT count(*) FROM attempt a WHERE a.trial_id = st.trial_id)", "clean": "c.accuracy",
    "worst": "sw.value", "kept": "sr.value", "area": "sa.value", "innate": "si.value", "seconds": "t.train_seconds",
    "priority": "st.priority", "eps": "s.threat_eps",
}  # fmt: skip
_NOTED = {"tag": "w.value", "note": "lower(n.text)"}
"""What is noted on a row's variant or on its study can be filtered by, not sorted."""
_SHARES = ("clean", "worst", "kept", "area")
_ALIASES = {
    "trial": "id", "arch": "architecture", "opt": "optimizer", "act": "activation", "def": "defense",
    "clean_accuracy": "clean", "worst_case": "worst", "retention": "kept", "curve_area": "area",
    "train_seconds": "seconds", "trial_id": "id", "threat_eps": "eps",
}  # fmt: skip
_OPTIONS = ("architecture", "optimizer", "activation", "defense", "training")
KEYS = (*_TEXT, *_NUMBERS)
"""What can be filtered and sorted by."""

_JOINS = {
    "b": "CROSS JOIN brief b ON b.id = st.trial_id",
    "v": "CROSS JOIN brief_variant v ON v.number = b.number",
    "t": "CROSS JOIN trial t ON t.id = st.trial_id",
    "c": "LEFT JOIN clean c ON c.trial_id = st.trial_id AND c.samples = s.samples",
    **{
        alias: f"LEFT JOIN score {alias} "
        f"ON {alias}.study = st.study AND {alias}.trial_id = st.trial_id AND {alias}.name = '{name}'"
        for alias, name in (("sw", "worst_case"), ("sr", "retention"), ("sa", "curve_area"), ("si", "innate"))
    },
}
"""Alias → how it is joined. Each is looked up by the trial's id, as cheap where ids come in order as it is dear where not."""
_EXPRESSIONS = {
    "study": "st.study", "trial_id": "st.trial_id", "variant_id": "t.variant_id", "dataset": "t.dataset",
    "architecture": "t.architecture", "optimizer": "t.optimizer", "activation": "t.activation", "defense": "t.defense",
    "seed": "t.seed", "state": "st.state", "reason": "st.reason", "attempts": _NUMBERS["attempts"],
    "clean_accuracy": "c.accuracy", "initial_digest": "t.initial_digest", "final_digest": "t.final_digest",
    "train_seconds": "t.train_seconds", "trust": "st.trust", "trust_reasons": "st.trust_reasons",
    "priority": "st.priority", "position": "st.position", "train_samples": "t.train_samples",
    "architecture_options": "t.architecture_options",
    "optimizer_options": "coalesce(json_patch(t.optimizer_options, st.tuned), t.optimizer_options)",
    "activation_options": "t.activation_options", "defense_options": "t.defense_options", "training": "t.training",
    "threat_norm": "s.threat_norm", "threat_eps": "s.threat_eps",
    "worst_case": "sw.value", "retention": "sr.value", "curve_area": "sa.value", "innate": "si.value",
    # Only what was trained on a subset can have another than the default: the JSON of all others need not be looked into.
    "vary": "CASE WHEN t.train_samples IS NOT NULL THEN json_extract(t.spec, '$.vary') END",
    "left_study": "NULL", "left_at": "NULL",
}  # fmt: skip
_OUTSIDE = {
    "optimizer_options": "t.optimizer_options", "left_study": "st.left_study", "left_at": "st.left_at",
}  # fmt: skip
"""Those that are others for trials in no study."""
_MOST_IMAGES = "(SELECT o.samples FROM clean o WHERE o.trial_id = st.trial_id ORDER BY o.count DESC, o.samples LIMIT 1)"
COLUMNS = tuple(_EXPRESSIONS)
"""Those of an exported table, in their order."""
OF_ONE_VARIANT = "st.trial_id IN (SELECT id FROM trial WHERE variant_id = ?)"
_ALIAS = re.compile(r"\b(\w+)\.\w")
_CONDITION = re.compile(r"([A-Za-z_][\w.]*)\s*(!=|>=|<=|=|>|<|~)\s*(\"[^\"]*\"|\S*)|(\"[^\"]*\"|\S+)")
_SQL_OPERATORS = {"=": "=", "!=": "<>", ">": ">", "<": "<", ">=": ">=", "<=": "<="}


@dataclass(frozen=True)
class Filter:
    """A parsed filter: an SQL condition and its values."""

    text: str = ""
    sql: str = "1"
    values: tuple[Any, ...] = ()

    def narrowed(self, column: str, value: Any) -> Filter:
        """This and `column` = `value`; the column is one of KEYS that is text."""
        expression = _TEXT[column] if column in _TEXT else f"CAST({_NUMBERS[column]} AS TEXT)"
        return Filter(self.text, f"({self.sql}) AND {_of_variant(f'{expression} = ?')}", (*self.values, value))

    def among(self, trial_ids: Sequence[str]) -> Filter:
        """This, and being one of these trials."""
        sql = f"({self.sql}) AND st.trial_id IN (SELECT value FROM json_each(?))"
        return Filter(self.text, sql, (*self.values, json.dumps(list(trial_ids))))


EVERYTHING = Filter()


def parse_filter(text: str) -> Filter:
    """`text` as a Filter. Raises BadInput naming the condition at fault.

    Operators: = != > < >= <= and ~ (contains). Shares may be written 0.9, 90 or 90%. A dotted key names an option.
    """
    conditions: list[str] = []
    values: list[Any] = []
    for match in _CONDITION.finditer(text):
        key, operator, value, word = match.groups()
        if word is not None:
            condition, found = _bare(word.strip('"'))
        else:
            condition, found = _compared(key, operator, value.strip('"'), match.group(0))
        conditions.append(condition)
        values += found
    return Filter(text.strip(), " AND ".join(conditions) or "1", tuple(values))


def _bare(word: str) -> tuple[str, list[Any]]:
    if word.lstrip("!<>=~") != word:
        raise BadInput(f"filter: {word!r} lacks a key; write KEY{word}, such as optimizer=adam")
    name = _ALIASES.get(word.lower(), word.lower())
    if name in (*KEYS, *_NOTED):
        example = ">0.9" if name in _NUMBERS else {"tag": "=keep", "note": "~again"}.get(name, "=adam")
        raise BadInput(f"filter: {word}: compare it with something, such as {name}{example}")
    own, shared = ("study", "state"), ("dataset", "architecture", "optimizer", "activation", "defense")
    contained = [" OR ".join(f"instr(lower({_TEXT[key]}), ?)" for key in keys) for keys in (own, shared)]
    sql = f"(st.trial_id LIKE ? OR {contained[0]} OR {_of_variant(contained[1])})"
    return sql, [f"{word.lower()}%", *[word.lower()] * (len(own) + len(shared))]


def _of_variant(condition: str) -> str:
    """A condition of what all trials of a variant share, tried once for each variant; any other as it is."""
    shared = condition.replace("v.", "")
    return condition if shared == condition else f"b.number IN (SELECT number FROM brief_variant WHERE {shared})"


def _compared(key: str, operator: str, value: str, whole: str) -> tuple[str, list[Any]]:
    if not value:
        raise BadInput(f"filter: {whole!r} lacks a value")
    name = _ALIASES.get(key.lower(), key.lower())
    if "." in name:
        factor, _, option = name.partition(".")
        factor = _ALIASES.get(factor, factor)
        if factor not in _OPTIONS or not re.fullmatch(r"\w+", option):
            raise BadInput(f"filter: {key}: options are named like optimizer.lr ({', '.join(_OPTIONS)})")
        column = f"v.{factor}" if factor == "training" else f"v.{factor}_options"
        condition, values = _compare(f"json_extract({column}, '$.{option}')", operator, _literal(value))
        return _of_variant(condition), values
    if name in _NUMBERS and operator != "~":
        return _compare(_NUMBERS[name], operator, _number(name, value, whole))
    if name in _NUMBERS:
        raise BadInput(f"filter: {whole!r}: {name} is a number; use = != > < >= <=")
    if name not in (*_TEXT, *_NOTED):
        known = (*KEYS, *_NOTED)
        raise BadInput(f"filter: {key}: not one of {', '.join(known)}{nearest(name, known)}")
    if operator not in ("=", "!=", "~"):
        raise BadInput(f"filter: {whole!r}: {name} is text; use = != or ~ (contains)")
    if name in _NOTED:
        return _noted(name, operator, value.lower())
    column = _TEXT[name]
    if operator == "~":
        return _of_variant(f"instr(lower(coalesce({column}, '')), ?)"), [value.lower()]
    if name == "id":
        return f"{'' if operator == '=' else 'NOT '}(st.trial_id LIKE ?)", [f"{value.lower()}%"]
    return _of_variant(f"lower(coalesce({column}, '')) {_SQL_OPERATORS[operator]} ?"), [value.lower()]


def _noted(name: str, operator: str, value: str) -> tuple[str, list[Any]]:
    """Whether a tag or a text that is noted on the variant, or on the study, is `value` or contains it."""
    words = ", json_each(n.tags) w" if name == "tag" else ""
    matches = f"instr({_NOTED[name]}, ?)" if operator == "~" else f"{_NOTED[name]} = ?"
    sql = (
        f"EXISTS (SELECT 1 FROM note n{words} WHERE n.study = st.study "
        f"AND coalesce(n.variant_id, v.variant_id) = v.variant_id AND {matches})"
    )
    return f"NOT {sql}" if operator == "!=" else sql, [value]


def _compare(expression: str, operator: str, value: Any) -> tuple[str, list[Any]]:
    if operator == "~":
        return f"instr(lower({expression}), ?)", [str(value).lower()]
    return f"{expression} {_SQL_OPERATORS[operator]} ?", [value]


def _literal(value: str) -> Any:
    if value.lower() in ("true", "on", "false", "off"):
        return int(value.lower() in ("true", "on"))
    try:
        return float(value)
    except ValueError:
        return value


def _number(name: str, value: str, whole: str) -> float:
    try:
        number = float(value.removesuffix("%"))
    except ValueError:
        raise BadInput(f"filter: {whole!r}: {name} is a number, {value!r} is not") from None
    if name not in _SHARES:
        return number
    if number > 100:
        raise BadInput(f"filter: {whole!r}: {name} is a share, 0 to 1 or 0 to 100 %")
    # No share is above 1, so such a number is meant in per cent, as tables show it.
    return number / 100 if number > 1 or value.endswith("%") else number


def count(db: Database, chosen: Filter = EVERYTHING) -> int:
    """How many rows the filter leaves."""
    where = _where(chosen)
    return int(db.execute(f"SELECT count(*) {rows(db, where)} WHERE {where}", chosen.values).fetchone()[0])


def ids(db: Database, chosen: Filter) -> frozenset[str]:
    """The trials of the rows that the filter leaves."""
    where = _where(chosen)
    found = db.execute(f"SELECT st.trial_id {rows(db, where)} WHERE {where}", chosen.values)
    return frozenset(str(trial_id) for (trial_id,) in found)


def page(
    db: Database,
    chosen: Filter = EVERYTHING,
    order: str | None = None,
    *,
    descending: bool = False,
    offset: int = 0,
    limit: int = -1,
) -> list[ListedTrial]:
    """Rows `offset` … of the filtered table, sorted by a key of KEYS (None: study run last first, in its own order).

    What is unknown comes last in either direction. Raises BadInput for an unknown key.
    """
    return _read(db, ListedTrial, chosen, _sorted(order, descending), offset, limit)


def trials(
    db: Database,
    chosen: Filter = EVERYTHING,
    order: str | None = None,
    *,
    descending: bool = False,
    offset: int = 0,
    limit: int = -1,
) -> list[TrialRow]:
    """What `page` has, without the scores."""
    return _read(db, TrialRow, chosen, _sorted(order, descending), offset, limit)


def outside(
    db: Database, chosen: Filter = EVERYTHING, order: str | None = None, *, descending: bool = False, limit: int = -1
) -> list[FoundTrial]:
    """The trials in no study that the filter leaves, the one that left last first unless `order` names a key of KEYS. Candidates
    that learning rates were chosen by are not among them."""
    sorting = "ORDER BY st.left_at DESC, st.trial_id" if order in (None, "study") else _sorted(order, descending)
    names = [field.name for field in fields(FoundTrial)]
    columns = ", ".join(f"{_OUTSIDE.get(name, _EXPRESSIONS[name])} AS {name}" for name in names)
    joined = _joined(columns, chosen.sql, sorting).replace("s.samples", _MOST_IMAGES)
    if "brief" in joined:
        keep_up(db)
    sql = (
        f"SELECT {columns} FROM trial_in_no_study st LEFT JOIN study s ON s.name = st.study {joined} "
        f"WHERE ({chosen.sql}) AND coalesce(st.left_study, '') NOT LIKE ? {sorting} LIMIT {int(limit)}"
    )
    return read(db, FoundTrial, sql, [*chosen.values, f"%{companion('')}"])


def anywhere(
    db: Database, chosen: Filter = EVERYTHING, order: str | None = None, *, descending: bool = False, limit: int = -1
) -> list[FoundTrial]:
    """The trials in studies, by study unless `order` names another key, then those in no study."""
    found: list[FoundTrial] = [*trials(db, chosen, order or "study", descending=descending, limit=limit)]
    room = limit if limit < 0 else limit - len(found)
    return found + (outside(db, chosen, order, descending=descending, limit=room) if room else [])


def one(db: Database, study: str, trial_id: str) -> ListedTrial | None:
    """One row of the table, None if it is gone."""
    chosen = Filter(sql="st.study = ? AND st.trial_id = ?", values=(study, trial_id))
    return next(iter(page(db, chosen)), None)


def beginning(db: Database, prefix: str, limit: int) -> list[ListedTrial]:
    """Rows of the trials whose ids begin with `prefix` (lower-case hex), by id; found by the index, however many there are."""
    ids = db.execute(
        "SELECT id FROM trial WHERE id >= ? AND id < ? || 'g' ORDER BY id LIMIT ?", (prefix, prefix, limit)
    )
    found = [str(trial_id) for (trial_id,) in ids.fetchall()]
    chosen = Filter(sql=f"st.trial_id IN ({', '.join('?' * len(found))})", values=tuple(found))
    return page(db, chosen, "id", limit=limit)


def one_of_variant(db: Database, study: str, variant_id: str) -> ListedTrial:
    """The first row of a variant that the study has."""
    chosen = Filter(sql=f"st.study = ? AND {OF_ONE_VARIANT}", values=(study, variant_id))
    return page(db, chosen, limit=1)[0]


def some(db: Database, keys: Sequence[tuple[str, str]]) -> list[ListedTrial]:
    """The rows of these (study, trial id), as many as are still there, in that order."""
    return [row for study, trial_id in keys if (row := one(db, study, trial_id)) is not None]


def rows(db: Database, *mentioning: str) -> str:
    """FROM … to the end of its joins: every row of a study, with what those parts of the statement mention and nothing else.

    The aliases are `s` for the study, `st` for the trial in it, and those of _JOINS. Rows are passed in the order of their ids.
    """
    joined = _joined(*mentioning)
    if joined or any("brief" in part for part in mentioning):
        keep_up(db)
    # Left to itself SQLite passes them in the order of another index, which is smaller: each look into a table by id is a far
    # jump then, four times as dear in all.
    by_id = "INDEXED BY sqlite_autoindex_study_trial_1" if joined else ""
    return f"FROM study s CROSS JOIN study_trial st {by_id} ON st.study = s.name {joined}"


def _joined(*mentioning: str) -> str:
    aliases = {alias for part in mentioning for alias in _ALIAS.findall(part)}
    if "v" in aliases:
        aliases.add("b")
    return " ".join(join for alias, join in _JOINS.items() if alias in aliases)


def _read(db: Database, kind: type[R], chosen: Filter, order: str, offset: int, limit: int) -> list[R]:
    """Rows of a table. Of a page only the keys are looked for among all rows; its columns are read for its own rows alone."""
    names = [field.name for field in fields(kind)]
    columns = ", ".join(f"{_EXPRESSIONS[name]} AS {name}" for name in names)
    where, cut = _where(chosen), f"LIMIT {int(limit)} OFFSET {int(offset)}"
    if limit < 0:
        sql = f"SELECT {columns} {rows(db, columns, where, order)} WHERE {where} {order} {cut}"
    else:
        keys = f"SELECT st.study, st.trial_id {rows(db, where, order)} WHERE {where} {order} {cut}"
        sql = (
            f"SELECT {columns} FROM ({keys}) k CROSS JOIN study s ON s.name = k.study "
            "CROSS JOIN study_trial st ON st.study = k.study AND st.trial_id = k.trial_id "
            f"{_joined(columns, order)} {order}"
        )
    return read(db, kind, sql, chosen.values)


def _where(chosen: Filter) -> str:
    """Candidates that learning rates are chosen by are only listed where their study is named."""
    named = any(isinstance(value, str) and is_companion(value) for value in chosen.values)
    return chosen.sql if named else f"({chosen.sql}) AND s.tuning_of IS NULL"


def _sorted(order: str | None, descending: bool) -> str:
    if order is None:
        return "ORDER BY s.run_at DESC, st.study, st.position"
    name = _ALIASES.get(order.lower(), order.lower())
    if name not in KEYS:
        raise BadInput(f"sort: {order}: not one of {', '.join(KEYS)}{nearest(order, KEYS)}")
    expression = {**_TEXT, **_NUMBERS}[name]
    return f"ORDER BY {expression} {'DESC' if descending else 'ASC'} NULLS LAST, st.study, st.position"

"""What a cell of another file may hold: each check returns the value, or raises Unsound and says in words why it cannot be."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

Check = Callable[[Any], Any]

MOST_LETTERS = 1_000_000
"""Of a traceback, the longest text there is."""
LATEST = 4_102_444_800.0
"""Unix seconds of the year 2100: a clock that is farther off is none."""
_ADDRESS = re.compile(r"[0-9a-z]{64}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Unsound(ValueError):
    """What another file says and cannot be."""


def whole(low: int = 0, high: int = 2**53) -> Check:
    """A whole number in [low, high]."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Unsound(f"{value!r:.40} is no whole number")
        if not low <= value <= high:
            raise Unsound(f"{value} is not between {low} and {high}")
        return value

    return check


def number(low: float = -math.inf, high: float = math.inf, *, infinite: bool = False) -> Check:
    """A number in [low, high], finite unless said otherwise; never NaN."""

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Unsound(f"{value!r:.40} is no number")
        if math.isnan(value) or (math.isinf(value) and not infinite) or not low <= value <= high:
            raise Unsound(f"{value:g} is out of range")
        return float(value)

    return check


SHARE = number(0.0, 1.0)
SECONDS = number(0.0, 1e12)
MOMENT = number(0.0, LATEST)
COUNT = whole()


def text(most: int = MOST_LETTERS) -> Check:
    """Text of at most so many letters; what would steer a terminal is taken out of it."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise Unsound(f"{value!r:.40} is no text")
        if len(value) > most:
            raise Unsound(f"{len(value):,} letters are too long, at most {most:,} are taken")
        return _CONTROL.sub("", value)

    return check


def address(value: Any) -> str:
    """A digest of 64 letters and digits."""
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise Unsound(f"{value!r:.80} is no digest")
    return value


def blob(value: Any) -> bytes:
    """Bytes; how many there should be depends on other cells."""
    if not isinstance(value, bytes):
        raise Unsound(f"{value!r:.40} are no bytes")
    return value


def one_of(*names: str) -> Check:
    """One of these words."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise Unsound(f"{value!r:.40} is none of {', '.join(names)}")
        return value

    return check


NORM = one_of("linf", "l2")


def optional(check: Check) -> Check:
    """The same, or nothing."""
    return lambda value: None if value is None else check(value)


def parsed(value: Any) -> Any:
    """What JSON says, without NaN and infinities, which equal nothing."""
    if not isinstance(value, str) or len(value) > MOST_LETTERS:
        raise Unsound(f"{value!r:.40} is no JSON of a usual size")
    try:
        return json.loads(value, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Unsound(f"is no sound JSON ({error})") from None


def json_of(check: Check) -> Check:
    """JSON whose content passes `check`; the text itself is what is kept."""

    def checked(value: Any) -> str:
        check(parsed(value))
        kept: str = value
        return kept

    return checked


def list_of(check: Check, most: int = 100_000) -> Check:
    """A list of at most so many."""

    def checked(value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) > most:
            raise Unsound(f"{value!r:.40} is no list of at most {most:,}")
        return [check(one) for one in value]

    return checked


def table_of(fields: dict[str, Check]) -> Check:
    """A table with these keys and no others; a key that is missing counts as null."""

    def checked(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or not fields.keys() >= value.keys():
            raise Unsound(f"{value!r:.80} is no table of {', '.join(fields)}")
        return {name: within(name, check, value.get(name)) for name, check in fields.items() if name in value}

    return checked


def anything(value: Any) -> Any:
    """Whatever JSON holds."""
    return value


def within(name: str, check: Check, value: Any) -> Any:
    """`check(value)`; what it complains of is told of `name`."""
    try:
        return check(value)
    except Unsound as error:
        raise Unsound(f"{name}: {error}") from None


def flat(value: bytes | None, length: int, what: str) -> None:
    """Raises Unsound for bytes that are not as many as the counts say."""
    if value is not None and len(value) != length:
        raise Unsound(f"{what}: {len(value):,} bytes where its count asks for {length:,}")


def ascending(values: Sequence[float]) -> bool:
    return all(one < other for one, other in itertools.pairwise(values))


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")

"""Characters that must not reach a terminal as they are, and what stands for those that an encoding lacks."""

from __future__ import annotations

import codecs
import re
import unicodedata

_HARMFUL = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but tab and line feed: ESC and C1 begin commands, CR writes over the line
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # turn the reading direction of what follows
    "\u2028\u2029"  # end lines where no line ends
    "\ud800-\udfff"  # bytes of file names that are no text
)
_HARM = re.compile(f"[{_HARMFUL}]")
HARM_IN_CELL = re.compile(f"[{_HARMFUL}\t\n]")
_HARM_IN_DRAWING = re.compile(f"(?!\x1b\\[[0-9;]*m)[{_HARMFUL}]")
"""Colours pass."""

LOOKALIKES = "innate-lookalikes"
"""The name of the handler of encoding errors that puts in `lookalike`."""
_LIKE = {
    "ε": "eps", "α": "alpha", "λ": "lambda", "σ": "sigma", "Δ": "delta", "ℓ": "l", "∞": "inf", "√": "sqrt ",
    "≤": "<=", "≥": ">=", "±": "+-", "→": "->", "←": "<-", "↑": "^", "↓": "v", "×": "x", "−": "-", "–": "-", "—": "-", "·": "-",
    "…": "~", "“": '"', "”": '"', "‘": "'", "’": "'", "„": '"',
    "●": "o", "◆": "#", "▲": "^", "■": "#", "○": "o", "◇": "#", "△": "^", "□": "#", "•": "*", "░": ".", "▒": ":", "▓": "%",
    "✓": "v", "✗": "x",
}  # fmt: skip
"""Of one cell where columns hang on it."""


def visible(text: str, *, in_cell: bool = False, drawing: bool = False) -> str:
    r"""`text` with what could command a terminal written out: "\x1b". `in_cell`: line ends and tabs, too, since they would
    break a table; `drawing`: but for sequences that set colours."""
    pattern = HARM_IN_CELL if in_cell else _HARM_IN_DRAWING if drawing else _HARM
    return text if text.isascii() and text.isprintable() else pattern.sub(_written_out, text)


def visible_quoted(text: str) -> str:
    """JSON, or a string of TOML, that says the same without any such character: they stand within quotes alone, where each has an
    escape of its own."""
    return _HARM.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _written_out(found: re.Match[str]) -> str:
    character = found[0]
    if "\udc80" <= character <= "\udcff":  # a byte of a file name, as Python carries it along
        return f"\\x{ord(character) & 0xFF:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def lookalike(character: str) -> str:
    """ASCII that reads much the same; "?" where there is none."""
    if character in _LIKE:
        return _LIKE[character]
    code = ord(character)
    if 0x2500 <= code < 0x2580:  # drawn lines
        name = unicodedata.name(character)
        across, up = ("HORIZONTAL" in name or "LEFT" in name or "RIGHT" in name), ("VERTICAL" in name or "UP" in name)
        return "-" if across and not up and "DOWN" not in name else "|" if not across else "+"
    if 0x2580 <= code < 0x25A0:
        return "#"
    if 0x2800 <= code < 0x2900:
        return "*" if code > 0x2800 else " "
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode("ascii")
    return plain or visible(character if "\ud800" <= character <= "\udfff" else "?")


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(lookalike, error.object[error.start : error.end])), error.end


codecs.register_error(LOOKALIKES, _replaced)

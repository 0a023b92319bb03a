"""Own keys and colours, from `tui.toml` in the home. Whatever is wrong in it is told in a line each, and only that is left out.

[keys]                 # on every screen that has the action
help = "F1"
[keys.queue]           # on one
cancel = ["c", "delete"]
[theme]
base = "innate-light"  # where a colour is not given
primary = "#005f87"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.keys import _character_to_key
from textual.theme import Theme

from app.tui.shell.keys import APP, EVERYWHERE, MOVING, Key, identity
from app.tui.shell.themes import DARK, THEMES
from core.registry import meant

FILE = "tui.toml"
OWN = "own"
"""The name of the theme that the file makes."""
COLOURS = (
    "primary", "secondary", "accent", "foreground", "background", "surface", "panel", "success", "warning", "error",
)  # fmt: skip


@dataclass(frozen=True)
class Own:
    """What the file says, and what of it could not be taken. `keys`: identity of an action → its keys as Textual names them."""

    keys: Mapping[str, str] = field(default_factory=dict)
    theme: Theme | None = None
    problems: tuple[str, ...] = ()

    def of(self, keys: Sequence[Key], mode: str) -> tuple[Key, ...]:
        """The keys of a screen, with those that are one's own."""
        return tuple(replace(key, keys=self.keys.get(identity(mode, key.action) or "", key.keys)) for key in keys)

    def key(self, name: str, usual: str) -> str:
        """The key for an action, by its identity ("lab.retry"), as one types it; `usual` is the one that it has where none is
        one's own. For sentences that name the key of another screen."""
        return Key(self.keys.get(name, usual), "", "", "").shown

    @property
    def told(self) -> str:
        """The problems in a line, "" if there are none."""
        more = f" (and {len(self.problems) - 1} more)" if self.problems[1:] else ""
        return f"{FILE}: {self.problems[0]}{more}; the rest of it holds" if self.problems else ""


def read(path: Path, screens: Mapping[str, Sequence[Key]]) -> Own:
    """What `path` says, nothing where there is no such file; `screens`: mode → keys of the screen."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Own()
    except (OSError, UnicodeDecodeError) as error:
        return Own(problems=(f"cannot be read ({error})",))
    except tomllib.TOMLDecodeError as error:
        return Own(problems=(f"not valid TOML ({error})",))
    problems = [f"{key}: unknown{meant(key, ('keys', 'theme'))}" for key in document if key not in ("keys", "theme")]
    keys = _keys(document.get("keys", {}), {**screens, APP: EVERYWHERE}, problems)
    theme = _theme(document["theme"], problems) if "theme" in document else None
    return Own(keys, theme, tuple(problems))


def _keys(table: Any, screens: Mapping[str, Sequence[Key]], problems: list[str]) -> dict[str, str]:
    """Identity → keys; what is wrong goes to `problems`."""
    found: dict[str, str] = {}
    if not isinstance(table, dict):
        problems.append("keys: not a table of actions")
        return found
    for name, value in table.items():
        if isinstance(value, dict):
            if name not in screens:
                problems.append(f"keys.{name}: no such screen{meant(name, screens)}")
                continue
            for action, given in value.items():
                _give(f"keys.{name}.{action}", {name: screens[name]}, action, given, found, problems)
    for name, value in table.items():
        if not isinstance(value, dict):
            _give(f"keys.{name}", screens, name, value, found, problems)
    for mode, keys in screens.items():
        _refuse_doubles(mode, keys, found, problems)
    return found


def _give(
    where: str,
    screens: Mapping[str, Sequence[Key]],
    action: str,
    given: Any,
    found: dict[str, str],
    problems: list[str],
) -> None:
    """Take the keys that stand at `where` for an action of these screens, unless they have some already."""
    named = [given] if isinstance(given, str) else given
    if not isinstance(named, list) or not named or not all(isinstance(one, str) and one for one in named):
        problems.append(f'{where}: expected a key such as "c" or "ctrl+k", or a list of such')
        return
    having = [mode for mode, keys in screens.items() if any(key.action == action for key in keys)]
    if not having:
        known = sorted({key.action for keys in screens.values() for key in keys})
        problems.append(f"{where}: no such action{meant(action, known)}")
        return
    names = dict.fromkeys(_character_to_key(one) if len(one) == 1 else one.lower() for one in named)
    for mode in having:
        found.setdefault(f"{mode}.{action}", ",".join(names))


def _refuse_doubles(mode: str, keys: Sequence[Key], found: dict[str, str], problems: list[str]) -> None:
    """Leave out what would take a key from another action of the screen, from one of every screen, or from moving about."""
    tables = {APP: EVERYWHERE, mode: keys}
    while True:
        holders: dict[str, list[str]] = {name: ["moving about"] for key in MOVING for name in key.keys.split(",")}
        holders["ctrl+c"] = ["leaving"]
        for where, table in tables.items():
            for key in table:
                name = f"{where}.{key.action}"
                for one in found.get(name, key.keys).split(","):
                    holders.setdefault(one, []).append(name)
        own = next(
            ((key, name) for key, names in holders.items() if names[1:] for name in names if name in found), None
        )
        if own is None:
            return
        key_name, taker = own
        del found[taker]
        other = next(name for name in holders[key_name] if name != taker)
        problems.append(f"keys.{taker}: {key_name} is taken by {other}")


def _theme(table: Any, problems: list[str]) -> Theme | None:
    if not isinstance(table, dict):
        problems.append("theme: not a table of colours")
        return None
    bases = {theme.name: theme for theme in THEMES}
    base = bases.get(str(table.get("base", DARK.name)))
    if base is None:
        problems.append(f"theme.base: {table['base']!r} is none of {', '.join(bases)}")
        base = DARK
    colours: dict[str, Any] = {}
    for name, value in table.items():
        if name == "base":
            continue
        if name not in COLOURS:
            problems.append(f"theme.{name}: no such colour{meant(name, COLOURS)}")
            continue
        try:
            colours[name] = Color.parse(str(value)).hex
        except ColorParseError:
            problems.append(f'theme.{name}: {value!r} is no colour; such as "#7aa2f7" or "red"')
    ground = Color.parse(colours.get("background", base.background))
    return replace(base, name=OWN, **colours, dark=ground.brightness < 0.5)


def template(screens: Mapping[str, Sequence[Key]]) -> str:
    """The file with everything in it as it is anyway, as comments to edit."""
    lines = [
        "# Own keys and colours of innate's screens; take the # away before a line to make it hold, at the next start.",
        '# A key is a character ("c", "?"), a name ("f1", "space", "ctrl+k"), or a list of such: ["c", "delete"].',
        "",
        "[keys]",
        *(_line(key) for key in EVERYWHERE),
    ]
    for mode, keys in screens.items():
        lines += ["", f"[keys.{mode}]", *(_line(key) for key in keys)]
    lines += ["", f'#[theme]\n#base = "{DARK.name}"  # or {", ".join(theme.name for theme in THEMES[1:])}']
    lines += [f'#{name} = "{getattr(DARK, name)}"' for name in COLOURS]
    return "\n".join(lines) + "\n"


def _line(key: Key) -> str:
    names = key.keys.split(",")
    given = f'"{names[0]}"' if len(names) == 1 else "[" + ", ".join(f'"{name}"' for name in names) + "]"
    action = key.action if key.action.replace("_", "").isalnum() else f'"{key.action}"'
    return f"#{action} = {given}  # {key.help}"

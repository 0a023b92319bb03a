"""What installed packages add: found by their entry point and loaded so that a broken one harms nothing else. Torch-free.

A package says in its pyproject.toml

    [project.entry-points."innate.plugins"]
    NAME = "package.module:plugin"

where `plugin` is a `Plugin` or a function without arguments that gives one. What it adds is called NAME:ENTRY, so that it can
neither shadow what is built in nor what another package adds, and every identity that it enters says whose it is. Loading
waits until somebody lists names or asks for one with a colon in it; then each plugin has a few seconds, and whatever it
raises, prints or is instead of a plugin becomes its `fault`. INNATE_NO_PLUGINS=1 turns all of them off.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InnateError

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

GROUP = "innate.plugins"
OFF = "INNATE_NO_PLUGINS"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
"""What plugins and their entries may be called."""
_TAKEN = ("torchvision", "folder", "npz")
"""What stands before a colon already."""
_PATIENCE = 5.0
"""Seconds that a plugin may take to load."""
_SLOW = 0.5
"""Seconds from which on `doctor` says so."""


class PluginFailed(InnateError):
    """Code of a plugin raised, or gave what it had promised not to give."""


@dataclass(frozen=True)
class Plugin:
    """What a package adds: entries as the built-in ones are, whose names lack the plugin's own (`core.plugins`)."""

    architectures: tuple[Any, ...] = ()
    attacks: tuple[Any, ...] = ()
    datasets: tuple[Any, ...] = ()
    defenses: tuple[Any, ...] = ()
    scores: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Installed:
    """A plugin that is installed here; what it adds is empty where it is at fault."""

    name: str
    version: str
    package: str
    """The name of the distribution that brings it."""
    plugin: Plugin = Plugin()
    fault: str | None = None
    """Why it could not be loaded, in a line."""
    remarks: tuple[str, ...] = ()
    """What its author should better."""

    @property
    def title(self) -> str:
        return f"plugin {self.name} {self.version}"


def installed() -> tuple[Installed, ...]:
    """Every plugin of this environment, loaded once in a process, in the order of the import path. None while one is being
    loaded, for whoever asks from within it."""
    if getattr(_HERE, "loading", False):
        return ()
    with _LOCK:
        return () if turned_off() else _all()


def turned_off() -> bool:
    return os.environ.get(OFF, "") not in ("", "0")


def forget() -> None:
    """Have the next who asks look again."""
    _all.cache_clear()


def owner(name: str) -> str | None:
    """Whose name that would be: the part before the colon, if it has the form of a plugin's entry."""
    plugin, colon, entry = name.partition(":")
    return plugin if colon and plugin not in _TAKEN and NAME.fullmatch(plugin) and NAME.fullmatch(entry) else None


def versions(names: Iterable[str]) -> dict[str, str]:
    """Plugin → version, of those plugins that these names are of; nothing is loaded where there is none."""
    wanted = {plugin for name in names if (plugin := owner(name)) is not None}
    return {one.name: one.version for one in installed() if one.name in wanted} if wanted else {}


def lacking(name: str) -> str | None:
    """Why no plugin gives `name`, in words; None for a name that is none of a plugin's."""
    plugin = owner(name)
    if plugin is None:
        return None
    if turned_off():
        return f"plugins are turned off here ({OFF})"
    for one in installed():
        if one.name == plugin:
            return f"{one.title} has none" if one.fault is None else _not_loaded(one)
    broken = "".join(f"; {_not_loaded(one)}" for one in installed() if one.fault is not None)
    return f"the plugin {plugin} is not installed here{broken}"


def unloaded() -> str:
    """ "; plugin NAME could not be loaded: …", for a name that nobody has; empty where all plugins are sound."""
    return "".join(f"; {_not_loaded(one)}" for one in installed() if one.fault is not None)


def _not_loaded(one: Installed) -> str:
    return f"plugin {one.name} could not be loaded: {one.fault} (see innate doctor)"


def imported(place: str) -> Callable[..., Any]:
    """The function at "package.module:name", imported when it is called. Raises ValueError for a text of another form."""
    module, colon, name = place.partition(":")
    if not (colon and module and name.isidentifier()):
        raise ValueError(f'{place!r} must read "package.module:function"')

    def call(*arguments: Any, **options: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*arguments, **options)

    call.__module__, call.__name__, call.__qualname__ = module, name, name
    return call


@contextlib.contextmanager
def contained(what: str) -> Iterator[None]:
    """Code of a plugin within: what it raises becomes PluginFailed, "WHAT: …".

    InnateError, RuntimeError and OSError pass through: whoever runs out of memory or disk is dealt with elsewhere.
    """
    try:
        yield
    except (InnateError, RuntimeError, OSError):
        raise
    except (Exception, SystemExit) as error:
        raise PluginFailed(f"{what}: {in_words(error)}") from error


# --- finding and loading --------------------------------------------------------------------------

_HERE = threading.local()
_LOCK = threading.Lock()


@functools.cache
def _all() -> tuple[Installed, ...]:
    found: dict[str, Installed] = {}
    packages: set[str] = set()
    for distribution in _distributions():
        package, version, points = _read(distribution)
        if package in packages:  # what lies further down the import path is not what Python imports
            continue
        packages.add(package)
        for point in points:
            one = _loaded(point, package, version)
            taken = found.get(one.name)
            if taken is not None:
                other = Installed(f"{one.name} of {package}", version, package)
                words = f"the name {one.name} is taken by package {taken.package}"
                found[other.name] = Installed(other.name, version, package, fault=words)
            else:
                found[one.name] = one
    return tuple(found.values())


def _distributions() -> Iterator[Distribution]:
    """Those that name our group. Their files are looked through here, for importlib.metadata takes ten times as long to read
    all that is installed as it takes to see that nothing of it is meant for us."""
    for place in sys.path:
        folder = Path(place or ".")
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries if entry.name.endswith((".dist-info", ".egg-info")))
        except OSError:
            continue
        for name in names:
            try:
                content = (folder / name / "entry_points.txt").read_bytes()
            except OSError:
                continue
            if GROUP.encode() in content:
                from importlib.metadata import Distribution

                yield Distribution.at(folder / name)


def _read(distribution: Distribution) -> tuple[str, str, list[EntryPoint]]:
    """(package, version, its entry points of our group). A distribution that cannot be read has none."""
    package = version = "unknown"
    with contextlib.suppress(Exception):
        package = distribution.metadata["Name"] or package
        version = distribution.version or version
        return package, version, list(distribution.entry_points.select(group=GROUP))
    return package, version, []


def _loaded(point: EntryPoint, package: str, version: str) -> Installed:
    def broken(fault: str, remarks: tuple[str, ...] = ()) -> Installed:
        return Installed(point.name, version, package, fault=fault, remarks=remarks)

    if not NAME.fullmatch(point.name) or point.name in _TAKEN:
        return broken(f"{point.name!r} is no name for a plugin; small letters, digits, '.', '-' and '_' make one")
    result: list[object] = []
    said, begun, had_torch = io.StringIO(), time.monotonic(), "torch" in sys.modules

    def load() -> None:
        _HERE.loading = True
        try:
            thing = point.load()
            result.append(thing if isinstance(thing, Plugin) or not callable(thing) else thing())
        except BaseException as error:  # also what asks the process to end
            result.append(error)

    loading = threading.Thread(target=load, name=f"plugin {point.name}", daemon=True)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        loading.start()
        loading.join(_PATIENCE)
    remarks = tuple(_remarks(time.monotonic() - begun, said.getvalue(), torch=not had_torch and "torch" in sys.modules))
    if not result:
        return broken(f"{point.value} was not loaded after {_PATIENCE:g} seconds", remarks)
    (thing,) = result
    if isinstance(thing, BaseException):
        return broken(in_words(thing), remarks)
    if not isinstance(thing, Plugin):
        return broken(f"{point.value} is of type {type(thing).__name__}, not core.plugins.Plugin", remarks)
    wrong = [one.name for one in fields(thing) if not isinstance(getattr(thing, one.name), list | tuple)]
    if wrong:
        return broken(f"its {wrong[0]} are no tuple of entries", remarks)
    return Installed(point.name, version, package, thing, remarks=remarks)


def _remarks(seconds: float, said: str, *, torch: bool) -> Iterator[str]:
    if torch:
        yield "imports torch while it is loaded, where names are only listed (core.plugins.imported delays that)"
    elif seconds > _SLOW:
        yield f"takes {seconds:.1f} seconds to load"
    if said.strip():
        yield f"prints while it is loaded: {said.strip().splitlines()[0][:80]!r}"


def in_words(error: BaseException) -> str:
    """What went wrong in code of a plugin, in a line."""
    if isinstance(error, SystemExit):
        return f"it asked the program to end (exit code {error.code})"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__

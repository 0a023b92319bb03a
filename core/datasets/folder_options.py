"""`dataset = {folder = "PATH", size = 64, …}`: the keys of the table, and the way back to what a study file says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import BadInput, Mistakes
from core.paths import given
from core.records.data import DatasetSource, FolderOptions
from core.registry import Parameter, nearest

FITS = ("crop", "pad", "stretch")
BACKGROUNDS = ("white", "black")
LARGEST = 4096
"""Pixels on a side: more is a slip of the hand."""

_DEFAULTS = FolderOptions()

PARAMETERS = (
    Parameter(
        "size",
        "ints",
        None,
        "pixels that every picture is brought to: one number, or height and width",
        low=2,
        high=LARGEST,
        none_allowed=True,
    ),
    Parameter("fit", "str", _DEFAULTS.fit, "how, where the proportions differ", choices=FITS),
    Parameter(
        "split",
        "float",
        None,
        "share of each class that is tested on, for a folder without halves",
        low=0,
        high=1,
        open_low=True,
        open_high=True,
        none_allowed=True,
    ),
    Parameter("classes", "strs", None, "the class folders to use", none_allowed=True),
    Parameter(
        "background",
        "str",
        _DEFAULTS.background,
        "behind see-through pixels, around padded pictures",
        choices=BACKGROUNDS,
    ),
    Parameter(
        "depth", "int", None, "bits that pictures of 16 really use, such as 12", low=8, high=16, none_allowed=True
    ),
)
"""The options of a folder, by their keys in the table."""

_EXAMPLE = 'dataset = {folder = "PATH", size = 64}'


def folder_source(path: Path, options: FolderOptions = _DEFAULTS) -> DatasetSource:
    """The source; its name tells the size, since the same folder at two sizes is two data sets."""
    size = ""
    if options.size is not None:
        height, width = options.size
        size = f"@{height}" if height == width else f"@{height}x{width}"
    return DatasetSource(f"folder:{path.name}{size}", "folder", path, options)


def read_table(table: Mapping[str, Any], base: Path) -> DatasetSource:
    """What a table as `dataset` means; a relative path starts at `base`.

    Raises BadInput naming the key at fault, such as dataset.size, with all others that are.
    """
    found = Mistakes()
    path = found.attempt(_path, table, base)
    known = {parameter.name: parameter for parameter in PARAMETERS}
    for key in table:
        if key != "folder" and key not in known:
            words = f"a folder has no option {key!r}{nearest(key, ('folder', *known))}"
            found.note(BadInput(f"dataset: {words}", key=f"dataset.{key}", words=words))
    values: dict[str, Any] = {name: found.attempt(_value, known[name], table[name]) for name in known if name in table}
    if found.found:
        raise found.error()
    assert path is not None
    return folder_source(path, FolderOptions(**values))


def written(source: DatasetSource) -> str | dict[str, Any]:
    """`source` as a study file has it, its path absolute, without what is the default anyway."""
    if source.path is None:
        return source.name
    given: dict[str, Any] = {}
    for parameter in PARAMETERS:
        value = getattr(source.options, parameter.name)
        if value != getattr(_DEFAULTS, parameter.name):
            given[parameter.name] = list(value) if isinstance(value, tuple) else value
    if "size" in given and given["size"][0] == given["size"][1]:
        given["size"] = given["size"][0]
    return {"folder": str(source.path), **given} if given else f"{source.kind}:{source.path}"


def as_table(dataset: Any) -> Any:
    """ "folder:PATH" as a table, which can take options; anything else as it is."""
    if isinstance(dataset, str) and dataset.startswith("folder:"):
        return {"folder": dataset.removeprefix("folder:")}
    return dataset


def _path(table: Mapping[str, Any], base: Path) -> Path:
    path = table.get("folder")
    if path is None:
        raise BadInput.at("dataset", f"a table needs the path of a folder, such as {_EXAMPLE}")
    if not isinstance(path, str) or not path.strip():
        raise BadInput.at("dataset.folder", f"expected the path of a folder, got {path!r}")
    return given(path, "dataset.folder", base)


def _value(parameter: Parameter, given: Any) -> Any:
    where = f"dataset.{parameter.name}"
    if parameter.name == "size":
        return _size(parameter, given, where)
    if parameter.name == "classes":
        return _classes(parameter.parse(given, where), where)
    return parameter.parse(given, where)


def _size(parameter: Parameter, given: Any, where: str) -> tuple[int, int]:
    sides = given if isinstance(given, list | tuple) else [given, given]
    if len(sides) != 2 or any(isinstance(side, bool) or not isinstance(side, int) for side in sides):
        raise BadInput.at(where, f"expected a whole number of pixels, or [height, width]; got {given!r}")
    height, width = parameter.parse(list(sides), where)
    return height, width


def _classes(given: Sequence[str], where: str) -> tuple[str, ...]:
    for index, name in enumerate(given):
        if name in given[:index]:
            raise BadInput.at(f"{where}[{index}]", f"{name} is named twice")
    if len(given) < 2:
        raise BadInput.at(where, f"names {len(given)}; a classifier needs at least two classes")
    return tuple(sorted(given))

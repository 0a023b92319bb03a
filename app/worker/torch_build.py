"""Which CUDA the installed torch is built for, read from its files: importing it takes seconds and belongs to children."""

from __future__ import annotations

import functools
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

_ASSIGNED = re.compile(r"^(\w+)\s*(?::[^=\n]+)?=\s*(?:None|'([^'\n]*)'|\"([^\"\n]*)\")", re.MULTILINE)


@dataclass(frozen=True)
class TorchBuild:
    """`version` as torch tells it ("2.9.0+cu130"); `cuda` is (major, minor), None if it is built without."""

    version: str
    cuda: tuple[int, int] | None


@functools.cache
def installed_torch() -> TorchBuild | None:
    """The torch that children will import; None if there is none or its files are not as expected."""
    try:
        spec = importlib.util.find_spec("torch")
        places = spec.submodule_search_locations if spec is not None else None
        for place in places or ():
            return parsed((Path(place) / "version.py").read_text(encoding="utf-8"))
    except (ImportError, ValueError, OSError):
        pass
    return None


def parsed(text: str) -> TorchBuild | None:
    """What a torch/version.py says; None if it does not tell of CUDA at all."""
    values = {name: single or double or None for name, single, double in _ASSIGNED.findall(text)}
    if "cuda" not in values:
        return None
    number = re.match(r"(\d+)\.(\d+)", values["cuda"] or "")
    if values["cuda"] is not None and number is None:
        return None
    return TorchBuild(values.get("__version__") or "", (int(number[1]), int(number[2])) if number else None)

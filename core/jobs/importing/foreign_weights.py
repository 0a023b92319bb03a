"""State dicts that other programs wrote: read without running their code, freed of what wrapped them. Imports torch: for
children only.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import BadInput

_HOLDERS = ("state_dict", "model_state_dict", "model", "weights", "net", "network")
"""Keys under which training scripts keep the state dict beside an optimizer's state or an epoch."""
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""What DataParallel, torch.compile and wrapping modules put before every name."""
_HOW = "save it with torch.save(model.state_dict(), FILE)"


@dataclass(frozen=True)
class ForeignWeights:
    """A network's state dict as it was found, without prefixes; `mean` and `deviation` [1, c, 1, 1] where the file has our
    own normalisation layer, else None.
    """

    network: Mapping[str, Tensor]
    mean: Tensor | None = None
    deviation: Tensor | None = None


def read(path: Path) -> ForeignWeights:
    """The weights in a torch file: a state dict, or a dict that holds one under a usual key.

    Pickled code is refused, never run. Raises BadInput in one line for whatever is no state dict of dense tensors.
    """
    state = _state_in(_load(path), path)
    for key, tensor in state.items():
        if tensor.layout is not torch.strided or tensor.is_quantized:
            kind = "quantised" if tensor.is_quantized else "sparse"
            raise BadInput(f"{path}: {key} is a {kind} tensor; import the weights as ordinary floats")
    return _unwrapped(state)


def _load(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    if start == b"PK\x03\x04":
        _check_archive(path)
    elif start[:1] != b"\x80":
        raise BadInput(f"{path}: is not a torch file; {_HOW}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL (\S+) was not an allowed global|Unsupported (?:global|class) (\S+)", str(error))
        if refused is None:
            raise BadInput(f"{path}: is damaged, or not a torch file; {_HOW}") from None
        name = next(filter(None, refused.groups())).removeprefix("builtins.")  # which an older torch writes before eval
        raise BadInput(f"{path}: holds pickled code ({name}), which is refused; {_HOW}") from None
    except Exception:  # damaged files fail in many ways, and each has the same answer
        raise BadInput(f"{path}: is damaged, or cut short; copy it again, or {_HOW}") from None


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        raise BadInput(f"{path}: is damaged, or cut short; copy it again") from None
    if any(name.endswith("/constants.pkl") for name in names):
        raise BadInput(f"{path}: is a TorchScript program, not a state_dict; {_HOW}")
    if not any(name.endswith("/data.pkl") for name in names):
        raise BadInput(f"{path}: is an archive, but not a torch file; {_HOW}")


def _state_in(content: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise BadInput(f"{path}: holds a {type(content).__name__}, not a state_dict; {_HOW}")
    candidates = [content, *(content[key] for key in _HOLDERS if key in content)]
    for candidate in candidates:
        if (
            isinstance(candidate, Mapping)
            and candidate
            and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in candidate.items())
        ):
            return dict(candidate)
    keys = ", ".join(str(key) for key in list(content)[:5]) or "nothing"
    raise BadInput(
        f"{path}: holds no state_dict (its keys: {keys}); expected tensors by name, or such under "
        f"{', '.join(_HOLDERS[:4])}; {_HOW}"
    )


def _unwrapped(state: dict[str, Tensor]) -> ForeignWeights:
    while True:
        inside = {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
        if inside and state.keys() - {f"network.{key}" for key in inside} == {"mean", "deviation"}:
            return ForeignWeights(inside, state["mean"], state["deviation"])
        prefix = next((prefix for prefix in _PREFIXES if all(key.startswith(prefix) for key in state)), None)
        if prefix is None:
            return ForeignWeights(state)
        state = {key.removeprefix(prefix): value for key, value in state.items()}

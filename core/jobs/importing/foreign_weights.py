"""State dicts that other programs wrote: read without running their code, freed of what wrapped them. Imports torch: for
children only.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import BadInput

_HOLDERS = ("state_dict", "model_state_dict", "model", "weights", "net", "network")
"""Keys under which training scripts keep the state dict beside an optimizer's state or an epoch, the most usual first."""
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""What DataParallel, torch.compile and wrapping modules put before every name."""
_DEEPEST = 3
"""So many keys lead to a state dict at most."""
_HOW = "save it with torch.save(model.state_dict(), FILE)"


@dataclass(frozen=True)
class ForeignWeights:
    """A network's state dict as it was found, without prefixes; `mean` and `deviation` [1, c, 1, 1] where the file has our
    own normalisation layer, else None.
    """

    network: Mapping[str, Tensor]
    mean: Tensor | None = None
    deviation: Tensor | None = None


@dataclass(frozen=True)
class Candidate:
    """A state dict in a file: under `key`, or the whole file if that is empty. `fault` says in words why it is of no use."""

    key: str
    weights: ForeignWeights
    fault: str | None = None


def read(path: Path, key: str | None = None) -> list[Candidate]:
    """The state dicts in a torch file, those under the usual keys first; with `key`, that one alone.

    Pickled code is refused, never run. Raises BadInput in one line for a file without any, or without that key.
    """
    content = _load(path)
    found = [Candidate(key, _unwrapped(state), _at_fault(state)) for key, state in _states_in(content)]
    if not found:
        raise BadInput(f"{path}: {_without_any(content)}")
    if key is None:
        return sorted(found, key=_conventional)
    chosen = [candidate for candidate in found if candidate.key == key]
    if not chosen:
        held = ", ".join(candidate.key for candidate in found if candidate.key)
        what = f"state_dicts under {held}" if held else "one state_dict and nothing else; leave --key out"
        raise BadInput(f"--key {key}: {path} holds {what}")
    return chosen


def _without_any(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"holds a {type(content).__name__}, not a state_dict; {_HOW}"
    keys = ", ".join(str(key) for key in list(content)[:5]) or "nothing"
    return (
        f"holds no state_dict (its keys: {keys}); expected tensors by name, or such under "
        f"{', '.join(_HOLDERS[:4])}; {_HOW}"
    )


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
            whole = archive.testzip() is None  # torch itself does not look at the checksums
    except Exception:  # a damaged directory fails in as many ways as a damaged pickle
        whole = False
    if not whole:
        raise BadInput(f"{path}: is damaged, or cut short; copy it again")
    if any(name.endswith("/constants.pkl") for name in names):
        raise BadInput(f"{path}: is a TorchScript program, not a state_dict; {_HOW}")
    if not any(name.endswith("/data.pkl") for name in names):
        raise BadInput(f"{path}: is an archive, but not a torch file; {_HOW}")


def _states_in(content: Any, key: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every mapping of names to tensors alone, by its key; the innermost key behind dots."""
    if not isinstance(content, Mapping) or not content or depth > _DEEPEST:
        return
    names, values = list(content), list(content.values())
    if all(isinstance(name, str) for name in names) and all(isinstance(value, Tensor) for value in values):
        yield key, dict(content)
        return
    for name, value in content.items():
        if isinstance(name, str):
            yield from _states_in(value, f"{key}.{name}" if key else name, depth + 1)


def _conventional(candidate: Candidate) -> int:
    return _HOLDERS.index(candidate.key) if candidate.key in _HOLDERS else len(_HOLDERS)


def _at_fault(state: Mapping[str, Tensor]) -> str | None:
    for key, tensor in state.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
            kind = "quantised" if tensor.is_quantized else "meta" if tensor.is_meta else "sparse"
            return f"{key} is a {kind} tensor; import the weights as ordinary floats"
    if problem := not_finite(state):
        return problem
    weights = [tensor for tensor in state.values() if tensor.is_floating_point()]
    weights = [tensor for tensor in weights if tensor.dim() > 1] or weights
    if weights and not any(bool(tensor.any()) for tensor in weights):
        return "holds nothing but zeros; no training ends there"
    return None


def not_finite(state: Mapping[str, Tensor]) -> str | None:
    """What is wrong with weights that are NaN or infinite, in words; None if none are."""
    broken = [key for key, tensor in state.items() if tensor.is_floating_point() and not bool(tensor.isfinite().all())]
    if not broken:
        return None
    hold = f"and {len(broken) - 1} more hold" if len(broken) > 1 else "holds"
    return f"{broken[0]} {hold} NaN or infinite weights; the training had diverged"


def _unwrapped(state: Mapping[str, Tensor]) -> ForeignWeights:
    """Without what wraps every name alike, and without the counter of a torch AveragedModel."""
    state = {key: value for key, value in state.items() if key != "n_averaged"} or state
    while True:
        inside = {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
        if inside and state.keys() - {f"network.{key}" for key in inside} == {"mean", "deviation"}:
            return ForeignWeights(inside, state["mean"], state["deviation"])
        first = {key.partition(".")[0] for key in state}
        if len(first) > 1 or not all(key.count(".") > 1 or key.startswith(_PREFIXES) for key in state):
            return ForeignWeights(state)
        state = {key.partition(".")[2]: value for key, value in state.items()}

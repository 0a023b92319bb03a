"""What a CUDA graph does, on the CPU: notes each operation with the memory that it reads and writes, and repeats those.

Python runs once, while recording, and nothing is carried out then; so whatever a step takes from Python's side (a counter, a
learning rate, a seed) stays as it was, and whatever looks at a value on the device is refused, as CUDA does.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_LOOKS = {"_local_scalar_dense", "item", "nonzero", "is_nonzero", "masked_select", "equal", "_unique2", "unique_dim"}
"""They bring a value to the host, or give as many as the values say."""
_COPIES = {"lift_fresh"}
"""They bring the host's numbers to the device, once."""
_EMPTY = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}


class Tape:
    """A `core.lanes.lane.Recorder`; draws repeat from the default generator as it stands at each replay."""

    def __init__(self):
        self.captures = 0
        self.replays = 0

    def __call__(self, work):
        self.captures += 1
        noting = _Noting()
        try:
            with noting:
                result = work()
        finally:
            noting.put_back()

        def replay():
            self.replays += 1
            noting.repeat()

        return replay, result


def tensors(structure):
    return [leaf for leaf in tree_leaves(structure) if isinstance(leaf, torch.Tensor)]


class _Noting(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self._steps = []
        self._before = []
        self._fresh = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        if name in _LOOKS or name in _COPIES or (name.startswith("index") and _by_mask(args)):
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        for described, given in [
            *zip(func._schema.arguments, args, strict=False),
            *((one, kwargs[one.name]) for one in func._schema.arguments if one.name in kwargs),
        ]:
            written = described.alias_info is not None and described.alias_info.is_write
            # Batch norm's schema does not say that it changes its running statistics.
            if written or described.name.startswith("running_"):
                for tensor in tensors(given):
                    if _memory(tensor) not in self._fresh:
                        self._before.append((tensor, tensor.detach().clone()))
        results = func(*args, **kwargs)
        given = {_memory(tensor) for tensor in tensors((args, kwargs))}
        own = [tensor if _memory(tensor) not in given else None for tensor in tensors(results)]
        self._fresh |= {_memory(tensor) for tensor in own if tensor is not None}
        self._steps.append((func, args, kwargs, [] if name in _EMPTY else own, results))
        return results

    def put_back(self):
        with torch.no_grad():
            for tensor, content in reversed(self._before):
                tensor.detach().copy_(content)
        self._before.clear()

    def repeat(self):
        with torch._C._AutoDispatchBelowAutograd():
            for func, args, kwargs, own, _ in self._steps:
                for memory, value in zip(own, tensors(func(*args, **kwargs)), strict=False):
                    if memory is not None:
                        memory.copy_(value)


def _memory(tensor):
    return tensor.untyped_storage()._cdata


def _by_mask(args):
    return any(tensor.dtype == torch.bool for tensor in tensors(args[1:2]))

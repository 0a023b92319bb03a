"""What CUDA's errors mean for whoever shares the process with the trial that met one. Imports torch: for children only."""

from __future__ import annotations

import torch

_OUT_OF_MEMORY = ("CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED")
"""What does not go through torch's own allocator, a library's workspace for one, fails in these words."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device had too little memory left; the process can go on."""
    return isinstance(error, torch.OutOfMemoryError) or str(error).startswith(_OUT_OF_MEMORY)


def spoils_process(error: BaseException) -> bool:
    """Whether nothing in this process can use the device any more, as after an access to memory that is not its own. CUDA
    may tell so of a later call, in another lane than the one at fault."""
    words = str(error)
    if not isinstance(error, RuntimeError) or not words.startswith("CUDA error") or is_out_of_memory(error):
        return False
    return "captur" not in words  # what a recording does not allow spoils that recording alone

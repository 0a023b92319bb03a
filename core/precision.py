"""In which precision convolutions and matrix products multiply fp32 numbers. Imports torch: for children only.

On CUDA torch lets convolutions round them to TF32 (10 bits of the fraction instead of 23) unless told otherwise. What is
called fp32 here is true fp32: it holds for every confirmation of an adversarial image, whatever the images were made in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from core.lanes.alone import ALONE


@contextmanager
def multiplying_in(precision: str) -> Iterator[None]:
    """Within, "tf32" lets a GPU round factors to TF32; every other precision (fp32, and what autocast makes bf16 or fp16)
    multiplies fp32 numbers as they are. As before afterwards. Costs nothing where there is no GPU.

    The process has one such setting, so other lanes wait for their turn."""
    with ALONE:
        convolutions, products = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        try:
            yield
        finally:
            torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = convolutions, products


def in_force(precision: str) -> dict[str, bool]:
    """Whether factors of convolutions and of matrix products are rounded to TF32 within `multiplying_in(precision)`, as
    torch itself answers: an environment variable can overrule what it is told."""
    with multiplying_in(precision):
        return {
            "tf32_convolutions": torch.backends.cudnn.allow_tf32,
            "tf32_products": torch.backends.cuda.matmul.allow_tf32,
        }

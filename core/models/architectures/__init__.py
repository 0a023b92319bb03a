"""The architectures, one per file; `registry` lists them."""

from core.models.architectures.registry import ARCHITECTURES, check

__all__ = ["ARCHITECTURES", "check"]

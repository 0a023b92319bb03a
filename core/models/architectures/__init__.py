"""The architectures, one per file; `registry` lists them."""

from core.models.architectures.registry import ARCHITECTURES, check, resolve

__all__ = ["ARCHITECTURES", "check", "resolve"]

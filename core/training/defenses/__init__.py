"""What a model is trained on instead of clean images; `registry` lists them."""

from core.training.defenses.registry import DEFENSES

__all__ = ["DEFENSES"]

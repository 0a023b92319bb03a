"""The attacks, one pure function per file; `registry` lists them and reads their options."""

from core.attacks.registry import ATTACKS, check_classes, check_eps, norm_of, parse_norm, resolve

__all__ = ["ATTACKS", "check_classes", "check_eps", "norm_of", "parse_norm", "resolve"]

"""Which training choices make a model robust: the paper's claims, main effects, and what keeps them from being settled."""

from core.verdict.findings.find import find
from core.verdict.findings.finding import Finding, Hindrance, Obstacle
from core.verdict.findings.models import Model

__all__ = ["Finding", "Hindrance", "Model", "Obstacle", "find"]

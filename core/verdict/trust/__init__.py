"""Whether a number can be believed."""

from core.verdict.trust.entry import Reason
from core.verdict.trust.judgement import (
    CHECKS,
    Judgement,
    is_masked,
    judge,
    trust_of_diagnosis,
    trust_of_evaluation,
)

__all__ = ["CHECKS", "Judgement", "Reason", "is_masked", "judge", "trust_of_diagnosis", "trust_of_evaluation"]

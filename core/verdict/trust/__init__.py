"""Whether a number can be believed."""

from core.verdict.trust.judgement import (
    CHECKS,
    Judgement,
    check_of,
    is_masked,
    judge,
    trust_of_diagnosis,
    trust_of_evaluation,
)

__all__ = ["CHECKS", "Judgement", "check_of", "is_masked", "judge", "trust_of_diagnosis", "trust_of_evaluation"]

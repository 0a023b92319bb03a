"""From ledgers to scores with intervals."""

from core.verdict.scoring.scores import SCORES
from core.verdict.scoring.trial_scores import Score, score_trial, scores_of

__all__ = ["SCORES", "Score", "score_trial", "scores_of"]

"""What ledgers say: worst cases, scores, and whether they can be believed."""

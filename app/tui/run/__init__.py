"""One run, opened from wherever it is listed."""

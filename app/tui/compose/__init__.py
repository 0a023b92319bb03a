"""Compose: a study put together, with its mistakes and its cost in sight."""

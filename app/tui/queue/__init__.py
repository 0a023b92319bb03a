"""Queue: what runs and what waits."""

"""Runs: every trial in a table."""

"""Findings: what a study says, and what that rests on."""

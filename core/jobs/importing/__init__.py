"""Weights that were trained elsewhere, held against an architecture."""

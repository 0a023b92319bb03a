"""Three themes: dark, light, and one whose colours stay apart for colour-blind eyes (Okabe and Ito 2008)."""

from __future__ import annotations

from textual.theme import Theme

from app.report.charts import COLOUR_BLIND

DARK = Theme(
    name="innate-dark",
    primary="#7aa2f7",
    secondary="#9d7cd8",
    accent="#e0af68",
    foreground="#d5daf0",
    background="#16161e",
    surface="#1c1e2b",
    panel="#292e42",
    success="#9ece6a",
    warning="#e0af68",
    error="#f7768e",
    dark=True,
)
LIGHT = Theme(
    name="innate-light",
    primary="#2e5fb8",
    secondary="#7a3ea8",
    accent="#9a5b00",
    foreground="#1f2430",
    background="#fafafa",
    surface="#f0f1f4",
    panel="#dfe2ea",
    success="#2f7d1f",
    warning="#9a5b00",
    error="#c0263b",
    dark=False,
)
SAFE = Theme(
    name="innate-colourblind",
    primary="#56b4e9",
    secondary="#cc79a7",
    accent="#f0e442",
    foreground="#f2f2f2",
    background="#000000",
    surface="#141414",
    panel="#2e2e2e",
    success="#56b4e9",
    warning="#f0e442",
    error="#e69f00",
    dark=True,
)
THEMES = (DARK, LIGHT, SAFE)
PALETTES = {SAFE.name: COLOUR_BLIND}
"""Of charts, where a theme has its own."""

STATE_COLOURS = {
    "done": "$success",
    "running": "$primary",
    "queued": "$foreground 70%",
    "failed": "$error",
    "cancelled": "$foreground 50%",
    "ok": "$success",
    "suspect": "$warning",
    "invalid": "$error",
}
"""What a state or a verdict is drawn in; the word itself always stands beside the colour."""

"""Bringing another home's database into this one. The other file is somebody else's: what it says is checked, row by row, before
it counts here, and everything that follows from it (scores, verdicts, states) is worked out anew.

`opened` (the file) → `checked_…` (its rows, as far as they can be) → `taken_…` (into this home) → `settled` (states, scores) →
`merging` (all of it in one transaction); `weights` copies files. What is told otherwise of the same trial: `storage.copies`.
"""

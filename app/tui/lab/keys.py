"""The keys of the Lab. Each names an action, which is a method `action_NAME` of the screen. That hands it on to what it is about:
`choosing` asks for what is looked at, `changes` acts on runs and writes files, the tables of rows (`front.Rows`) move, open, mark
and pin, `viewed` shows the same in another way.
"""

from __future__ import annotations

from app.tui.shell.keys import Key

KEYS = (
    Key("g", "group", "group", "group by factors, variants or seeds, or list every run"),
    Key("left_square_bracket", "radius(-1)", "ε", "the smaller ε that was attacked", hint=False),
    Key("right_square_bracket", "radius(1)", "ε", "the larger ε that was attacked"),
    Key("space", "mark", "mark", "mark the run, or all runs of the row; again to undo it"),
    Key("d", "view('differences')", "differ", "what differs: two marks, or the row and the best; again: the rows"),
    Key("A", "harder", "harder", "attack the marked runs harder, or those of the row: what it costs is told"),
    Key(
        "tab",
        "turn(1)",
        "view",
        "the same as curves, heatmap, trade-off, training, differences, images; then rows again",
    ),
    Key("shift+tab", "turn(-1)", "view before", "the view before", hint=False),
    Key("i", "view('images')", "images", "adversarial images of the marks or the row; again: the rows"),
    Key("c", "score", "score", "choose the score"),
    Key("slash", "filter", "filter", "filter the runs: optimizer=adam clean>0.9 trust!=ok"),
    Key("b", "baseline", "baseline", "pin the row: the others are held against it; again to unpin"),
    Key("o", "study", "study", "choose the study"),
    Key("enter", "open", "open", "open the row, or everything about the run: training, attacks, examples, log"),
    Key("right,l", "unfold", "unfold", "open the row; in the list of runs, columns on", hint=False),
    Key("left,h", "fold", "fold", "close the row, or go to the one above; in the list, columns back", hint=False),
    Key("x", "export", "export", "write what is listed to a CSV, JSON or JSONL file"),
    Key("u", "unmark", "unmark", "forget all marks", hint=False),
    Key("s", "sort", "sort", "choose what to sort the list of runs by", hint=False),
    Key("r", "reverse", "reverse", "turn the order of the list around", hint=False),
    Key("C", "columns", "columns", "choose the columns of the list of runs", hint=False),
    Key("p", "preview", "preview", "show or hide the preview of the list of runs", hint=False),
    Key("E", "resubmit", "resubmit", "edit the run's configuration and submit it as a study of its own", hint=False),
    Key("N", "note", "note", "note something on the row's variant, or on the study: a text and tags", hint=False),
    Key("D", "delete", "delete", "delete the marked runs, or those of the row under the cursor", hint=False),
    Key("R", "retry", "retry", "queue again what failed or was cancelled of them", hint=False),
    Key(
        "y",
        "copy",
        "copy id",
        "copy the run's id, or the command that shows the view (OSC 52)",
        hint=False,
    ),
)

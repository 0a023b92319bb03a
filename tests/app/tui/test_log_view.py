"""The log viewer by itself, on lines that are made up."""

import asyncio

import pytest
from textual.app import App

from app.tui.widgets import log
from app.tui.widgets.log import LogLine, LogView, wrapped


class Host(App):
    def compose(self):
        yield LogView(indent=9)


def made(*numbers):
    return [LogLine(f"04:05:06 line {number}", bad=number % 5 == 4) for number in numbers]


def lines(view):
    return ["".join(segment.text for segment in view.render_line(y)).rstrip() for y in range(view.size.height)]


def played(story):
    async def play():
        app = Host()
        async with app.run_test(size=(40, 6)) as pilot:
            await pilot.pause()
            await story(app.query_one(LogView), pilot)

    asyncio.run(play())


def test_lines_that_go_on_leave_what_is_in_sight_where_it_is():
    async def story(view, pilot):
        view.show(made(*range(20)))
        await pilot.press("g")
        view.show(made(*range(30)))
        await pilot.pause()
        assert len(view.lines) == 30
        assert lines(view)[0] == "04:05:06 line 0"
        await pilot.press("G")
        assert lines(view)[-1] == "04:05:06 line 29"
        view.add(made(30))
        await pilot.pause()
        assert view.following
        assert lines(view)[-1] == "04:05:06 line 30"
        view.show(made(7))
        await pilot.pause()
        assert [line for line in lines(view) if line] == ["04:05:06 line 7"]

    played(story)


def test_only_so_many_lines_are_kept_and_a_search_goes_on_in_them(monkeypatch):
    monkeypatch.setattr(log, "_KEPT", 10)

    async def story(view, _):
        view.show(made(*range(8)))
        view.seek("LINE 7")
        view.step(1)
        assert (view.matches, view.match, view.following) == ([7], 0, False)
        view.add(made(8, 9, 10))
        assert [line.text for line in view.lines] == [f"04:05:06 line {number}" for number in range(1, 11)]
        assert (view.matches, view.match) == ([6], None), "which line one stood on is not known any more"

    played(story)


def test_errors_and_what_is_sought_have_colours_of_their_own():
    async def story(view, _):
        view.show(made(3, 4))
        plain, bad = (list(view.render_line(y)) for y in (0, 1))
        assert plain[0].text == "04:05:06 line 3"
        assert bad[0].style != plain[0].style
        view.seek("6 L")
        before, found, after = list(view.render_line(0))[:3]
        assert (before.text, found.text, after.text) == ("04:05:0", "6 l", "ine 3")
        assert before.style == after.style != found.style

    played(story)


@pytest.mark.parametrize("text", ["", "word " * 10, "x" * 70, "広" * 30])
def test_long_lines_are_cut_between_words_where_there_are_any(text):
    line = f"04:05:06 {text}" if text else ""
    rows = wrapped(line, 7, 30, 9)
    assert all(row.line == 7 for row in rows)
    assert rows[0].end <= 30
    assert all(row.end - row.start <= 21 for row in rows[1:])
    assert [row.start for row in rows[1:]] == [row.end for row in rows[:-1]]
    if text.startswith("word"):
        assert "".join(line[row.start : row.end] for row in rows) == line
        assert all(line[row.start : row.end].endswith(" ") for row in rows)

"""The paged table by itself, on rows that are made up."""

import asyncio
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from textual.app import App

from app.tui.widgets.grid import PAGE, Column, Grid

COLUMNS = [
    Column("n", "number", 8, lambda row: (str(row["n"]), ""), right=True),
    Column("w", "word", 12, lambda row: (row["w"], "dim")),
]


class Host(App):
    """Answers every wish for rows out of `total` that are counted through."""

    def __init__(self, total):
        super().__init__()
        self.rows, self.asked, self.chosen = total, [], []

    def compose(self):
        yield Grid(COLUMNS, identify=lambda row: row["n"])

    def on_grid_wanted(self, event):
        self.asked.append(event.offset)
        page = [{"n": n, "w": f"word {n}"} for n in range(event.offset, min(self.rows, event.offset + PAGE))]
        event.grid.fill(event.offset, page, self.rows)

    def on_grid_chosen(self, event):
        self.chosen.append(event.grid.current["n"])


def lines(app):
    grid = app.query_one(Grid)
    return ["".join(segment.text for segment in grid.render_line(y)) for y in range(grid.size.height)]


def test_of_a_million_rows_only_what_is_in_sight_is_asked_for():
    async def story():
        app = Host(1_000_000)
        async with app.run_test(size=(40, 12)) as pilot:
            await pilot.pause()
            assert app.asked == [0]
            await pilot.press("G")
            await pilot.pause()
            assert "999999" in lines(app)[-1]
            assert app.asked == [0, 999_900]
            await pilot.press("g", "down", "j", "enter")
            await pilot.pause()
            assert app.chosen == [2]
            assert app.asked == [0, 999_900], "the first page is still here"

    asyncio.run(story())


@settings(max_examples=25, deadline=None)
@given(
    total=st.integers(0, 450),
    keys=st.lists(
        st.sampled_from(["j", "k", "down", "up", "pagedown", "pageup", "g", "G", "left", "right"]), max_size=25
    ),
)
def test_the_cursor_stays_on_a_row_and_in_sight_whatever_is_pressed(total, keys):
    async def story():
        app = Host(total)
        async with app.run_test(size=(30, 10)) as pilot:
            await pilot.pause()
            await pilot.press(*keys)
            await pilot.pause()
            grid = app.query_one(Grid)
            assert 0 <= grid.cursor <= max(0, total - 1)
            if total:
                assert grid.current == {"n": grid.cursor, "w": f"word {grid.cursor}"}
                assert grid.scroll_y <= grid.cursor < grid.scroll_y + grid.size.height - 1
                assert any(str(grid.cursor) in line for line in lines(app)[1:])

    asyncio.run(story())


def test_only_rows_that_changed_are_drawn_again():
    async def story():
        app = Host(50)
        async with app.run_test(size=(40, 12)) as pilot:
            await pilot.pause()
            grid = app.query_one(Grid)
            drawn = []
            plain = grid.refresh
            grid.refresh = lambda *regions, **options: drawn.append(regions) or plain(*regions, **options)
            same = [{"n": n, "w": f"word {n}"} for n in range(50)]
            grid.fill(0, same, 50)
            assert drawn == [], "nothing changed"
            same[3] = {"n": 3, "w": "other"}
            grid.fill(0, same, 50)
            ((region,),) = drawn
            assert (region.y, region.height) == (4, 1)

    asyncio.run(story())


def test_fewer_rows_than_before_leave_the_cursor_on_the_last():
    async def story():
        app = Host(300)
        async with app.run_test(size=(40, 12)) as pilot:
            await pilot.press("G")
            app.rows = 120
            app.query_one(Grid).expire()
            await pilot.pause()
            grid = app.query_one(Grid)
            assert (grid.total, grid.cursor) == (120, 119)
            app.rows = 0
            grid.expire()
            await pilot.pause()
            assert (grid.total, grid.current) == (0, None)
            assert grid.toggle_mark() is None

    asyncio.run(story())


def test_columns_that_have_no_room_are_brought_into_sight():
    async def story():
        app = Host(5)
        async with app.run_test(size=(20, 8)) as pilot:
            grid = app.query_one(Grid)
            grid.columns = [Column(f"c{n}", f"column {n}", 9, lambda row: ("x" * 9, "")) for n in range(5)]
            await pilot.pause()
            assert "column 4" not in lines(app)[0]
            await pilot.press("right", "right", "right", "right", "right")
            assert "column 4" in lines(app)[0]
            assert lines(app)[0].startswith("‹")
            await pilot.press("left", "left", "left", "left", "left")
            assert "column 0" in lines(app)[0]

    asyncio.run(story())


def test_pages_come_in_any_order():
    async def story():
        for order in itertools.permutations([0, 100, 200]):
            app = Host(250)
            async with app.run_test(size=(30, 10)) as pilot:
                grid = app.query_one(Grid)
                for offset in order:
                    grid.fill(offset, [{"n": n, "w": ""} for n in range(offset, min(250, offset + PAGE))], 250)
                await pilot.pause()
                assert [grid.row(n)["n"] for n in range(250)] == list(range(250))
                assert grid.row(250) is None

    asyncio.run(story())


def test_other_rows_come_with_their_own_columns_and_those_of_before_are_forgotten():
    async def story():
        app = Host(5)
        async with app.run_test(size=(40, 8)) as pilot:
            grid = app.query_one(Grid)
            await pilot.pause()
            grid.fill_all([{"n": 0, "m": 7}], [Column("m", "other", 6, lambda row: (str(row["m"]), ""))])
            await pilot.pause()
            assert lines(app)[0].split() == ["other"]
            assert lines(app)[1].split() == ["7"]
            assert (grid.total, grid.cursor) == (1, 0)

    asyncio.run(story())


def test_a_word_is_shown_whole_or_not_at_all():
    async def story():
        app = Host(3)
        async with app.run_test(size=(24, 8)) as pilot:
            grid = app.query_one(Grid)
            grid.columns = [
                Column("a", "name", 13, lambda row: ("x" * 13, "")),
                Column("b", "trust", 9, lambda row: ("2 suspect", "")),
                Column("c", "why", 40, lambda row: ("y" * 40, "")),
            ]
            await pilot.pause()
            assert "suspe" not in "".join(lines(app))
            assert lines(app)[0].endswith("›"), "and it says that there is more"
            await pilot.press("right")
            assert "2 suspect" in lines(app)[1]
            assert "yyy" in lines(app)[1], "a sentence is cut"

    asyncio.run(story())

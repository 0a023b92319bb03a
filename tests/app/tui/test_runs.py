import asyncio

from tests.app.tui.conftest import opened, press_and_wait, shown


def test_the_table_shows_every_run_and_the_preview_of_the_first(filled_home):
    async def story():
        async with opened(filled_home) as (app, pilot):
            text = shown(app)
            assert "8 runs" in text
            assert sum("relu " in line or "tanh " in line for line in text.splitlines()[3:11]) == 8
            await press_and_wait(pilot, "j")
            assert app.screen.grid.cursor == 1

    asyncio.run(story())

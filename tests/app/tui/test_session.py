"""What screens know of the program around them: a look that began before a change does not hide it."""

import asyncio

from app.tui.shell.session import Session
from tests.app.tui.conftest import context_for


def test_a_look_that_is_asked_for_during_another_is_made_after_it(filled_home):
    session = Session(context_for(filled_home))
    versions, began, go_on = iter([1, 2]), asyncio.Event(), asyncio.Event()

    class Reader:
        """Answers with the version as it was when it was asked, the first time only once it is let."""

        async def ask(self, _):
            version = next(versions)
            if version == 1:
                began.set()
                await go_on.wait()
            return version, None, {}, False

    async def story():
        first = asyncio.create_task(session.look())
        await began.wait()
        assert not await session.look(), "another is under way"
        assert session.looking
        go_on.set()
        assert await first
        assert (session._last_look, session.version, session.looking) == (2, 1, False)

    session.reader.close()
    session.reader = Reader()
    asyncio.run(story())
    session.charts.close()

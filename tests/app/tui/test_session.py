"""What screens know of the program around them: a look that began before a change does not hide it."""

import asyncio

from app.tui.shell.page import told_since
from app.tui.shell.session import Session
from storage.database import connect
from storage.home import Home, prepare
from tests.app.tui.conftest import context_for


def test_a_look_that_is_asked_for_during_another_is_made_after_it(filled_home):
    session = Session(context_for(filled_home))
    versions, began, go_on = iter([1, 2]), asyncio.Event(), asyncio.Event()

    class Reader:
        """Answers with the version as it was when it was asked, the first time only once it is let."""

        file = None

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


def test_a_database_that_is_taken_away_is_told_once_and_a_new_one_is_read(tmp_path):
    home = Home(tmp_path / "home")
    prepare(home)
    session = Session(context_for(home))

    async def looked():
        moved_on = await session.look()
        news, session.news = session.news, None
        return moved_on, news

    async def story():
        assert (await looked())[1] is None, "there was none"
        connect(home.database).conn.close()
        assert await looked() == (True, None), "it appears"
        assert await looked() == (False, None)
        home.database.unlink()
        assert await looked() == (True, f"{home.database}: the database is gone, so nothing is shown")
        assert await looked() == (False, None)
        for name in ("innate.db", "other.db"):
            connect(home.root / name).conn.close()
        assert await looked() == (True, None)
        (home.root / "other.db").rename(home.database)
        assert await looked() == (True, f"{home.database}: the database is another one than before")

    asyncio.run(story())
    session.close()


def test_what_ended_since_the_screens_were_left_is_told_once(filled_home):
    context = context_for(filled_home)

    async def looked(left_at):
        session = Session(context)
        session._left_at = left_at
        await session.look()
        session.close()
        return dict(session.meanwhile), session.remembered.left_at

    assert asyncio.run(looked(None))[0] == {}
    ends, left_at = asyncio.run(looked(1.0))
    assert ends == {"finished": 8}
    assert Session(context).remembered.left_at == left_at
    assert asyncio.run(looked(left_at))[0] == {}


def test_it_is_told_in_a_sentence():
    assert told_since({"finished": 12, "failed": 1}) == "since you looked: 12 trials done, 1 failed (Queue says why)"
    assert told_since({"finished": 1}) == "since you looked: 1 trial done"

"""Own keys and colours: what the file says holds, what is wrong in it is told and left out, and all of it is shown as it is."""

import asyncio
import tomllib

import pytest

from app.tui.app import InnateApp
from app.tui.queue.screen import QueueScreen
from app.tui.run.screen import DetailScreen
from app.tui.shell import own
from app.tui.shell.keys import APP, EVERYWHERE
from tests.app.tui.conftest import SMALL, context_for, opened, press_and_wait, shown

SCREENS = {mode: page().KEYS for mode, page in InnateApp.PAGES.items()} | {DetailScreen.MODE: DetailScreen.KEYS}


def read(tmp_path, text):
    (tmp_path / "tui.toml").write_text(text)
    return own.read(tmp_path / "tui.toml", SCREENS)


def test_keys_are_given_on_one_screen_or_on_all_that_have_the_action(tmp_path):
    found = read(tmp_path, '[keys]\nhelp = "F1"\nsearch = "ctrl+f"\n[keys.queue]\ncancel = ["c", "!"]\n')
    assert found.problems == ()
    assert dict(found.keys) == {
        "everywhere.help": "f1",
        "queue.cancel": "c,exclamation_mark",
        **{f"{mode}.search": "ctrl+f" for mode, keys in SCREENS.items() if any(key.action == "search" for key in keys)},
    }
    shown_keys = {key.action: key.all_shown for key in found.of(QueueScreen.KEYS, "queue")}
    assert shown_keys["cancel"] == "c exclamation_mark"
    assert shown_keys["retry"] == "R"
    assert next(key.shown for key in found.of(EVERYWHERE, APP) if key.action == "help") == "f1"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[keys", "not valid TOML"),
        ("colours = 1", "colours: unknown"),
        ("keys = 1", "keys: not a table of actions"),
        ('[keys]\nhelpp = "x"', "keys.helpp: no such action; did you mean 'help'?"),
        ('[keys.que]\ncancel = "c"', "keys.que: no such screen; did you mean 'queue'?"),
        ("[keys]\nhelp = 1", "keys.help: expected a key"),
        ("[keys]\nhelp = []", "keys.help: expected a key"),
        ('[keys.queue]\ncancel = "R"', "keys.queue.cancel: R is taken by queue.retry"),
        ('[keys.queue]\ncancel = "q"', "keys.queue.cancel: q is taken by everywhere.leave"),
        ('[keys.queue]\ncancel = "j"', "keys.queue.cancel: j is taken by moving about"),
        ('[keys]\nhelp = "ctrl+c"', "keys.everywhere.help: ctrl+c is taken by leaving"),
        ("theme = 1", "theme: not a table of colours"),
        ("[theme]\nbase = [1]", "theme.base: [1] is none of innate-dark"),
        ('[keys.queue]\ncancel = ["R", "R"]', "keys.queue.cancel: R is taken by queue.retry"),
        ('[theme]\nbase = "x"', "theme.base: 'x' is none of innate-dark"),
        ('[theme]\nprimry = "red"', "theme.primry: no such colour; did you mean 'primary'?"),
        ('[theme]\nprimary = "nice"', "theme.primary: 'nice' is no colour"),
    ],
)
def test_what_is_wrong_is_told_in_a_line_and_left_out(text, told, tmp_path):
    found = read(tmp_path, text)
    assert told in found.told
    assert "\n" not in found.told
    assert dict(found.keys) == {}


def test_two_actions_may_change_their_keys(tmp_path):
    found = read(tmp_path, '[keys.queue]\ncancel = "R"\nretry = "x"\n')
    assert found.problems == ()
    assert dict(found.keys) == {"queue.cancel": "R", "queue.retry": "x"}


def test_a_theme_has_the_colours_of_its_base_where_it_gives_none(tmp_path):
    theme = read(tmp_path, '[theme]\nbase = "innate-light"\nprimary = "#123456"\nbackground = "black"\n').theme
    assert (theme.name, theme.primary, theme.background, theme.dark) == ("own", "#123456", "#000000", True)
    assert theme.error == own.THEMES[1].error


def test_the_file_that_is_written_changes_nothing_until_it_is_edited(tmp_path):
    text = own.template(SCREENS)
    assert tomllib.loads(text) == {"keys": {mode: {} for mode in SCREENS}}
    # Each line, without its #, is what holds anyway.
    bare = "\n".join(line.removeprefix("#") for line in text.splitlines() if not line.startswith("# "))
    found = read(tmp_path, bare)
    assert [problem for problem in found.problems if "taken" not in problem] == []
    assert found.theme is not None
    for mode, keys in {**SCREENS, APP: EVERYWHERE}.items():
        assert [key.keys for key in found.of(keys, mode)] == [key.keys for key in keys], mode


def test_own_keys_act_and_are_shown_and_the_theme_is_taken(filled_home):
    (filled_home.root / "tui.toml").write_text(
        '[keys]\nhelp = "f1"\nmark = "m"\n[keys.lab]\nsort = "z"\nfilter = 3\n[theme]\nprimary = "#123456"\n'
    )

    async def story():
        async with opened(filled_home, SMALL) as (app, pilot):
            assert "tui.toml: keys.lab.filter: expected a key" in shown(app)
            assert app.theme == "own"
            assert "q quit" in shown(app)
            assert "f1 help" in shown(app)
            await press_and_wait(pilot, "s")
            assert "Sort by" not in shown(app), "the key of before is free"
            await press_and_wait(pilot, "m")
            assert "1 marked" in shown(app)
            await press_and_wait(pilot, "f1")
            assert "Keys: lab" in shown(app)
            await press_and_wait(pilot, "escape", "z")
            assert "Sort by" in shown(app)

    asyncio.run(story())


def test_the_theme_goes_with_the_terminals_ground_until_one_is_chosen(filled_home):
    class Asked:
        class ground:  # noqa: N801 - stands for an object
            dark = False

    app = InnateApp(context_for(filled_home), asked=Asked)
    assert app._theme_now() == "innate-light"
    Asked.ground.dark = True
    assert app._theme_now() == "innate-dark"
    app.session.remembered.theme = "innate-colourblind"
    assert app._theme_now() == "innate-colourblind"
    app.session.close()

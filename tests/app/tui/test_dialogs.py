"""Pickers and prompts, by themselves."""

from hypothesis import given
from hypothesis import strategies as st

from app.tui.widgets.dialogs import Item, Prompt, ranked
from tests.app.tui.conftest import SMALL, calm, opened, press_and_wait
from tests.app.tui.test_run_list import story

ITEMS = [
    Item(0, "sgd", "stochastic gradient descent; adam without memory"),
    Item(1, "nadam", "Nesterov's momentum"),
    Item(2, "adamw", "adam, decay apart"),
    Item(3, "adam", "the usual one"),
]


def test_names_come_before_descriptions():
    assert ranked(ITEMS, "adam") == [2, 3, 1, 0]
    assert ranked(ITEMS, "") == [0, 1, 2, 3]
    assert ranked(ITEMS, "adam usual") == [3]
    assert ranked(ITEMS, "nothing") == []


@given(st.text(alphabet="adgmnsw ", max_size=6))
def test_no_item_is_lost_or_doubled(text):
    found = ranked(ITEMS, text)
    assert sorted(found) == [
        index
        for index, item in enumerate(ITEMS)
        if all(word in f"{item.label} {item.note}".lower() for word in text.lower().split())
    ]


@story
async def test_typing_replaces_what_a_prompt_begins_with(home):
    answers = []
    async with opened(home, SMALL) as (app, pilot):
        app.push_screen(Prompt("Value", "0.001"), answers.append)
        await calm(pilot)
        await press_and_wait(pilot, *"0.5", "enter")
        app.push_screen(Prompt("Value", "0.001"), answers.append)
        await calm(pilot)
        await press_and_wait(pilot, "end", "5", "enter")
    assert answers == ["0.5", "0.0015"]

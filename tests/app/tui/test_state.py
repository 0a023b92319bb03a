import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tui.shell import state
from app.tui.shell.state import Remembered


def test_what_is_saved_comes_back(tmp_path):
    path = tmp_path / "tui.json"
    kept = Remembered(
        screen="compare", filter="clean>0.9", marks=[("a", "1")], baseline=("a", "2"), draft={"name": "x"}
    )
    state.save(kept, path)
    assert state.load(path) == kept
    assert list(tmp_path.iterdir()) == [path], "nothing half-written stays"


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"marks": [1]}', '{"baseline": ["a"]}', '{"columns": "all"}', "\xff"]
)
def test_what_cannot_be_read_is_forgotten(tmp_path, content):
    path = tmp_path / "tui.json"
    path.write_text(content, encoding="latin-1")
    assert state.load(path) == Remembered()


KEYS = st.sampled_from(["screen", "marks", "sort", "draft", "x"])
CONTENT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@given(CONTENT)
def test_no_content_makes_it_fail(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(content))
    assert isinstance(state.load(path), Remembered)


def test_a_home_that_is_gone_or_read_only_is_no_matter(tmp_path):
    state.save(Remembered(), tmp_path / "gone" / "tui.json")
    state.save(Remembered(), None)
    assert state.load(None) == Remembered()


def test_every_field_has_a_shape():
    from dataclasses import fields

    assert set(state._SHAPES) == {field.name for field in fields(Remembered)}

"""A folder of one's own, from the pictures to the leaderboard, as the command line tells it."""

import json

import numpy as np
import pytest
import tomli_w
from PIL import Image

from tests.conftest import tiny


@pytest.fixture
def spec(tmp_path):
    """A study file beside a folder of two classes of pictures of mixed sizes, without halves."""
    rng = np.random.default_rng(2)
    for label, level in (("dark", 0), ("light", 90)):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(40):
            size = (int(rng.integers(10, 40)), int(rng.integers(10, 40)), 3)
            pixels = rng.integers(level, level + 160, size, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / label / f"{number}.jpg")
    (tmp_path / "pets" / "notes.txt").write_text("taken in May")
    document = tiny(dataset="folder:pets", seeds=1, activations=["relu"])
    del document["train_samples"], document["test_samples"]
    path = tmp_path / "study.toml"
    path.write_text(tomli_w.dumps(document))
    return path


GIVEN = ("--set", "dataset.split=0.25", "--set", "dataset.size=16")


def test_a_folder_of_mixed_sizes_without_halves_is_run(spec, innate, home):
    assert "split = 0.2" in innate("run", str(spec), check=2).stderr
    assert "size = 64" in innate("run", str(spec), *GIVEN[:2], check=2).stderr
    assert not home.database.exists()
    planned = innate("plan", str(spec), *GIVEN).stdout
    assert "  data set       divided here: 60 pictures to train on, 20 to test" in planned
    assert "  data set       left out, beside the classes: notes.txt" in planned
    assert "  data set       brought to 16×16 pixels, crop" in planned
    (row,) = json.loads(innate("plan", str(spec), *GIVEN, "--json").stdout)["plan"]
    assert [note.split(" ")[0] for note in row["notes"]] == ["divided", "left", "brought"]
    done = innate("run", str(spec), *GIVEN, "--slots", "1", "--json")
    assert "folder:pets@16: brought to 16×16 pixels, crop" in done.stderr
    rows = json.loads(done.stdout)["results"]
    assert {row["dataset"] for row in rows} == {"folder:pets@16"}
    assert all(row["clean_accuracy"] > 0.8 for row in rows)
    again = innate("plan", str(spec), *GIVEN, "--json")
    assert json.loads(again.stdout)["plan"][0]["done"] == 2
    assert "decoding" not in again.stderr
    assert (
        json.loads(innate("plan", str(spec), *GIVEN[:2], "--set", "dataset.size=20", "--json").stdout)["plan"][0]["new"]
        == 2
    )

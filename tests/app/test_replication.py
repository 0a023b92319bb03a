"""The claims asked of several studies at once: every answer stands under its claim, as each study gives it by itself."""

import json

from app.report.findings import Findings
from app.report.replication import side_by_side
from core.records.attack import Threat
from core.verdict.findings import find
from core.verdict.findings.description import describe
from tests.conftest import innate_command
from tests.core.worlds import FULL, study


def answers(name, effect):
    """A study in which sigmoid is worse by `effect`."""
    models = study(lambda cell, _: 0.5 - effect * (cell["activation"] == "sigmoid"), seeds=5, rng=3)
    return Findings(name, Threat("linf", 0.1), 0.5, tuple(models), tuple(find(models)), describe(models))


def test_each_claim_has_every_studys_answer_below_it():
    asked = [answers("defaults", 0.2), answers("rates-tuned", 0.0)]
    page = side_by_side(asked, 80)
    assert max(map(len, page.splitlines())) <= 80
    claim = "Sigmoid activation weakens the model, whatever the attack\n"
    rests = page.index("\nWhat it rests on\n")
    for one in asked:
        (row,) = [found for found in one.found if found.key == "claim-1"]
        line = next(line for line in page[page.index(claim) : rests].splitlines() if line.startswith(f"  {one.study} "))
        assert line.split()[1:3] == [row.verdict, f"{100 * row.effect:+.1f}"]
        assert f" {row.won}/{row.pairs} " in line
    first, second = [
        next(line for line in page[page.index(claim, rests) :].splitlines() if line.startswith(f"  {name} "))
        for name in ("defaults   ", "rates-tuned")
    ]
    assert first.startswith("  defaults     supported: sigmoid against")
    verdict = next(one.verdict for one in asked[1].found if one.key == "claim-1")
    assert verdict != "supported"
    assert second.startswith(f"  rates-tuned  {verdict}: sigmoid against")
    for one in asked:
        (row,) = [found for found in one.found if found.key == "claim-1"]
        assert f"{100 * row.effect:+.1f} points" in page
    assert "No study can say: Adagrad weakens the model, whatever the attack; The optimizer changes what" in " ".join(
        page.split()
    )


def test_a_claim_that_one_study_cannot_answer_says_so_beside_the_other():
    without = study(lambda cell, _: 0.5, levels={**FULL, "activation": ("relu",)}, seeds=3)
    silent = Findings("small", Threat("linf", 0.1), 0.5, tuple(without), tuple(find(without)), describe(without))
    page = side_by_side([answers("defaults", 0.2), silent], 80)
    assert "  small     cannot say" in page


def test_the_command_asks_all_and_names_an_unknown_study(filled):
    done = innate_command("findings", "--beside", "tiny", "--json", home=filled)
    keys = [(row["study"], row["key"]) for row in json.loads(done.stdout)["findings"]]
    assert len(keys) == len(set(keys)), "a study beside itself is asked once"
    assert "asked of tiny (8 models, ℓ∞ ε = 0.1)" in innate_command("findings", "--beside", "tiny", home=filled).stdout
    for arguments, code, said in (
        (("--beside", "tinny"), 3, "there is no study 'tinny'; did you mean 'tiny'?"),
        (("--beside", "tiny", "--settle"), 2, "--beside: a study is settled by itself"),
    ):
        failed = innate_command("findings", *arguments, home=filled, check=code)
        assert said in failed.stderr
        assert len(failed.stderr.strip().splitlines()) == 1

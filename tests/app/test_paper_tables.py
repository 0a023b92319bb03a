"""Means by factors as tables for papers."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from app import main
from app.report.aggregate import Level
from app.report.paper_tables import PaperTable, _cell, by_factors_table, latex, latex_table, markdown_table
from storage import queries
from storage.database import connect


@pytest.fixture
def read(filled, capsys, monkeypatch):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["innate", "--home", str(filled), "results", *arguments])
        with pytest.raises(SystemExit) as ended:
            main.main()
        assert not ended.value.code
        return capsys.readouterr().out

    return call


def cells(text):
    """Of a pipe table, without its rule."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows if "---" not in row[0]]


@pytest.mark.parametrize("score", ["innate", "worst_case", "clean_accuracy"])
def test_two_factors_are_a_pivot_of_the_same_numbers(score, read):
    told = json.loads(read("--by", "optimizer,activation", "--score", score, "--json"))["results"]
    head, *rows = cells(read("--by", "optimizer,activation", "--score", score, "--format", "markdown"))
    assert head == ["optimizer × activation", "relu", "tanh"]
    assert [row[0] for row in rows] == ["adam", "sgd"]
    shown = {(row[0], column): cell for row in rows for column, cell in zip(head[1:], row[1:], strict=True)}
    scale = 1 if score == "innate" else 100
    for one in told:
        cell = shown[one["optimizer"], one["activation"]]
        if score == "clean_accuracy":
            assert cell.startswith(f"{scale * one['score']:.1f} ± {scale * (one['high'] - one['low']) / 2:.1f}")
        else:  # nobody audited them
            assert cell.startswith(f"≤ {scale * one['score']:.1f}")


def test_the_caption_says_what_it_is_of(read):
    text = read("--by", "optimizer,activation", "--score", "worst_case", "--format", "markdown")
    first = text.splitlines()[0]
    assert first == (
        "tiny (digits): worst_case in % at ℓ∞ ε = 0.1; means over n = 1 variant of 2 seeds, ± half of the 95 % interval over "
        "seeds and images."
    )
    assert "≤ not audited, so an upper bound." in text


def test_latex_is_a_table_of_booktabs(read):
    text = read("--by", "activation,optimizer", "--format", "latex")
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(f"\\{rule}") == 1
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    assert r"\begin{tabular}{lrr}" in text
    assert r"\label{tab:tiny-innate-activation-optimizer}" in text
    assert r"$\varepsilon$ 0, 0.1, 0.2" in text
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert [line.count("&") for line in lines] == [2, 2, 2]
    assert not re.search(r"(?<!\\)[%#]", text.split("\n", 1)[1])
    assert text.isascii()


@pytest.mark.parametrize("by", ["optimizer", "optimizer,activation,seed"])
def test_other_numbers_of_factors_are_a_list(by, read):
    head, *rows = cells(read("--by", by, "--format", "markdown"))
    assert head == [*by.split(","), "innate", "n"]
    assert len(rows) == (2 if by == "optimizer" else 8)
    told = json.loads(read("--by", by, "--json"))["results"]
    assert [row[: len(head) - 2] for row in rows] == [[str(one[name]) for name in by.split(",")] for one in told]


def test_marks_are_explained(filled):
    db = connect(filled / "innate.db", read_only=True)
    found = [Level(("a",), 0.5, 0.4, 0.7, 2, trust="suspect"), Level(("b",), None, None, None, 0, trust="invalid")]
    table = by_factors_table(db, "tiny", "worst_case", ["optimizer"], found, queries.scores(db, "tiny", "worst_case"))
    db.conn.close()
    assert table.rows == (("a", "50.0 ± 15.0†", "2"), ("b", "–", "0"))
    assert table.notes == ("† some model is suspect.",)


def test_a_cell_without_an_interval_is_its_mean():
    assert _cell(Level(("a",), 12.345, None, None, 1), 1.0) == "12.3"
    assert _cell(None, 1.0) == "–"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a_b & 5 % {x}", r"a\_b \& 5 \% \{x\}"),
        ("\\~^#$", r"\textbackslash{}\textasciitilde{}\textasciicircum{}\#\$"),
        ("ℓ∞ ε × ≤ ±", r"$\ell_\infty$ $\varepsilon$ $\times$ $\leq$ $\pm$"),
    ],
)
def test_text_means_itself(text, written):
    assert latex(text) == written


def test_it_compiles_where_a_compiler_is(tmp_path):
    compiler = next((path for name in ("pdflatex", "tectonic", "xelatex") if (path := shutil.which(name))), None)
    if compiler is None:
        pytest.skip("no LaTeX compiler here: its structure is held by the other tests")
    table = PaperTable("ε of 5 % & ℓ∞", "tab-a_b", ("a_b", "c"), (("x#", "≤ 1.0†"),), 1, ("† some model is suspect.",))
    assert markdown_table(table)
    source = tmp_path / "t.tex"
    source.write_text(
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
        f"{latex_table(table)}\\end{{document}}\n"
    )
    subprocess.run([compiler, source.name], cwd=tmp_path, check=True, capture_output=True, stdin=subprocess.DEVNULL)

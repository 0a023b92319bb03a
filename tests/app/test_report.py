"""A study written up: what is in it, that its numbers are those of the other commands, that it stands alone."""

import contextlib
import dataclasses
import json
import re
import sqlite3
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.cli.report import _form
from app.report import cause_words
from app.report.document import svg
from app.report.document.conditions import environment
from app.report.document.markdown import markdown
from app.report.document.material import material
from app.report.document.methods import FORMULAS
from app.report.document.page import html_page
from app.report.document.record import (
    Code,
    Curve,
    Curves,
    Formulas,
    Heading,
    Heat,
    Items,
    Points,
    Report,
    Section,
    Table,
    Text,
)
from app.report.document.references import REFERENCES, cited
from app.report.document.write_up import write_up
from app.report.findings import as_rows, findings
from app.report.whiskers import Whisker
from app.report.worst_curves import worst_curves
from core.attacks import ATTACKS
from core.errors import BadInput, NotFound
from core.study.resolve import parse_study, parse_toml
from core.training.averaging import AVERAGINGS
from core.training.defenses import DEFENSES
from core.verdict.scoring import SCORES
from storage import queries, studies, submitting
from storage.database import connect
from tests.conftest import copy_home, innate_command, plan_of, tiny
from tests.storage import stored

SECTIONS = (
    "Question", "Design", "Methods", "Results", "Audit and trust", "Findings", "Limits", "Environment", "Study file",
    "To reproduce",
)  # fmt: skip
VOID = {"meta", "br", "hr", "img", "link", "input"}


@pytest.fixture(scope="module")
def db(filled):
    found = connect(filled / "innate.db", read_only=True)
    yield found
    found.conn.close()


@pytest.fixture(scope="module")
def report(db):
    return write_up(db, "tiny")


def blocks(report, kind):
    return [block for section in report.sections for block in section.blocks if isinstance(block, kind)]


def table_of(report, first_heading, caption=""):
    return next(
        block for block in blocks(report, Table) if block.headings[0] == first_heading and caption in block.caption
    )


# --- what is in it ---


def test_every_section_is_there_in_both_forms(report):
    assert tuple(section.title for section in report.sections) == SECTIONS
    assert all(section.blocks for section in report.sections)
    assert re.findall(r"^## (.*)$", markdown(report), re.MULTILINE) == list(SECTIONS)
    assert re.findall(r"<h2>(.*?)</h2>", html_page(report)) == list(SECTIONS)


def test_the_leaderboard_has_the_numbers_of_results(db, report):
    rows = {tuple(row[:2]): row[2:] for row in table_of(report, "optimizer", "best first").rows}
    for found in queries.leaderboard(db, "tiny"):
        innate, interval, clean, worst, over, kept, seeds, trust = rows[found.optimizer, found.activation]
        assert float(innate) == pytest.approx(found.innate, abs=0.05)
        assert float(clean) == pytest.approx(100 * found.clean_accuracy, abs=0.05)
        assert float(worst.lstrip("≤")) == pytest.approx(100 * found.worst_case, abs=0.05)
        assert float(kept) == pytest.approx(100 * found.retention, abs=0.05)
        assert (over, seeds, trust) == ("-", str(found.seeds), found.trust)
        assert interval.startswith("≤")  # nobody audited them
        assert worst.startswith("≤")


@pytest.mark.parametrize("factor", ["optimizer", "activation"])
def test_means_by_a_factor_are_those_of_results(factor, report, filled, capsys, monkeypatch):
    table = table_of(report, factor, "By ")
    told = {}
    for score in ("worst_case", "clean_accuracy", "innate"):
        out = innate(["results", "--by", factor, "--score", score, "--json"], filled, capsys, monkeypatch)
        told[score] = json.loads(out)
    rows = {row[0]: row for row in table.rows}
    assert [row[0] for row in table.rows] == [one[factor] for one in told["worst_case"]["results"]]
    for place, (score, scale) in {1: ("worst_case", 100), 6: ("clean_accuracy", 100), 8: ("innate", 1)}.items():
        for one in told[score]["results"]:
            assert rows[one[factor]][place] == f"{scale * one['score']:.1f}"
            assert f"{scale * one['high']:.1f}" in rows[one[factor]][place + 1]
            assert rows[one[factor]][10] == str(one["n"])
    for one in told["worst_case"]["differences"][1:]:
        assert rows[one[factor]][3] == f"{100 * one['difference']:+.1f}"
        assert rows[one[factor]][4] == f"{100 * one['low']:+.1f} to {100 * one['high']:+.1f}"


def test_findings_are_those_of_findings(db, report):
    told = {one["key"]: one for one in as_rows(findings(db, "tiny"))}
    rows = {row[0]: row[1:] for block in blocks(report, Table) for row in block.rows if "adjusted p" in block.headings}
    effects = [one for one in told.values() if one["kind"] == "effect"]
    assert effects
    assert rows
    for one in effects:
        name = one["levels"][0]
        if name not in rows:  # of two levels one is told against the other
            continue
        verdict, points, interval, won, n, _, _, trust = rows[name]
        assert (verdict, won, n, trust) == (one["verdict"], f"{one['won']}/{one['n']}", str(one["n"]), one["trust"])
        assert points == f"{100 * one['effect']:+.1f}"
        assert interval == f"{100 * one['interval'][0]:+.1f} to {100 * one['interval'][1]:+.1f}"
    asked = [one for one in told.values() if one["kind"] != "effect" and one["compared"]]
    assert all(one["claim"] in rows and rows[one["claim"]][0] == one["verdict"] for one in asked)
    lists = [line for block in blocks(report, Items) for line in block.lines]
    for one in told.values():
        if one["kind"] != "effect" and not one["compared"]:
            assert any(line.startswith(one["claim"]) for line in lists)


def test_causes_stand_beside_every_claim_and_effect(db, monkeypatch):
    monkeypatch.setattr(cause_words, "lines", lambda one: [f"moves with {one.kind.value} {one.levels}"])
    monkeypatch.setattr(cause_words, "assumptions", lambda found: f"supposed of {len(found)}")
    report = write_up(db, "tiny")
    lists = [line for block in blocks(report, Items) for line in block.lines]
    found = findings(db, "tiny").found
    for one in found:
        if one.parts:
            wanted = f"moves with {one.kind.value} {one.levels}"
            assert any(line.endswith(wanted) for line in lists), wanted
    assert Text(f"supposed of {len(found)}.") in blocks(report, Text)


def test_curves_meet_the_scores_at_their_radius(db):
    board = {row.variant_id: row for row in queries.leaderboard(db, "tiny")}
    found = worst_curves(db, "tiny", queries.scores(db, "tiny", "innate"))
    assert {one.variant_id for one in found} == set(board)
    for one in found:
        at = dict(zip(one.eps, one.points, strict=True))
        assert list(at) == [0.0, 0.1, 0.2]
        assert at[0.0].value == pytest.approx(board[one.variant_id].clean_accuracy, abs=1e-6)
        assert at[0.1].value == pytest.approx(board[one.variant_id].worst_case, abs=1e-6)
        assert not at[0.0].bound
        assert at[0.1].bound
        assert at[0.0].low <= at[0.0].value <= at[0.0].high


def test_the_study_file_in_it_is_the_study(db, report):
    (code,) = [block for block in blocks(report, Code) if block.language == "toml"]
    again = parse_study(parse_toml(code.text, "report"), "report", studies.study_row(db, "tiny").data_root)
    assert again.document == studies.document(db, "tiny")


def test_the_environment_is_what_attempts_recorded(db):
    (table,) = environment(material(db, "tiny")).blocks
    known = dict(table.rows)
    assert known["device"] == "cpu"
    assert known["threads"] == "1"
    assert known["torch"]
    assert table.caption == "8 attempts, all in the same environment."


def test_limits_are_said_from_the_data(report):
    (limits,) = next(section for section in report.sections if section.title == "Limits").blocks
    said = " ".join(limits.lines)
    for words in (
        "One data set, digits",
        "2 seeds",
        "60 test images",
        "300 images",
        "Undefended models only",
        "ℓ∞ only",
    ):
        assert words in said


def test_every_score_has_its_formula(report):
    (formulas,) = blocks(report, Formulas)
    assert set(FORMULAS) == set(SCORES) == {name for name, _ in formulas.lines}


def test_every_attack_defense_and_averaging_that_has_a_paper_is_cited_in_full():
    sources = {entry.name: entry.source for registry in (ATTACKS, DEFENSES, AVERAGINGS) for entry in registry.values()}
    for name, source in sources.items():
        if source not in ("", "-") and re.search(r"\d{4}", source):
            assert any(key in source for key in REFERENCES), f"{name}: {source}"
    told = cited(["Madry et al. 2018, section 2.1"])
    assert REFERENCES["Madry et al. 2018"] in told
    assert REFERENCES["Dong et al. 2018"] not in told


# --- what cannot be written up, and what is not finished ---


def test_what_is_missing_is_said_before_anything_else(filled, tmp_path):
    copy_home(filled, tmp_path / "home")
    with contextlib.closing(sqlite3.connect(tmp_path / "home" / "innate.db")) as raw, raw:
        trials = [row[0] for row in raw.execute("SELECT trial_id FROM study_trial ORDER BY position")]
        for state, trial in zip(("queued", "running", "failed"), trials, strict=False):
            raw.execute("UPDATE study_trial SET state = ? WHERE trial_id = ?", (state, trial))
        raw.execute("DELETE FROM score WHERE trial_id IN (?, ?)", trials[:2])
    db = connect(tmp_path / "home" / "innate.db", read_only=True)
    found = write_up(db, "tiny")
    db.conn.close()
    assert len(found.warnings) == 2
    assert found.warnings[0].startswith("2 of 8 trials are still to come")
    assert found.warnings[1].startswith("1 of 8 trials have no result (1 failed, 0 cancelled)")
    text = markdown(found)
    assert text.index("Not finished") < text.index("## Question")
    page = html_page(found)
    assert page.index("Not finished") < page.index("<h2>")


def test_a_finished_study_has_no_warning(report):
    assert report.warnings == ()


def test_a_study_that_lacks_what_it_takes_is_one_line(home, cache):
    db = connect(home.database)
    with pytest.raises(NotFound, match="there is no study 'nil'"):
        write_up(db, "nil")
    submitting.submit(db, plan_of(tiny(), cache))
    with pytest.raises(NotFound, match="no trial of tiny is finished yet; innate wait --study tiny"):
        write_up(db, "tiny")
    submitting.submit(db, plan_of(tiny(name="bare", attacks=[]), cache))
    with pytest.raises(BadInput, match="bare has no attacks of its own"):
        write_up(db, "bare")


def test_the_ending_says_the_form():
    assert _form(Path("-"), None) == "markdown"
    assert _form(Path("a.HTML"), None) == "html"
    assert _form(Path("a.md"), "html") == "html"
    with pytest.raises(BadInput, match=r"name it \.md or \.html"):
        _form(Path("a.pdf"), None)
    with pytest.raises(BadInput, match="--format pdf: not one of markdown, html"):
        _form(Path("a.pdf"), "pdf")


def test_it_is_written_whole_from_a_read_only_database_and_not_over_another(filled, tmp_path):
    place = tmp_path / "quick.html"
    database = str(filled / "innate.db")
    done = innate_command("--db", database, "report", "-o", str(place), home=tmp_path / "none")
    assert done.stdout == ""
    assert done.stderr == f"wrote {place}\n"
    first = place.read_text(encoding="utf-8")
    assert first.endswith("</html>\n")
    assert [path.name for path in tmp_path.iterdir()] == ["quick.html"]
    done = innate_command("--db", database, "report", "tiny", "-o", str(place), home=tmp_path / "none", check=2)
    assert "exists already" in done.stderr
    assert place.read_text(encoding="utf-8") == first


# --- it stands alone, whatever is in it ---


class Page(HTMLParser):
    """Notes what it sees, and that every element ends where it should."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


HOSTILE = '&lt; </style><script>alert(1)</script> | a*b* `c` $d$ "e" & ]]> \x07 [f](http://g)'


def hostile():
    bars = (Whisker(HOSTILE, 50.0, 40.0, 60.0, HOSTILE), Whisker("none", None, None, None))
    line = Curve(HOSTILE, (0.0, 0.1), (90.0, 10.0), (80.0, 5.0), (95.0, 15.0))
    everything = (
        Heading(HOSTILE),
        Text(HOSTILE),
        Items((HOSTILE, "# no heading", "1. no list")),
        Formulas(((HOSTILE, HOSTILE),)),
        Table(HOSTILE, ("a", "b"), ((HOSTILE, "1"),), frozenset({1})),
        Code(f"{HOSTILE}\n```\n````", "toml"),
        Points(HOSTILE, ((HOSTILE, bars),), HOSTILE),
        Points(HOSTILE, (("", bars),), HOSTILE, signed=True),
        Curves(HOSTILE, "p", "l", ((HOSTILE, (line,)), ("two", (line,))), "ε", "%"),
        Heat(HOSTILE, "c", (HOSTILE,), (HOSTILE, "b"), {(HOSTILE, "b"): 99.0}, {(HOSTILE, "b"): "?"}),
    )
    return Report(HOSTILE, HOSTILE, (HOSTILE,), (Section(HOSTILE, everything),))


@pytest.mark.parametrize("which", ["filled", "hostile"])
def test_the_page_needs_nothing_and_runs_nothing(which, report):
    text = html_page(report if which == "filled" else hostile())
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "use", "image"} & set(page.tags)
    assert not [
        one for one in page.attributes if one[1] in ("href", "src", "srcset", "xlink:href") or one[1][:2] == "on"
    ]
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
    assert page.tags.count("svg") >= 4
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        root = ET.fromstring(drawing)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        for mark in root.iter():
            for key, limit in (("x", width), ("cx", width), ("y", height), ("cy", height), ("y2", height)):
                assert -1 <= float(mark.attrib.get(key, 0)) <= limit + 1


def test_markdown_means_what_it_says(report):
    text = markdown(hostile())
    assert "<script>" not in re.sub(r"(?ms)^`{3,}.*?^`{3,}$", "", text)
    tables = re.findall(r"(?m)(?:^\|.*\n)+", text)
    assert len(tables) == 3
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "`````toml" in text
    assert "- \\# no heading" in text
    assert "- 1\\. no list" in text
    assert markdown(report).count("| --- |") > 5


def test_names_that_are_hostile_reach_the_page_as_text(filled, tmp_path):
    copy_home(filled, tmp_path / "home")
    with contextlib.closing(sqlite3.connect(tmp_path / "home" / "innate.db")) as raw, raw:
        raw.execute("UPDATE study SET description = ?", (HOSTILE,))
    db = connect(tmp_path / "home" / "innate.db", read_only=True)
    found = write_up(db, "tiny")
    db.conn.close()
    assert "<script" not in html_page(found)
    assert "<script" not in markdown(found)
    assert "alert(1)" in html_page(found)


def test_imported_weights_are_written_up_beside_trained_ones(home, cache):
    db = connect(home.database)
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    trial = stored.bring(db, home, study="tiny").trial_id
    while stored.run_one(db, home, "tiny"):
        pass
    found = write_up(db, "tiny")
    text = markdown(found)
    assert "5 models, of which 5 are scored" in text
    assert "1 model trained elsewhere: what is unknown of that stays so" in text
    assert f"innate reproduce {trial[:10]}" not in text
    assert re.search(r"innate reproduce [0-9a-f]{10}", text)
    assert html_page(found)


# --- drawings ---


def test_a_point_stands_where_its_value_is():
    block = Points(
        "c",
        (("", (Whisker("a", 0.0, 0.0, 50.0), Whisker("b", 100.0, None, None), Whisker("c", 50.0, 25.0, 75.0))),),
        "x",
    )
    root = ET.fromstring(svg.points(block))
    marks = root.findall("{*}circle")
    first, last, middle = (float(mark.attrib["cx"]) for mark in marks)
    assert middle == pytest.approx((first + last) / 2, abs=0.2)
    whiskers = [line for line in root.findall("{*}line") if line.attrib["class"] == "whisker"]
    assert len(whiskers) == 6  # two with an interval: a line and its two ends
    assert marks[2].find("{*}title").text == "c: 50.0 [25.0, 75.0]"


def test_a_band_lies_around_its_line():
    line = Curve("a", (0.0, 0.2), (90.0, 50.0), (80.0, 40.0), (100.0, 60.0))
    root = ET.fromstring(svg.curves(Curves("c", "", "l", (("", (line,)),), "ε", "%")))
    (band,) = root.findall("{*}polygon")
    drawn = [tuple(map(float, place.split(","))) for place in band.attrib["points"].split()]
    path = next(mark for mark in root.findall("{*}polyline") if mark.find("{*}title") is not None)
    (x0, y0), (x1, y1) = [tuple(map(float, place.split(","))) for place in path.attrib["points"].split()]
    assert [x for x, _ in drawn] == [x0, x1, x1, x0]
    (_, low0), (_, low1), (_, high1), (_, high0) = drawn
    assert high0 < y0 < low0
    assert high1 < y1 < low1
    bare = dataclasses.replace(line, low=(None, None), high=(None, None))
    assert "polygon" not in svg.curves(Curves("c", "", "l", (("", (bare,)),), "ε", "%"))


def innate(arguments, home, capsys, monkeypatch):
    """stdout of a command, in this process."""
    import sys

    from app import main

    monkeypatch.setattr(sys, "argv", ["innate", "--home", str(home), *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert not ended.value.code
    return capsys.readouterr().out

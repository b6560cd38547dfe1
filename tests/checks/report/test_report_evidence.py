"""The page says what the readings say: verdicts at a glance, sentences with the next command, and what they rest on."""

import dataclasses
import re
from pathlib import Path

import pytest

from soft_prompts.analysis.bits import GOES_ON
from soft_prompts.analysis.losses.curves import Difference
from soft_prompts.analysis.readings import Reading, Readings
from soft_prompts.analysis.verdicts import Verdict
from soft_prompts.report.figures.groups import groups_of
from soft_prompts.report.page.document import document, rendered
from soft_prompts.report.page.evidence import evidence_tables
from soft_prompts.report.page.grid import Square, grid_of, said
from soft_prompts.report.page.points import points_table, prompts_table
from soft_prompts.report.page.table import Links, Table
from soft_prompts.report.text import NOTHING
from soft_prompts.stats.brackets import Bracket
from tests.checks.made.readings import made_readings

FOLDER = Path()
LINKS = Links(FOLDER)
MINUS = "\N{MINUS SIGN}"


@pytest.fixture(scope="module")
def readings() -> dict[str, Reading]:
    made = {reading.curve.model: reading for reading in made_readings().readings}
    locked = made["tiny-mazes-locked-1"]
    assert locked.deed is not None
    far = Bracket(0.5, "shown", 4, 64, (16,))
    verdict = Verdict("FAR", None, "tiny-mazes-far: FAR. 64 tokens bring it out (more than 4, at most 64).", None)
    made["tiny-mazes-far"] = dataclasses.replace(
        locked,
        curve=dataclasses.replace(locked.curve, model="tiny-mazes-far"),
        deed=dataclasses.replace(locked.deed, half=far),
        verdict=verdict,
    )
    return made


def squares(readings: dict[str, Reading]) -> dict[str, Square]:
    grid = grid_of(groups_of(list(readings.values())))
    assert grid.models == ()
    return {one.label: one for line in grid.lines for one in line.squares if one is not None}


def cells(table: Table) -> list[dict[str, str]]:
    heads = [column.text for column in table.columns]
    return [dict(zip(heads, (cell.text for cell in row), strict=True)) for row in table.rows]


def table(title: str, *readings: Reading) -> list[dict[str, str]]:
    found = evidence_tables([(reading, reading.curve.model) for reading in readings], LINKS)
    return next((cells(one) for one in found if one.title == title), [])


@pytest.mark.parametrize(
    ("model", "word", "bracket", "brief", "share", "evidence"),
    [
        ("tiny-mazes", "PRESENT", "0: nothing in front", "0", ".98 at 4", "2 of 4"),
        ("tiny-mazes-locked-1", "HIDDEN", "at most 1 token", "≤ 1", "1.00 at 4", "4 of 4"),
        ("tiny-mazes-far", "FAR", "more than 4, at most 64 tokens (16 in doubt)", "> 4, ≤ 64", "1.00 at 4", "4 of 4"),
        ("tiny-mazes-absent", "NOT FOUND", "not reached by 4", "> 4", ".01 at 4", "3 of 4"),
        ("tiny-mazes-strict-3", "UNDECIDED", "not shown by 4 (4 in doubt)", "≤ 4?", ".31 at 4", "2 of 4"),
        ("tiny-text", "NO SCALE", "", "", f"{MINUS}0.19 nats at 256", "1 of 4"),
    ],
)
def test_each_verdict_at_a_glance(model, word, bracket, brief, share, evidence, readings):
    one = squares(readings)[model]
    assert (one.word, one.bracket, one.brief, one.share, one.evidence) == (word, bracket, brief, share, evidence)
    assert one.tone == f"is-{word.lower().replace(' ', '-')}"
    assert one.sentence == readings[model].verdict.sentence


def test_tasks_by_models_where_most_of_that_grid_is_filled(readings):
    kept = [reading for name, reading in readings.items() if name != "tiny-text"]
    grid = grid_of(groups_of(kept))
    assert grid.models == tuple(reading.curve.model for reading in kept)
    assert [line.name for line in grid.lines] == ["Pathfinding on 4x4"]
    first = kept[0]
    other = dataclasses.replace(first, curve=dataclasses.replace(first.curve, data="5x5"))
    first_line, second = grid_of(groups_of([*kept[:2], other])).lines
    assert [one.word for one in first_line.squares if one] == ["PRESENT", "NOT FOUND"]
    assert second.name == "Pathfinding on 5x5"
    assert [one and one.word for one in second.squares] == ["PRESENT", None]


def test_every_word_is_counted(readings):
    assert said(list(readings.values())) == "1 PRESENT, 1 HIDDEN, 1 FAR, 1 NOT FOUND, 1 UNDECIDED, 1 NO SCALE"


def test_the_page_holds_each_sentence_and_the_next_command(readings):
    every = tuple(readings.values())
    runs = tuple(run for reading in every for run in reading.prompts)
    page = document(Readings(every, ("broken.json: no JSON",), ("two sizes",), runs), FOLDER)
    text = rendered(page)
    for reading in every:
        assert reading.verdict.sentence.replace(">", "&gt;") in text
        assert (reading.verdict.next_command or "") in text
    assert text.count("Next: <code>") == sum(reading.verdict.next_command is not None for reading in every) == 2
    assert text.count('class="square ') == len(every)
    places = set(re.findall(r'id="([\w-]+)"', text))
    assert set(re.findall(r'class="square [\w-]+" href="#([\w-]+)"', text)) <= places
    for word in ("PRESENT", "HIDDEN", "FAR", "NOT FOUND", "UNDECIDED", "NO SCALE"):
        assert f"<b>{word}</b>" in text
        assert f"<dt>{word}</dt>" in text
    for said_so in ("two sizes", "broken.json: no JSON", "12 clusters of items", "by deed and by loss disagree"):
        assert said_so in text
    assert {scene.name for scene in page.figures()} == {
        *("autoregressive-loss", "pathfinding-share", "pathfinding-loss", "pathfinding-brackets"),
    }


def test_numbers_of_each_token_count(readings):
    rows = cells(points_table([(readings["tiny-mazes-strict-3"], "strict")], LINKS))
    assert [row["tokens"] for row in rows] == ["0", "1", "2", "4"]
    assert rows[0]["gain [95 %]"] == rows[0]["EDL, bits"] == NOTHING
    last = rows[-1]
    assert last["chosen prompt"] == "2.900 ± 0.012"
    assert last["gain [95 %]"] == "+6.900 [+6.870, +6.930]"
    assert last["items improved"] == "90%"
    assert last["outcome [95 %]"] == last["share by deed"] == ".31 [.23, .39]"
    assert last["share by loss"] == ".12 [.07, .18]"
    assert (last["on training samples"], last["samples seen"], last["EDL, bits"]) == ("2.890", "2,400", "1,250")


def test_the_page_says_of_grown_prompts_why_they_have_no_bits(readings):
    reading = readings["tiny-mazes-strict-3"]
    last = reading.points[-1]
    grown = last._replace(edl_bits=None, no_edl=GOES_ON)
    for points, is_told in ((reading.points, False), ((*reading.points[:-1], grown), True)):
        table = points_table([(dataclasses.replace(reading, points=points), "strict")], LINKS)
        assert (GOES_ON[1:] in table.note) is is_told


def test_every_prompt_that_counts_and_which_was_chosen(readings):
    rows = cells(prompts_table([(readings["tiny-mazes-strict-3"], "strict")], LINKS))
    assert [(row["tokens"], row["made as"], row["seed"]) for row in rows] == [
        *(("1", "run", "0"), ("1", "run", "1"), ("1", "run", "2"), ("2", "run", "0")),
        *(("4", "rates", "2"), ("4", "run", "0")),
    ]
    assert [row["chosen"] for row in rows] == ["chosen", "", "", "chosen", "chosen", ""]


def test_what_a_verdict_rests_on(readings):
    locked, present = readings["tiny-mazes-locked-1"], readings["tiny-mazes"]
    checks = table("Checks", present)
    assert [(row["check"], row["state"]) for row in checks] == [
        *(("scale", "passed"), ("generalises", "passed"), ("specific", "unknown"), ("search", "unknown")),
    ]
    assert [row["figure"] for row in checks] == ["0.9700", "0.9700", NOTHING, NOTHING]
    deed, loss = table("Scales and brackets", locked)
    assert (deed["by"], deed["floor"], deed["ceiling"], deed["half"]) == (
        *("deed (solved share)", "placebo", "lora", "at most 1 token"),
    )
    assert (deed["shown by"], deed["sound"], loss["by"]) == ("run-1t-s0", "yes", "loss (nats per move)")
    (without,) = table("Scales and brackets", readings["tiny-text"])
    assert without["sound"] == "no: no upper anchor: nothing says how low the loss can be"
    assert [(row["anchor"], row["least loss"]) for row in table("Anchors", locked)] == [
        *(("few shot", "2.900"), ("hard prompt", "1.400"), ("lora", "0.1000")),
    ]
    (control,) = table("Controls", locked)
    assert control["share by tokens [95 %]"] == "1: .02 [.00, .05]"
    (bits,) = table("Bits", locked)
    assert [bits[name] for name in ("prompt, bits", "of tokens", "bits a coordinate", "N*")] == ["192", "1", "3", "65"]
    assert [row["lost"] for row in table("Rounded prompts", locked)] == ["+0.900", "+0.001", "+0.001"]
    (other,) = table("Beside other models", locked)
    assert other["in words"] == "nearer, beyond doubt"
    assert other["difference [95 %]"] == ".98 [.95, 1.00]"
    assert other["p"] == "0.002"


def test_no_table_of_what_was_not_measured(readings):
    bare = dataclasses.replace(readings["tiny-text"], checks={}, loss=None)
    assert evidence_tables([(bare, "tiny-text")], LINKS) == ()


def test_two_models_are_compared_once(readings):
    locked, absent = readings["tiny-mazes-locked-1"], readings["tiny-mazes-absent"]
    back = dataclasses.replace(absent, contrasts=(locked.contrasts[0]._replace(model="tiny-mazes-locked-1"),))
    assert [row["curve"] for row in table("Beside other models", locked, back)] == ["tiny-mazes-locked-1"]


def test_anchors_that_curves_share_stand_once(readings):
    locked = readings["tiny-mazes-locked-1"]
    assert [row["curve"] for row in table("Anchors", locked, dataclasses.replace(locked))] == ["all"] * 3


def test_what_conditions_are_worth_has_its_error(readings):
    locked = readings["tiny-mazes-locked-1"]
    gain = Difference(4, 4, 0.25, 0.01, 100, 20, ())
    told = dataclasses.replace(locked, curve=dataclasses.replace(locked.curve, condition_information=(gain,)))
    (row,) = table("What the conditions are worth", told)
    assert (row["tokens"], row["gain"], row["items"]) == ("4", "+0.250", "100")

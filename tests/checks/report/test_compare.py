"""What does compare print? A sentence a curve, a table of 80 columns, JSON by its schema, CSV, the exchange table.

Readings are made by hand, one of each verdict; what they are made of is checked in tests/checks/analysis.
"""

import csv
import dataclasses
import io
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
import tyro
from jsonschema import Draft202012Validator

from soft_prompts.analysis.battery import Tried
from soft_prompts.analysis.readings import Reading, Readings
from soft_prompts.analysis.units import VectorShare
from soft_prompts.common.errors import InputError, OutOfRoom, UsageError
from soft_prompts.report.labels import estimate_text
from soft_prompts.report.terminal import command, exchange
from soft_prompts.report.terminal.command import CompareOptions, compare_command
from soft_prompts.report.terminal.numbers import share_text
from soft_prompts.results.findings import Finding
from soft_prompts.results.schema import Metric
from soft_prompts.stats.bootstrap import Interval
from tests.checks.made.at_once import give
from tests.checks.made.readings import made_readings

SCHEMA = json.loads(resources.files("soft_prompts.report.terminal").joinpath("compare.schema.json").read_text())
LONG_WORDS = ("seed 0", "chosen ", "check ", "anchor", "control", "witness", "power", "share by loss", "training")
RESULTS = Path(__file__).parents[3] / "results" / "reference" / "pathfinding-4x4"
MODELS = ("tiny-text", "tiny-mazes", "tiny-mazes-absent", "tiny-mazes-locked-1", "tiny-mazes-strict-3")

Show = Callable[..., str]


def options(*flags: object) -> CompareOptions:
    return tyro.cli(CompareOptions, args=[str(flag) for flag in flags])


@pytest.fixture
def show(monkeypatch, capsys) -> Show:
    """What the command prints of the readings made by hand, or of others."""

    def shown(*flags: object, readings: Readings | None = None) -> str:
        give(readings or made_readings(), monkeypatch)
        assert compare_command(options(*flags)) == 1  # one of the files is broken
        out, err = capsys.readouterr()
        assert err == "skipped: results/broken.json: broken or truncated JSON\n"
        return out

    return shown


def only(model: str, **changes: object) -> Readings:
    """The reading of one model, changed."""
    made = made_readings()
    (reading,) = (one for one in made.readings if one.curve.model == model)
    return dataclasses.replace(made, readings=(dataclasses.replace(reading, **changes),))  # pyright: ignore


def flat(text: str) -> str:
    """On one line: folded sentences and commands made whole."""
    return " ".join(re.sub(r" \\\n +", " ", text).split())


def rows(text: str) -> dict[str, list[str]]:
    """Cells by the name of their row; of two rows with one name the last."""
    cells = (re.split(r"  +", line.strip()) for line in text.splitlines())
    return {name: rest for name, *rest in cells}


def test_every_curve_says_its_sentence_first_and_what_comes_next(show):
    out = show()
    for reading in made_readings().readings:
        verdict = reading.verdict
        assert verdict.sentence in flat(out)
        assert (f"next: {verdict.next_command}" in flat(out)) == (verdict.next_command is not None)
        assert out.index(f"{reading.curve.model} on ") < out.index(f"{reading.curve.experiment} on ")
    assert out.count("next: ") == 2


def test_the_command_that_comes_next_can_be_pasted(show):
    """A shell takes its folded lines as one; what stands in quotes is never folded."""
    wanted = ["soft-prompts", "run", "it's", "--fields", "prompt=a question  with spaces", *["--tokens", "4"] * 9]
    quoted = "soft-prompts run 'it'\"'\"'s' --fields 'prompt=a question  with spaces'" + " --tokens 4" * 9
    verdict = made_readings().readings[0].verdict._replace(next_command=quoted)
    out = show(readings=only("tiny-text", verdict=verdict))
    folded = out[out.index("next: ") + 6 : out.index("\n\n")]
    assert folded.count("\n") > 1
    said = subprocess.run(["sh", "-c", f'p() {{ printf "%s|" "$@"; }}; p {folded}'], capture_output=True, text=True)
    assert said.stdout.split("|")[:-1] == wanted


def test_a_row_of_headlines_and_a_row_of_shares(show):
    mazes = show().partition("pathfinding on 4x4: loss per move, nats per move\n")[2]
    lines = [re.split(r"  +", line.strip()) for line in mazes.splitlines()]
    assert lines[0] == ["prompt tokens", "0", "1", "2", "4"]
    assert lines[5] == ["tiny-mazes-locked-1", "3.100 ± .012", "0.210 ± .012", "0.200 ± .012", "0.190 ± .012"]
    assert lines[6] == ["share by deed", "0", ".99", ".99", "1"]
    assert lines[7][0] == "tiny-mazes-strict-3"
    assert lines[8] == ["share by deed", "0", ".02", ".05", ".23-.39"]  # .31 ± .17 √(.31 · .69)
    assert lines[10:] == [["share by deed: 0 is placebo, 1 is lora"], [""]]


def test_without_a_scale_the_gain_stands_in_place_of_the_share(show):
    found = rows(show(readings=only("tiny-text", curve=made_readings().readings[0].curve)))
    assert "share by loss" not in found
    assert found["gain"] == ["+0.110 ± .015", "+0.150 ± .015", "+0.190 ± .015"]  # half-width .03 / 1.96
    assert found["items improved"] == [".90"] * 3


def test_an_outcome_has_a_row_where_it_is_not_the_share(show):
    """From a floor of .5 an outcome of .99 is a share of .98."""
    (reading,) = only("tiny-mazes-locked-1").readings
    assert reading.deed is not None
    shares = {tokens: Interval(0.98, 0.97, 0.99) for tokens in reading.deed.shares}
    scale = dataclasses.replace(reading.deed, shares=shares)
    found = rows(show(readings=only("tiny-mazes-locked-1", deed=scale)))
    assert found["share by deed"] == [".98"] * 4
    assert found["outcome"] == ["0", ".99", ".99", "1"]
    assert "outcome" not in rows(show())


def test_the_short_form_is_short_and_the_long_one_has_the_rest(show):
    short, whole = show(), show("--long")
    assert not [word for word in LONG_WORDS if word in short]
    assert not [word for word in LONG_WORDS if word not in whole]
    assert "check specific: unknown: specific is unknown by hand" in whole
    assert "half" not in short
    assert "planted secrets of 2 tokens are found in 19 of 20 such searches of 300 steps" in flat(whole)
    assert "bits: 192 (1 token at 3 a coordinate); pays for itself after 65 moves" in flat(whole)
    assert "control permuted targets: share .02 [0-.05] at 1; the task's is more by .97 [.94-.99] at 1" in flat(whole)
    assert "anchor hard prompt: 1.4 nats per move" in whole
    assert "note: by deed and by loss disagree at 4 tokens" in whole


def test_the_brief_form_is_a_line_a_curve(show):
    """Verdict, where half is reached, what was right at each count, and how many checks hold."""
    found = rows(show("--brief"))
    assert found["tiny-mazes"] == ["PRESENT", "0", ".97", ".98", ".98", ".98", "2 of 4"]
    assert found["tiny-mazes-absent"] == ["NOT FOUND", "> 4", "0", ".01", "0", ".01", "3 of 4"]
    assert found["tiny-mazes-locked-1"] == ["HIDDEN", "1", "0", ".99", ".99", "1", "4 of 4"]
    assert "pathfinding on 4x4: solved share at each count of prompt tokens" in found
    assert found["tiny-text"] == ["NO SCALE", "1.52", "1.49", "1.45", "1.41", "1.37", "1.33", "1 of 4"]


def test_the_brief_form_has_one_table_of_all_data_and_none_of_scores(show):
    (reading,) = only("tiny-mazes-locked-1").readings
    others = {"data": "6x6"}, {"metric": "solved_share", "unit": "share of boards", "data": "8x8"}
    curves = [reading.curve, *(dataclasses.replace(reading.curve, **other) for other in others)]
    readings = tuple(dataclasses.replace(reading, curve=curve) for curve in curves)
    lines = show("--brief", readings=dataclasses.replace(made_readings(), readings=readings)).split("\n")
    assert lines[0] == "tiny-mazes-locked-1, pathfinding: solved share at each count of prompt tokens"
    assert [line.split()[:2] for line in lines[2:] if line] == [["4x4", "HIDDEN"], ["6x6", "HIDDEN"]]


def test_the_brief_form_of_scores_alone_is_refused(show):
    (reading,) = only("tiny-mazes-locked-1").readings
    score = dataclasses.replace(reading.curve, metric="solved_share", unit="share of boards")
    readings = dataclasses.replace(made_readings(), readings=(dataclasses.replace(reading, curve=score),))
    with pytest.raises(UsageError, match="solved_share is a score, which has no verdict; leave --brief out"):
        show("--brief", readings=readings)


def test_the_long_form_says_which_prompt_was_chosen(show):
    """At 4 tokens a trial of the battery with seed 2; at 1 token three seeds stand below their mean."""
    lines = show("--long", readings=only("tiny-mazes-locked-1")).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("  chosen"))
    assert lines[start].split() == ["chosen", "bare", "seed", "0"]
    last = len(lines) - 1 - next(n for n, line in enumerate(lines[::-1]) if line.startswith("  chosen"))
    assert lines[last].split() == ["chosen", "seed", "0", "seed", "2"]
    assert lines[last + 1].split() == ["rates"]
    assert [line.split()[:2] for line in lines if line.startswith("  seed")] == [["seed", str(n)] for n in range(3)]


def test_warnings_that_change_the_reading_are_words_and_the_others_a_number(show):
    curve = only("tiny-mazes-strict-3").readings[0].curve
    quiet = ("torch version differs: 2.10.0 at 0 tokens; 2.11.0 at 4 tokens", "steps differ: 3 at 4 tokens; 400 at 1")
    loud = ("units of loss_per_move differ: nats/move, nats/token", "test items differ: a at 0 tokens; b at 4 tokens")
    readings = only("tiny-mazes-strict-3", curve=dataclasses.replace(curve, warnings=(*quiet, *loud)))
    short, whole = flat(show(readings=readings)), flat(show("--long", readings=readings))
    assert all(f"warning: tiny-mazes-strict-3: {warning}" in short for warning in loud)
    assert not any(warning in short for warning in quiet)
    assert "2 more warnings: --long" in short
    assert all(warning in whole for warning in (*quiet, *loud))
    assert "12 clusters of items: under 20" in flat(show())


@pytest.mark.parametrize("flags", [(), ("--long",), ("--units",), ("--bits",), ("--brief",)])
def test_a_pipe_gets_80_columns_without_colour_and_nothing_is_cut(flags, show, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out = show(*flags)
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    assert "\x1b" not in out
    assert all(line == line.rstrip() for line in out.splitlines())


@pytest.mark.parametrize("width", [50, 64, 80, 200])
def test_a_terminal_of_any_width_shows_every_number(width, show, monkeypatch):
    numbers = re.findall(r"\d\.\d{3} ± \.\d{3}", show())
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": str(width), "NO_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    out = re.sub(r"\x1b\[[\d;]*m", "", show())
    assert max(map(len, out.splitlines())) <= width
    assert "…" not in out
    assert sorted(re.findall(r"\d\.\d{3} ± \.\d{3}", out)) == sorted(numbers)
    assert out.count("prompt tokens") == {50: 5, 64: 4, 80: 3, 200: 2}[width]


def test_the_verdict_is_in_colour_on_a_terminal(show, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    out = show()
    for word in ("PRESENT", "HIDDEN", "NOT FOUND", "UNDECIDED", "NO SCALE"):
        assert re.search(rf"\x1b\[[\d;]+m{word}\x1b\[0m", out), word


def test_a_score_has_a_table_and_no_sentence(show):
    (reading,) = only("tiny-mazes-locked-1").readings
    curve = dataclasses.replace(reading.curve, metric="solved_share", unit="share of boards")
    out = show(readings=only("tiny-mazes-locked-1", curve=curve))
    assert [line.split("  ")[0] for line in out.splitlines()] == [
        "pathfinding on 4x4: solved share, share of boards",
        "prompt tokens",
        "tiny-mazes-locked-1",
        "± one standard error over the test items, of the prompt that validation chose",
        "",
    ]


def test_curves_of_a_model_are_told_apart_before_their_sentences(show):
    (reading,) = only("tiny-text").readings
    linear = dataclasses.replace(reading, curve=dataclasses.replace(reading.curve, prompt="linear"))
    out = show(readings=dataclasses.replace(made_readings(), readings=(reading, linear)))
    assert [line[:17] for line in out.splitlines() if "NO SCALE" in line] == ["direct: tiny-text", "linear: tiny-text"]


def test_json_is_all_of_stdout_and_fits_its_schema(show):
    document = json.loads(show("--json"))
    Draft202012Validator.check_schema(SCHEMA)
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(document)] == []
    assert (document["version"], document["warnings"], len(document["problems"])) == (2, [], 1)
    assert [curve["model"] for curve in document["curves"]] == list(MODELS)
    locked = document["curves"][3]
    assert locked["points"][3]["chosen"] == "results/pathfinding/tiny-mazes-locked-1/battery-rates-4t-s2.json"
    assert locked["points"][1]["share_deed"] == {
        "value": 0.99,
        "low": pytest.approx(0.982),
        "high": pytest.approx(0.998),
    }
    assert [seed["seed"] for seed in locked["points"][1]["seeds"]] == [0, 1, 2]
    assert locked["scale"]["lead"] == "deed"
    assert locked["scale"]["ceiling"]["kind"] == "lora"
    witness = "results/pathfinding/tiny-mazes-locked-1/run-1t-s0.json"
    assert locked["half"] == {
        "mark": 0.5,
        "state": "shown",
        "more_than": 0,
        "at_most": 1,
        "in_doubt": [],
        "interpolated": 0.41,
        "witness": witness,
    }
    assert locked["power"] == {
        "tokens": 2,
        "recovered": 19,
        "tried": 20,
        "steps": 300,
        "how": "planted",
        "made": 20,
        "stopped": False,
    }
    assert (locked["verdict"], locked["next_command"], locked["evidence"]) == ("HIDDEN", None, 4)
    assert (locked["bits"], locked["edl_bits"]) == (192, 1250)
    assert locked["checks"]["specific"] == {"state": "passed", "figure": 0.97, "text": "specific is passed by hand"}
    text = document["curves"][0]
    assert (text["half"]["state"], text["scale"]["sound"], text["scales"]["deed"]) == ("no_scale", False, None)


def test_json_says_how_the_search_went(show):
    out = show("--json", readings=only("tiny-text", battery=Tried(16, 5, 0.04, True), clusters=12))
    (curve,) = json.loads(out)["curves"]
    assert curve["battery"] == {"tokens": 16, "trials": 5, "moved": 0.04, "searched": True, "finished": True}
    assert curve["clusters"] == 12
    assert Draft202012Validator(SCHEMA).is_valid(json.loads(out))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda curve: curve.pop("verdict"),
        lambda curve: curve.update(verdict="HIDING"),
        lambda curve: curve["half"].update(at_most=1.5),
        lambda curve: curve["points"][0].update(more=1),
        lambda curve: curve["checks"].update(luck=curve["checks"]["scale"]),
    ],
)
def test_the_schema_refuses_what_is_none(spoil, show):
    document = json.loads(show("--json"))
    spoil(document["curves"][3])
    assert not Draft202012Validator(SCHEMA).is_valid(document)


def test_what_json_cannot_hold_is_null(show):
    (reading,) = only("tiny-text").readings
    points = tuple(point._replace(gain=Interval(math.nan, None, None), edl_bits=math.inf) for point in reading.points)
    out = show("--json", readings=only("tiny-text", points=points))
    assert "NaN" not in out
    assert "Infinity" not in out
    assert json.loads(out)["curves"][0]["points"][1]["edl_bits"] is None


def table_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_row_a_point(show):
    found = table_of(show("--csv", "points"))
    assert len(found) == 6 + 4 * 4
    assert not any(name.startswith("d_") or name == "auc" for name in found[0])
    (row,) = (row for row in found if (row["model"], row["tokens"]) == ("tiny-mazes-strict-3", "4"))
    wanted = {"experiment": "pathfinding", "variant": "", "data": "4x4", "prompt": "direct", "seed": "2"}
    wanted |= {"value": "2.9", "stderr": "0.012", "outcome": "0.31", "share_deed": "0.31", "distinct_samples": "2400"}
    assert {name: row[name] for name in wanted} == wanted
    assert float(row["gain_low"]) == pytest.approx(6.87)
    assert float(row["share_loss"]) == pytest.approx(0.125)
    assert (found[0]["gain"], found[0]["outcome"], found[0]["share_deed_low"]) == ("", "", "")


def test_csv_has_a_row_a_curve(show):
    found = {row["model"]: row for row in table_of(show("--csv", "curves"))}
    assert list(found) == list(MODELS)
    strict = {"verdict": "UNDECIDED", "why": "search", "half_state": "not_reached", "half_more_than": "2"}
    strict |= {"half_in_doubt": "4", "half_at_most": "", "evidence": "2", "search": "failed", "lead": "deed"}
    assert {name: found["tiny-mazes-strict-3"][name] for name in strict} == strict
    assert found["tiny-mazes-strict-3"]["next_command"].endswith("--evidence full")
    assert (found["tiny-mazes-locked-1"]["bits"], found["tiny-mazes-locked-1"]["power_recovered"]) == ("192.0", "19")
    assert found["tiny-text"]["half_state"] == "no_scale"


def test_the_exchange_table(show):
    out = show("--units")
    assert "autoregressive on stories: no sound scale: tiny-text\n" in out
    lines = [line.split() for line in out.splitlines()]
    assert ["tiny-mazes-locked-1", "1", "1", "192", "1,250", "8", "yes", "no"] in lines
    assert ["tiny-mazes-strict-3", ">", "2", "1", "8", "yes", "no"] in lines
    assert "vector" not in out


def test_a_vector_that_was_measured_on_a_curves_items_has_a_column(show, monkeypatch):
    """Among all curves that of the locked model alone: the others' cells stay empty."""

    found = Finding("items", "tiny-mazes-locked-1", "4x4", 9, 0, {})

    def shares(reading, findings):
        assert findings == [found]
        return [VectorShare("mean", 0.834, 0.02)] if reading.curve.model == "tiny-mazes-locked-1" else []

    monkeypatch.setattr(command, "find_findings", lambda paths: [found])
    monkeypatch.setattr(exchange, "vector_shares", shares)
    out = show("--units")
    lines = [line.split() for line in out.splitlines()]
    assert ["tiny-mazes-locked-1", "1", "1", "192", "1,250", "8", "yes", "no", ".83"] in lines
    assert ["tiny-mazes-strict-3", ">", "2", "1", "8", "yes", "no"] in lines
    assert "vector's share: of the scale" in " ".join(out.split())
    assert exchange.shares_text([VectorShare("mean", 0.5, None), VectorShare("fit", 1.0, None)]) == "mean .50, fit 1"


def test_the_metrics_are_listed_with_how_many_have_them(tmp_path, save_run, capsys):
    found = {"loss_per_move": Metric(3.0, 0.1, 9, "nats/move"), "legality": Metric(None, reason="no moves")}
    save_run(tokens=0, metrics=found)
    save_run(tokens=4, metrics=found | {"legality": Metric(0.5, 0.1, 9, "share")})
    save_run(tokens=4, role="anchor:lora", metrics=found)
    assert compare_command(options(tmp_path, "--metric", "list")) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["loss_per_move", "nats/move", "2", "of", "2", "results", "headline", "of", "2"],
        ["legality", "share", "1", "of", "2", "results"],
    ]
    with pytest.raises(UsageError, match=r"did you mean legality\?.*give one of legality, loss_per_move"):
        compare_command(options(tmp_path, "--metric", "legalty"))
    with pytest.raises(InputError, match="no results in"):
        compare_command(options(tmp_path / "none", "--metric", "list"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"json": True, "csv": "points"}, "--json and --csv"),
        ({"json": True, "units": True}, "--json and --units"),
        ({"draws": -1}, "--draws is -1"),
        ({"plot": Path("x.jpg")}, r"ends in \.png, \.svg, \.pdf"),
    ],
)
def test_wrong_flags(flags, message):
    with pytest.raises(UsageError, match=message):
        CompareOptions(**flags)


@pytest.mark.parametrize(
    ("value", "stderr", "signed", "text"),
    [
        (4.21341, 0.00313, False, "4.2134 ± .0031"),
        (-0.0124, 0.0007, True, "-0.01240 ± .00070"),
        (14.2, 1.26, False, "14.2 ± 1.3"),
        (3.0, None, False, "3.0000"),
        (None, None, False, "-"),
        (1234.5, 99.6, False, "1234 ± 100"),
    ],
)
def test_two_digits_of_the_error_decide(value, stderr, signed, text):
    assert estimate_text(value, stderr, signed) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (Interval(0.99, 0.95, 1.0), ".99"),
        (Interval(0.5, 0.48, 0.61), ".48-.61"),
        (Interval(-0.2, -0.4, 0.02), "-.40 to .02"),
        (Interval(1.02, 1.0, 1.05), "1.02"),
        (Interval(-0.001, -0.004, 0.004), "0"),
        (Interval(0.996, None, None), "1"),
        (Interval(math.nan, None, None), "-"),
        (None, "-"),
    ],
)
def test_a_share_is_an_interval_where_that_is_wide(share, text):
    assert share_text(share) == text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("form", [["--json"], ["--csv", "points"], []])
def test_a_full_disk_behind_stdout_is_not_blamed_on_another(form):
    """Of a file that the output is led to."""
    command = [sys.executable, "-m", "soft_prompts", "compare", str(RESULTS), "--draws", "0", *form]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == OutOfRoom.exit_code
    assert ended.stderr.splitlines()[-1] == "error: the disk that this is written to is full; make room"


def test_comparing_needs_no_torch():
    modules = "soft_prompts.report.terminal.command, soft_prompts.report.figures.plots"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_readings_are_left_as_they_are() -> None:
    """A figure that changes here would change what other checks mean."""
    kinds: list[tuple[str, int]] = [(one.verdict.word, one.evidence) for one in made_readings().readings]
    assert kinds == [("NO SCALE", 1), ("PRESENT", 2), ("NOT FOUND", 3), ("HIDDEN", 4), ("UNDECIDED", 2)]
    assert all(isinstance(one, Reading) for one in made_readings().readings)

"""Does compare read stored results to the end: tables, JSON by its schema, files that are no results, exit codes?"""

import csv
import io
import json
import math
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import tyro
from jsonschema import Draft202012Validator

from soft_prompts.analysis.bits import GOES_ON, NO_MORE
from soft_prompts.common.errors import InputError
from soft_prompts.report.terminal.command import CompareOptions, compare_command
from soft_prompts.results.schema import Metric
from tests.checks.made.stored_results import save_anchor, save_flat

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads(resources.files("soft_prompts.report.terminal").joinpath("compare.schema.json").read_text())
UNITS, CLUSTER = [2, 1, 2, 1], [0, 0, 1, 1]
BARE, FOUR, SIXTEEN = [8.0, 4, 6, 6], [6.0, 3, 6, 5], [5.0, 3, 5, 4]


def options(*flags: object) -> CompareOptions:
    return tyro.cli(CompareOptions, args=[str(flag) for flag in flags])


@pytest.fixture
def curve_runs(tmp_path, make_items, save_run) -> Path:
    """0, 4 and 16 tokens on the four items above, one seed."""
    for tokens, losses in ((0, BARE), (4, FOUR), (16, SIXTEEN)):
        save_run(make_items(losses, UNITS, CLUSTER), tokens=tokens)
    return tmp_path / "results"


@pytest.fixture
def measured(tmp_path) -> Path:
    """A scale from 3.5 to 1 nats a move: shares of .2, .4, .8 and .92, and those of another model."""
    for model, losses in (("one", {0: 3.0, 1: 2.5, 3: 1.5, 7: 1.2}), ("other", {0: 3.5, 1: 3.0, 3: 3.0, 7: 3.0})):
        save_flat(tmp_path, losses, model=model)
        save_anchor(tmp_path, "no_skill", 3.5, model=model)
        save_anchor(tmp_path, "exact", 1.0, model=model)
        save_anchor(tmp_path, "hard_prompt", 2.0, tokens=2, model=model)  # a share of .6
    save_flat(tmp_path, {0: 4.0, 7: 3.9}, role="control:permuted_targets", model="one")
    return tmp_path


def lines_of(capsys) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


FIRST_PASS = {
    "first_pass_nats": Metric(2000.0, None, 256, "nats"),
    "first_pass_units": Metric(100.0, None, 256, "moves"),
}


@pytest.mark.parametrize("start", ["search", "grown"])
def test_what_a_prompt_took_is_left_out_and_why_is_said_where_it_was_grown(start, tmp_path, capsys):
    """(2000 - 100 x 1.2) / ln 2 = 2712 bits."""
    save_flat(tmp_path, {0: 3.0, 2: 1.2}, metrics=FIRST_PASS, config={"init": start})
    save_anchor(tmp_path, "no_skill", 3.5)
    save_anchor(tmp_path, "exact", 1.0)
    for flag in ("--units", "--long"):
        assert compare_command(options(tmp_path, flag)) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert ("2,712" in text) is (start == "search")
        assert (GOES_ON in text) is (start == "grown")
    for table in ("points", "curves"):
        assert compare_command(options(tmp_path, "--csv", table)) == 0
        last = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))[-1]["edl_bits"]
        assert last[:4] == ("2712" if start == "search" else "")
    assert compare_command(options(tmp_path, "--json")) == 0
    [curve] = json.loads(capsys.readouterr().out)["curves"]
    told = curve["edl_bits"], curve["units"]["edl_bits"], curve["points"][1]["edl_bits"]
    assert told == (None,) * 3 if start == "grown" else told == pytest.approx([1880 / math.log(2)] * 3)


@pytest.mark.parametrize(("nats", "is_told"), [(110.0, True), (121.9, True), (122.1, False)])
def test_a_first_pass_no_dearer_than_the_test_measures_nothing(nats, is_told, tmp_path, capsys):
    """100 moves where the test asks 1.2 ± .01 a move: 120 nats, ± 1."""
    cheap = FIRST_PASS | {"first_pass_nats": Metric(nats, None, 256, "nats")}
    save_flat(tmp_path, {0: 3.0})
    save_flat(tmp_path, {2: 1.2}, metrics=cheap)
    save_anchor(tmp_path, "no_skill", 3.5)
    save_anchor(tmp_path, "exact", 1.0)
    for flag in ("--units", "--long"):
        assert compare_command(options(tmp_path, flag)) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert (NO_MORE in text) is is_told
        assert GOES_ON not in text
    assert compare_command(options(tmp_path, "--json")) == 0
    [curve] = json.loads(capsys.readouterr().out)["curves"]
    told = curve["edl_bits"], curve["units"]["edl_bits"], curve["points"][1]["edl_bits"]
    assert [bits is None for bits in told] == [is_told] * 3


def test_shares_stand_below_the_losses(measured, capsys):
    assert compare_command(options(measured)) == 0
    lines = lines_of(capsys)
    start = lines.index(["prompt", "tokens", "0", "1", "3", "7"])
    assert lines[start + 2] == ["share", "by", "loss", ".20", ".40", ".80", ".92"]
    assert lines[start + 4] == ["share", "by", "loss", "0", ".20", ".20", ".20"]
    assert ["share", "by", "loss:", "0", "is", "frequencies,", "1", "is", "exact"] in lines
    assert lines[0][0] == "one,"


def test_the_long_form_has_what_is_paired(curve_runs, capsys):
    assert compare_command(options(curve_runs, "--long")) == 0
    lines = lines_of(capsys)
    assert ["vs", "0", "-0.67", "±", ".33", "-1.17", "±", ".17"] in [line[:8] for line in lines]
    assert ["vs", "previous", "-0.50", "±", ".17"] in [line[:5] for line in lines]
    compare_command(options(curve_runs, "--bits"))
    assert "5.771 ± .014" in capsys.readouterr().out


def test_a_gap_to_the_reference_and_the_gain_from_conditions_are_rows(tmp_path, make_items, save_run, capsys):
    for model, losses in (("tiny-chess", BARE), ("base", FOUR)):
        save_run(make_items(losses, UNITS, CLUSTER), tokens=0, model=model)
        save_run(make_items(FOUR, UNITS, CLUSTER), tokens=4, model=model)
    save_run(make_items(BARE, UNITS, CLUSTER), tokens=4, kind="direct", mode="none")
    assert compare_command(options(tmp_path, "--reference", "base", "--long")) == 0
    lines = [" ".join(line) for line in lines_of(capsys)]
    assert "minus base at 0 +0.67 ± .33 +0" in lines
    assert "share of the gap closed 0.0000 1.0000" in lines
    assert "gain from conditions +0.67 ± .33" in lines


def test_the_price_in_hard_tokens_is_that_of_a_result(measured, capsys):
    """Half is reached by 3 soft tokens, more than 1; by 2 hard ones, whose .6 is far above it."""
    assert compare_command(options(measured, "--units")) == 0
    lines = lines_of(capsys)
    assert ["one", "2-3", "2"] in lines
    assert ["other", ">", "7", "2"] in lines


@pytest.mark.parametrize("results", ["results/reference/completion", "results/reference/chess"])
def test_json_of_stored_results_fits_the_schema(results, capsys):
    assert compare_command(options(ROOT / results, "--json", "--draws", "100")) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["curves"]
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(document)] == []


def test_json_has_what_is_paired_and_beside(measured, curve_runs, capsys):
    compare_command(options(measured, "--json", "--reference", "other"))
    document = json.loads(capsys.readouterr().out)
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(document)] == []
    (curve,) = (one for one in document["curves"] if one["model"] == "one")
    assert [point["share_loss"]["value"] for point in curve["points"]] == pytest.approx([0.2, 0.4, 0.8, 0.92])
    assert (curve["half"]["more_than"], curve["half"]["at_most"]) == (1, 3)
    assert curve["half"]["witness"].endswith(".json")
    assert curve["controls"][0]["name"] == "permuted_targets"
    assert curve["units"]["hard_tokens"]["least"] == 2
    assert {"paired", "gaps", "contrasts", "runs", "anchors", "condition_information", "notes"} <= set(curve)
    assert curve["gaps"][0]["reference"] == "other"


def test_broken_files_are_named_and_skipped_and_the_exit_code_says_so(curve_runs, capsys):
    (curve_runs / "broken.json").write_text('{"schema_version": 1, ')
    (curve_runs / "later.json").write_text('{"schema_version": 7}')
    assert compare_command(options(curve_runs, "--json")) == 1
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert len(document["curves"][0]["points"]) == 3
    assert len(document["problems"]) == 2
    assert "broken.json" in err
    assert "schema_version is 7" in err
    assert len(err.splitlines()) == 2


def test_no_results_at_all(tmp_path, capsys):
    with pytest.raises(InputError, match="no results in"):
        compare_command(options(tmp_path))


def test_without_draws_there_is_no_sentence(measured, capsys):
    compare_command(options(measured, "--draws", "0"))
    out = capsys.readouterr().out
    assert out.startswith("chess on games: loss per move, nats per move\n")
    assert ".20   .40" in " ".join(out.split()).replace(" ", "   ")


def test_metrics_are_chosen_by_name(tmp_path, save_run, capsys):
    for tokens, legality in ((0, 0.5), (4, 0.75)):
        found = {"loss_per_move": Metric(3.0, 0.1, 9, "nats/move"), "legality": Metric(legality, 0.01, 9, "share")}
        save_run(tokens=tokens, metrics=found)
    compare_command(options(tmp_path, "--metric", "legality"))
    lines = lines_of(capsys)
    assert lines[-4:-1] == [
        ["prompt", "tokens", "0", "4"],
        ["tiny-chess", "0.500", "±", ".010", "0.750", "±", ".010"],
        *lines[-2:-1],
    ]


def test_variants_share_a_table_and_data_do_not(tmp_path, make_items, save_run, capsys):
    save_run(make_items(BARE), tokens=0, variant="1")
    save_run(make_items(FOUR), tokens=0, variant="2")
    save_run(make_items(FOUR), tokens=0, variant="2", data__name="other")
    compare_command(options(tmp_path))
    titles = [line for line in capsys.readouterr().out.splitlines() if line.endswith("nats per move")]
    assert titles == [
        "chess on games: loss per move, nats per move",
        "chess (2) on other: loss per move, nats per move",
    ]


def test_a_terminal_that_speaks_ascii_alone_gets_ascii(curve_runs):
    code = "from soft_prompts.report.terminal.command import *; from pathlib import Path; "
    code += "compare_command(CompareOptions((Path('results'),)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)},
        cwd=curve_runs.parent,
        capture_output=True,
        check=True,
    )
    assert b"4.000 +- .010" in done.stdout

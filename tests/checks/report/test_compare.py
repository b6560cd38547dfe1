"""What does compare make of runs that fit into curves, and of those that do not?"""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tyro

from soft_prompts.analysis.comparison import compare
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.report.labels import estimate_text
from soft_prompts.report.terminal.command import CompareOptions, compare_command
from soft_prompts.report.terminal.distances import mark_text
from soft_prompts.results.files import write_result
from soft_prompts.results.schema import Metric
from soft_prompts.stats.distance import Mark
from tests.checks.made.stored_results import save_anchor, save_flat

UNITS, CLUSTER = [2, 1, 2, 1], [0, 0, 1, 1]
BARE, FOUR, SIXTEEN = [8.0, 4, 6, 6], [6.0, 3, 6, 5], [5.0, 3, 5, 4]


@pytest.fixture
def curve_runs(tmp_path, make_items, save_run) -> Path:
    """0, 4 and 16 tokens on the four items above, one seed."""
    for tokens, losses in ((0, BARE), (4, FOUR), (16, SIXTEEN)):
        save_run(make_items(losses, UNITS, CLUSTER), tokens=tokens)
    return tmp_path / "results"


def test_a_curve_with_its_paired_differences(curve_runs):
    (curve,) = compare([curve_runs]).curves
    assert (curve.experiment, curve.data, curve.model, curve.prompt) == ("chess", "games", "tiny-chess", "mlp")
    assert [point.tokens for point in curve.curve] == [0, 4, 16]
    assert [point.value for point in curve.curve] == pytest.approx([4, 20 / 6, 17 / 6])
    paired = {(pair.tokens, pair.against): pair for pair in curve.paired}
    assert set(paired) == {(4, 0), (16, 0), (16, 4)}
    assert paired[4, 0].value == pytest.approx(-2 / 3)
    assert paired[4, 0].stderr == pytest.approx(1 / 3)
    assert paired[16, 4].value == pytest.approx(-0.5)
    assert (paired[16, 4].items, paired[16, 4].clusters) == (4, 2)
    assert curve.warnings == ()


def test_the_bare_model_is_shared_by_all_prompts_and_seeds(tmp_path, make_items, save_run):
    save_run(make_items(BARE), tokens=0)
    for kind, seed in (("mlp", 0), ("mlp", 1), ("direct", 0)):
        save_run(make_items(FOUR), tokens=4, kind=kind, seed=seed)
    save_run(make_items(BARE), tokens=0, model="other")
    curves = compare([tmp_path]).curves
    assert [(curve.model, curve.prompt) for curve in curves] == [
        ("other", None),
        ("tiny-chess", "direct"),
        ("tiny-chess", "mlp"),
    ]
    assert [[point.tokens for point in curve.curve] for curve in curves] == [[0], [0, 4], [0, 4]]
    assert [seed.seed for seed in curves[2].curve[1].seeds] == [0, 1]
    assert all(curve.paired for curve in curves[1:])


def test_what_the_conditions_are_worth(tmp_path, make_items, save_run):
    save_run(make_items(BARE, UNITS, CLUSTER), tokens=0)
    save_run(make_items(FOUR, UNITS, CLUSTER), tokens=4)
    save_run(make_items(BARE, UNITS, CLUSTER), tokens=4, kind="direct", mode="none")
    none, true = compare([tmp_path]).curves
    assert none.condition_information == ()
    (worth,) = true.condition_information
    assert (worth.tokens, worth.value, worth.stderr) == (4, pytest.approx(2 / 3), pytest.approx(1 / 3))


def test_other_items_are_never_paired(tmp_path, make_items, save_run):
    save_run(make_items(BARE), tokens=0, data__items_fingerprint="other items")
    save_run(make_items(FOUR), tokens=4)
    save_run(make_items(SIXTEEN, [2, 2, 2, 3]), tokens=16, data__items_fingerprint="other items")
    (curve,) = compare([tmp_path]).curves
    assert curve.paired == ()
    assert any(line.startswith("test items differ") for line in curve.warnings)
    assert any("claim to be the same and are not" in line for line in curve.warnings)


def test_the_bare_run_on_the_same_items_is_preferred(tmp_path, make_items, save_run):
    finished = "2027-01-01T00:00:00Z"
    save_run(make_items([*BARE, 9.0]), tokens=0, environment__finished=finished)
    save_run(make_items(BARE), tokens=0)
    save_run(make_items(FOUR), tokens=4)
    (curve,) = compare([tmp_path]).curves
    assert curve.curve[0].value == pytest.approx(3)
    assert len(curve.paired) == 1


def test_items_of_another_run_are_not_used(tmp_path, make_items, save_run):
    save_run(make_items(BARE), tokens=0)
    save_run(make_items(FOUR), tokens=4, value=1.0)
    path = save_run(make_items(SIXTEEN), tokens=16)
    path.with_name(path.name.replace(".json", ".items.safetensors")).write_bytes(b"broken")
    (curve,) = compare([tmp_path]).curves
    assert curve.paired == ()
    assert any("do not add up to loss_per_move at 4 tokens" in line for line in curve.warnings)
    assert any("items.safetensors" in line for line in curve.warnings)


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"training__steps": 3}, "steps differ: 400 at 4 tokens; 3 at 16 tokens"),
        ({"training__learning_rate": 0.1}, "learning rate differs: 0.001 at 4 tokens; 0.1 at 16 tokens"),
        ({"data__fingerprint": "new"}, "data differs: data at 4 tokens; new at 16 tokens"),
        ({"model__fingerprint": "new"}, "model weights differ"),
        ({"environment__commit": "b" * 40}, "commit differs: aaaaaaaaaaaa at 0, 4 tokens; bbbbbbbbbbbb at 16 tokens"),
        ({"environment__dirty": True}, "uncommitted changes to the code: 16 tokens"),
        ({"status": "failed"}, "16 tokens, seed 0: failed: stopped by a check"),
        ({"status": "interrupted"}, "16 tokens, seed 0: interrupted: stopped by a check"),
        ({"metrics": {"loss_per_move": Metric(None, reason="no moves")}}, "no loss_per_move at 16 tokens: no moves"),
        ({"environment__torch": "2.11.0"}, "torch version differs: 2.10.0 at 0, 4 tokens; 2.11.0 at 16 tokens"),
        ({"environment__transformers": "4.0.0"}, "transformers version differs: 5.0.0 at 0, 4 tokens; 4.0.0 at 16"),
        ({"headline": "accuracy", "metrics": {"accuracy": Metric(0.5, 0.1, 9, "share")}}, "headlines differ"),
    ],
)
def test_runs_that_differ_are_warned_of(changes, warning, tmp_path, make_items, save_run):
    save_run(make_items(BARE), tokens=0)
    save_run(make_items(FOUR), tokens=4)
    save_run(make_items(SIXTEEN), tokens=16, **changes)
    (curve,) = compare([tmp_path]).curves
    assert any(warning in line for line in curve.warnings), curve.warnings
    assert [point.tokens for point in curve.curve if point.value is not None][:2] == [0, 4] or "headline" in changes


def test_the_newest_of_two_runs_of_a_cell_is_used(tmp_path, save_run):
    save_run(tokens=0, value=5.0)
    save_run(tokens=4, value=3.0, training__steps=3, environment__finished="2025-01-01T00:00:00Z")
    save_run(tokens=4, value=4.0)
    (curve,) = compare([tmp_path]).curves
    assert curve.curve[1].value == 4.0
    assert any("2 runs: the newest" in line for line in curve.warnings)


def test_models_scored_on_different_units_are_warned_of(tmp_path, make_items, save_run):
    save_run(make_items(BARE), tokens=0)
    save_run(make_items(BARE, [1, 1, 1, 1]), tokens=0, model="other")
    (warning,) = compare([tmp_path]).warnings
    assert "8 for tiny-chess" in warning
    assert "4 for other" in warning


def test_a_curve_without_its_bare_model_says_so(tmp_path, make_items, save_run):
    save_run(make_items(FOUR), tokens=4)
    (curve,) = compare([tmp_path]).curves
    assert curve.paired == ()
    assert curve.warnings == ("no run with 0 tokens: nothing to measure the gain from",)


def test_anchors_and_controls_are_no_points(tmp_path, save_run):
    save_run(tokens=4, value=3.0)
    save_run(tokens=4, value=9.0, role="control:permuted", seed=1)
    comparison = compare([tmp_path])
    assert comparison.left_out == 1
    assert [len(point.seeds) for point in comparison.curves[0].curve] == [1]


def options(*flags: str) -> CompareOptions:
    return tyro.cli(CompareOptions, args=[str(flag) for flag in flags])


def test_the_table(curve_runs, capsys):
    assert compare_command(options(curve_runs)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["chess", "on", "games:", "loss", "per", "move,", "nats", "per", "move"]
    assert lines[1] == ["prompt", "tokens", "0", "4", "16"]
    assert lines[2] == ["tiny-chess", "4.000", "±", ".010", "3.333", "±", ".010", "2.833", "±", ".010"]
    assert lines[3][:5] == ["vs", "0", "-0.67", "±", ".33"]
    assert lines[4][:2] == ["vs", "previous"]
    assert "one seed" in out
    compare_command(options(curve_runs, "--bits"))
    assert "5.771 ± .014" in capsys.readouterr().out


@pytest.fixture
def two_models(tmp_path) -> Path:
    """The second reaches no half of the gap; shares of the first .2, .4, .8, .92."""
    save_flat(tmp_path, {0: 3.0, 1: 2.5, 3: 1.5, 7: 1.2})
    save_flat(tmp_path, {0: 3.5, 1: 3.0, 3: 3.0, 15: 3.0}, model="other")
    save_anchor(tmp_path, "no_skill", 3.5)
    save_anchor(tmp_path, "exact", 1.0)
    save_flat(tmp_path, {0: 4.0, 7: 3.0}, role="control:random_weights")
    return tmp_path


def test_distances_stand_below_the_losses(two_models, capsys):
    """d_50 = 2^1.25 - 1, d_90 = 2^(2 + 1/1.2) - 1, area (.3 + .6 + .86) / 3; the other's (.1 + .2 + 2 x .2) / 4."""
    assert compare_command(options(two_models, "--draws", "40")) == 0
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    rows = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    start = rows.index(["distance", "50 %", "90 %", "area", "gap", "admissible"])
    beyond = "> 15 OPTIMISER"
    assert rows[start + 1] == ["other", beyond, beyond, "0.18 [0.18, 0.18]", "no skill to exact", "no: 1 2 3 4 5"]
    assert rows[start + 2] == ["tiny-chess", "1.4", "6.1", "0.59 [0.59, 0.59]", "no skill to exact", "no: 1 6"]
    assert rows[start + 3] == ["tiny-chess, controls: random weights > 7, S >= 1.75"]
    assert rows[start + 4] == ["other against tiny-chess: farther by more than was tried, p 0.049"]
    notes = [line for row in rows[start + 5 :] for line in row]
    assert notes[0].startswith("distance: prompt tokens that close 50 and 90 % of the gap")
    assert "2 no control tells whether the prompt or the model holds the skill" in notes
    assert "6 one seed at 1, 3, 7 tokens: the interval covers items only there" in notes
    assert notes[-1] == "4 results beside the runs (anchors, controls, trials) are no points"


def test_a_narrow_terminal_gets_the_distances_in_two_parts(two_models, capsys, monkeypatch):
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "60", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    compare_command(options(two_models, "--draws", "40"))
    out = capsys.readouterr().out
    assert out.count("distance  ") == 2
    assert out.count("> 15 OPTIMISER") == 2
    assert out.count("0.59 [0.59, 0.59]") == 1
    assert "…" not in out


def test_without_draws_there_is_no_word_of_distances(two_models, capsys):
    compare_command(options(two_models, "--draws", "0"))
    out = capsys.readouterr().out
    assert "loss per move" in out
    assert "distance" not in out


def test_a_table_without_any_distance_says_why_once(tmp_path, save_run, capsys):
    for model in ("one", "two"):
        save_run(tokens=0, value=3.0, model=model)
    compare_command(options(tmp_path))
    assert capsys.readouterr().out.count("no distance: no run with a prompt") == 1


def test_distances_in_json_are_as_designed(two_models, capsys):
    compare_command(options(two_models, "--json", "--draws", "40"))
    other, chess = json.loads(capsys.readouterr().out)
    distance = chess["distance"]
    assert {"reference", "saturation", "d_50", "d_90", "auc", "admissible", "warnings"} <= set(distance)
    assert (distance["reference"], distance["saturation"], distance["admissible"]) == ("no_skill", "exact", False)
    assert {"value", "low", "high", "censored", "reason"} <= set(distance["d_50"])
    assert distance["d_50"]["value"] == pytest.approx(2**1.25 - 1)
    assert set(distance["auc"]) == {"value", "low", "high"}
    censored = {name: other["distance"]["d_50"][name] for name in ("value", "low", "high", "censored", "reason")}
    assert censored == {"value": None, "low": 15, "high": None, "censored": True, "reason": "OPTIMISER"}
    assert other["notes"] == [
        f"{which} anchor is that of tiny-chess ({name}), shared by the models on these items"
        for which, name in (("no-skill", "frequencies"), ("upper", "exact"))
    ]
    assert chess["controls"][0]["selectivity"] == {"value": pytest.approx(1.75), "is_bound": True}
    assert chess["contrasts"][0]["model"] == "other"
    assert chess["anchors"]["anchor:exact"][0].endswith(".json")


def test_distances_in_csv(two_models, capsys):
    compare_command(options(two_models, "--csv", "--draws", "40"))
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    (row,) = (row for row in rows if (row["model"], row["tokens"], row["seed"]) == ("tiny-chess", "3", "all"))
    assert float(row["share"]) == pytest.approx(0.8)
    assert float(row["d_90"]) == pytest.approx(2 ** (2 + 1 / 1.2) - 1)
    assert (row["saturation"], row["admissible"], row["no_distance"]) == ("exact", "False", "")
    (row,) = (row for row in rows if (row["model"], row["tokens"], row["seed"]) == ("other", "15", "all"))
    assert (row["d_50"], row["d_50_low"], row["d_50_high"], row["d_50_reason"]) == ("", "15.0", "", "OPTIMISER")
    assert {row["share"] for row in rows if row["seed"] != "all"} == {""}


MARKS = [
    (Mark(0.5, 3.24, 2.1, 4.43), "3.2 [2.1, 4.4]"),
    (Mark(0.5, 24.4, 17.6, None), "24 [18, > 64]"),
    (Mark(0.5, 0.0, 0.0, 0.0), "0"),
    (Mark(0.5, 0.0, 0.0, 1.2, note="placebo"), "0 placebo [0, 1.2]"),
    (Mark(0.5, None, 64.0, None, True, "CEILING", low_of_draws=64.0), "> 64 CEILING"),
    (Mark(0.5, None, 64.0, None, True, "BUDGET", low_of_draws=23.9), "> 64 BUDGET [24, > 64]"),
    (Mark(0.5, None, None, None, reason="no gap"), "no gap"),
]


@pytest.mark.parametrize(("mark", "text"), MARKS)
def test_a_distance_as_text(mark, text):
    assert mark_text(mark, 64) == text


def test_a_narrow_terminal_gets_several_tables(tmp_path, save_run, capsys, monkeypatch):
    for tokens in (0, 1, 2, 4, 8, 16):
        save_run(tokens=tokens, value=5.0, model="a-model-with-quite-a-long-name")
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "60", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    compare_command(options(tmp_path))
    out = capsys.readouterr().out
    assert out.count("prompt tokens") == 3
    assert out.count("5.000 ± .010") == 6
    assert "…" not in out


def test_a_terminal_that_speaks_ascii_alone_gets_ascii(curve_runs):
    code = "from soft_prompts.report.terminal.command import *; from pathlib import Path; "
    code += "compare_command(CompareOptions((Path('results'),)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[3])},
        cwd=curve_runs.parent,
        capture_output=True,
        check=True,
    )
    assert b"4.000 +- .010" in done.stdout


def test_json_is_all_of_stdout(curve_runs, capsys):
    compare_command(options(curve_runs, "--json"))
    (entry,) = json.loads(capsys.readouterr().out)
    wanted = {"experiment", "variant", "data", "model", "prompt", "condition_mode", "headline", "curve", "warnings"}
    assert wanted | {"paired", "condition_information", "metric", "unit"} <= set(entry)
    assert entry["curve"][0] == {
        "tokens": 0,
        "value": 4.0,
        "stderr": 0.01,
        "seeds": [{"seed": 0, "value": 4.0, "stderr": 0.01}],
    }
    assert entry["paired"][0]["against"] == 0


def test_csv_has_a_row_a_point_and_a_row_a_seed(curve_runs, capsys):
    compare_command(options(curve_runs, "--csv"))
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["tokens"], row["seed"]) for row in rows] == [(t, s) for t in ("0", "4", "16") for s in ("all", "0")]
    assert float(rows[2]["vs_zero"]) == pytest.approx(-2 / 3)
    assert rows[2]["vs_zero"] == rows[2]["vs_previous"]
    assert float(rows[4]["vs_previous"]) == pytest.approx(-0.5)


def test_broken_files_are_named_and_skipped_and_the_exit_code_says_so(curve_runs, capsys):
    (curve_runs / "broken.json").write_text('{"schema_version": 1, ')
    (curve_runs / "later.json").write_text('{"schema_version": 7}')
    assert compare_command(options(curve_runs, "--json")) == 1
    out, err = capsys.readouterr()
    assert len(json.loads(out)[0]["curve"]) == 3
    assert "broken.json" in err
    assert "schema_version is 7" in err
    assert len(err.splitlines()) == 2


def test_no_results_at_all(tmp_path, capsys):
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match="no results in"):
        compare_command(options(tmp_path))
    assert "broken.json" in capsys.readouterr().err


def test_metrics_are_chosen_by_name(tmp_path, save_run, capsys):
    metrics = {"loss_per_move": Metric(4.0, 0.1, 9, "nats/move"), "legality": Metric(0.5, 0.02, 9, "share")}
    save_run(tokens=4, metrics=metrics)
    (curve,) = compare([tmp_path], "legality").curves
    assert (curve.headline, curve.metric, curve.unit, curve.curve[0].value) == (
        "loss_per_move",
        "legality",
        "share",
        0.5,
    )
    with pytest.raises(UsageError, match=r"did you mean legality\?.*give one of legality, loss_per_move"):
        compare_command(options(tmp_path, "--metric", "legalty"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"json": True, "csv": True}, "--json and --csv"),
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


def test_comparing_needs_no_torch():
    modules = "soft_prompts.report.terminal.command, soft_prompts.report.figures.plots"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


@pytest.mark.slow
def test_a_thousand_results_are_compared_within_ten_seconds(tmp_path, make_result, make_items):
    items = make_items(list(np.linspace(50.0, 90.0, 500)), [20] * 500)
    template = tmp_path / "t.json"
    write_result(template, make_result(items=items), items)
    text, payload = template.read_text(), (tmp_path / "t.items.safetensors").read_bytes()
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(1000):
        changed = text.replace('"name": "tiny-chess"', f'"name": "model-{index % 20}"')
        changed = changed.replace('"tokens": 4', f'"tokens": {2 ** (index // 20 % 10)}')
        changed = changed.replace('"seed": 0', f'"seed": {index // 200}').replace("t.items", f"{index}.items")
        (folder / f"{index}.json").write_text(changed)
        (folder / f"{index}.items.safetensors").write_bytes(payload)
    comparison = compare([folder])
    assert comparison.problems == ()
    assert len(comparison.curves) == 20
    assert all(len(curve.curve) == 10 and len(curve.paired) == 9 for curve in comparison.curves)
    assert all(len(point.seeds) == 5 for curve in comparison.curves for point in curve.curve)


def test_how_far_a_model_is_from_a_reference_model(tmp_path, make_items, save_run):
    """By hand: bare 24, with 4 tokens 20, reference 13 nats over 6 units; by cluster 3 of 6 and 1 of 5 are closed."""
    goal, better = [4.0, 2, 4, 3], [3.0, 2, 4, 3]
    for tokens, losses in ((0, BARE), (4, FOUR)):
        save_run(make_items(losses, UNITS, CLUSTER), tokens=tokens)
    for tokens, losses in ((0, goal), (4, better)):
        save_run(make_items(losses, UNITS, CLUSTER), tokens=tokens, model="base")
    base, chat = compare([tmp_path], reference="base").curves
    assert base.gaps == ()
    bare, four = chat.gaps
    assert (bare.tokens, four.tokens, four.reference) == (0, 4, "base")
    assert (bare.to_bare.value, four.to_bare.value) == (pytest.approx(11 / 6), pytest.approx(7 / 6))
    assert four.to_prompted is not None
    assert four.to_prompted.value == pytest.approx(8 / 6)
    assert bare.closed == (pytest.approx(0), pytest.approx(0))
    assert four.closed == (pytest.approx(4 / 11), pytest.approx(18 / 121))
    assert all(curve.gaps == () for curve in compare([tmp_path]).curves)
    with pytest.raises(UsageError, match=r"--reference is nobody.*give one of base, tiny-chess"):
        compare([tmp_path], reference="nobody")


def test_a_reference_on_other_items_says_nothing(tmp_path, make_items, save_run):
    save_run(make_items(BARE), tokens=0)
    save_run(make_items(FOUR), tokens=0, model="base", data__items_fingerprint="other items")
    assert all(curve.gaps == () for curve in compare([tmp_path], reference="base").curves)


def test_a_gap_is_a_row_of_the_table(tmp_path, make_items, save_run, capsys):
    for model, losses in (("tiny-chess", BARE), ("base", FOUR)):
        save_run(make_items(losses, UNITS, CLUSTER), tokens=0, model=model)
        save_run(make_items(FOUR, UNITS, CLUSTER), tokens=4, model=model)
    assert compare_command(CompareOptions((tmp_path,), reference="base")) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "minus base at 0 +0.67 ± .33 +0" in lines
    assert "share of the gap closed 0.0000 1.0000" in lines


def test_runs_that_differ_in_their_settings_are_curves_of_their_own(tmp_path, make_items, save_run, capsys):
    save_run(make_items(BARE), tokens=0)
    for rate, losses in ((0.01, FOUR), (0.1, SIXTEEN)):
        save_run(make_items(losses), tokens=4, config={"learning_rate": rate, "steps": 10, "output_dir": str(rate)})
    curves = compare([tmp_path]).curves
    assert [curve.settings for curve in curves] == [{"learning_rate": 0.01}, {"learning_rate": 0.1}]
    assert [len(curve.paired) for curve in curves] == [1, 1]
    compare_command(CompareOptions((tmp_path,)))
    out = capsys.readouterr().out
    assert "tiny-chess · learning rate 0.01" in out
    assert "tiny-chess · learning rate 0.1" in out


def test_variants_and_data_of_one_experiment_share_a_table(tmp_path, make_items, save_run, capsys):
    save_run(make_items(BARE), tokens=0, variant="1")
    save_run(make_items(FOUR), tokens=0, variant="2")
    save_run(make_items(FOUR), tokens=0, variant="2", data__name="other")
    compare_command(CompareOptions((tmp_path,)))
    out = capsys.readouterr().out
    assert out.startswith("chess: loss per move, nats per move\n")
    assert all(f"tiny-chess · {row}" in out for row in ("1 · games", "2 · games", "2 · other"))

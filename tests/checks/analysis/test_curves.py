"""What does compare make of runs that fit into curves, and of those that do not?"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from soft_prompts.analysis.losses.comparison import compare
from soft_prompts.analysis.readings import read_all
from soft_prompts.common.errors import UsageError
from soft_prompts.report.terminal.sentences import QUIET
from soft_prompts.results.files import write_result
from soft_prompts.results.schema import Metric
from tests.checks.made.stored_results import flat_items, save, save_skill

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


def test_outcomes_that_are_not_those_of_the_result_are_said(tmp_path: Path) -> None:
    save_skill(tmp_path, {0: (3.0, 0.0), 4: (1.2, 0.9)})
    [reading] = read_all([tmp_path], draws=60).readings
    assert not any("add up" in line for line in reading.curve.warnings)
    for path in tmp_path.rglob("run-*.json"):
        text = json.loads(path.read_text("utf-8"))
        if text["prompt"]["tokens"] == 4:
            text["metrics"][text["outcome"]] |= {"value": 0.5}
            path.write_text(json.dumps(text), "utf-8")
    [reading] = read_all([tmp_path], draws=60).readings
    [said] = [line for line in reading.curve.warnings if "add up" in line]
    assert said.endswith("at 4 tokens; nothing is read of them")
    assert reading.verdict.word == "NO SCALE"


@pytest.mark.parametrize(("right", "count"), [(1, 6), (5, 6), (7, 8), (15, 17), (0, 12), (12, 12), (1, 10)])
def test_an_outcomes_interval_lies_between_nothing_and_all(right: int, count: int, tmp_path: Path) -> None:
    items = dataclasses.replace(flat_items(3.0, count), outcome=(np.arange(count) < right).astype(np.float64))
    for tokens in (0, 4):
        save(tmp_path, "run", items, tokens=tokens, determined=True)
    [reading] = read_all([tmp_path], draws=400).readings
    for point in reading.points:
        assert point.outcome is not None
        assert point.outcome.low is not None
        assert 0 <= point.outcome.low <= right / count <= point.outcome.high <= 1


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


def test_other_data_of_one_name_are_no_run_of_a_curve(tmp_path, save_run):
    """The newest data count, and it is said which runs were of others; trained otherwise or not."""
    save_run(tokens=0, value=5.0)
    for changes in ({}, {"training__steps": 7}):
        earlier = {"data__fingerprint": "sha256:other", "environment__finished": "2025-01-01T00:00:00Z"}
        save_run(tokens=4, value=1.0, **changes, **earlier)
    save_run(tokens=4, value=4.0, training__learning_rate=0.5)
    (curve,) = compare([tmp_path]).curves
    assert [point.value for point in curve.curve] == [5.0, 4.0]
    (warning,) = [line for line in curve.warnings if "other data of the same name" in line]
    assert warning.startswith("4 tokens, seed 0: ")
    assert warning.endswith("; compare those files by themselves, and give data sets names of their own")
    assert not QUIET.match(warning)


def test_models_on_different_data_of_one_name_are_warned_of(tmp_path, make_items, save_run):
    save_run(make_items(BARE), tokens=0)
    save_run(make_items(FOUR), tokens=0, model="other", data__fingerprint="sha256:other")
    (warning,) = compare([tmp_path]).warnings
    assert warning.startswith("chess: different data are called games")
    assert "tiny-chess" in warning
    assert "other" in warning.rpartition(": ")[2]


def test_models_of_one_folders_name_are_told_apart_in_words(tmp_path, save_run):
    for model in ("/a/final", "/b/final", "/b/other"):
        save_run(tokens=0, model=model)
    titles = {one.curve.model: one.verdict.sentence.partition(",")[0] for one in read_all([tmp_path]).readings}
    assert titles == {"/a/final": "/a/final", "/b/final": "/b/final", "/b/other": "other"}


def test_what_stands_in_front_of_nothing_is_said_of_the_bare_model_alone(tmp_path, make_items, save_run):
    """Not of the least prompt where no run has none."""
    save_run(dataclasses.replace(make_items(FOUR), outcome=np.ones(4)), tokens=1)
    (reading,) = read_all([tmp_path]).readings
    assert reading.points[0].outcome is not None
    assert "With nothing in front" not in reading.verdict.sentence


def test_a_trained_prompt_among_results_is_passed_over_and_a_strange_file_is_not_to_be_removed(curve_runs):
    (curve_runs / "prompt.json").write_text('{"format": 1}')
    (curve_runs / "strange.json").write_text('{"mine": 1}')
    (problem,) = compare([curve_runs]).problems
    assert problem.endswith("strange.json: not a result of this package: it has no schema_version")


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

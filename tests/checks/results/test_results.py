"""Results are written whole, read back as they were, and nothing else passes for one."""

import dataclasses
import errno
import fcntl
import json
import math
import os
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from soft_prompts.common.errors import InputError, OutOfRoom
from soft_prompts.common.files import write_atomically, write_pieces
from soft_prompts.results.files import (
    find_results,
    items_fingerprint,
    items_path,
    read_items,
    read_result,
    write_result,
)
from soft_prompts.results.schema import Generation, Metric, Result


def test_the_schema_is_a_valid_one():
    schema = json.loads(resources.files("soft_prompts.results").joinpath("result.schema.json").read_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


def test_a_result_is_read_as_it_was_written(tmp_path, make_result, make_items):
    items = make_items([1.0, 2.0, 3.5], cluster=[0, 0, 1])
    generation = Generation("1. e2e4", {"white_elo": 1500}, "e7e5 ♔", None)
    extra = {"legality": Metric(None, reason="no position left"), "test_loss": Metric(1.5, 0.1, 3, "nats/token")}
    result = make_result(
        items=items, generations=(generation,), data__rejected={"no Elo": 2}, training__skipped_steps=0
    )
    result = dataclasses.replace(result, metrics={**result.metrics, **extra})
    path = tmp_path / "results" / "run.json"
    written = write_result(path, result, items)
    assert written.items == "run.items.safetensors"
    assert read_result(path) == written
    for field in dataclasses.fields(items):
        np.testing.assert_array_equal(getattr(read_items(path), field.name), getattr(items, field.name))
    assert read_items(path).outcome is None
    assert sorted(file.name for file in path.parent.iterdir()) == ["run.items.safetensors", "run.json"]


def test_outcomes_are_read_as_they_were_written(tmp_path, make_result, make_items):
    items = dataclasses.replace(make_items([1.0, 2.0, 3.5, 4.0]), outcome=np.array([0.0, np.nan, 0.25, 1.0]))
    command = "soft-prompts run chess --models 'a b'"
    result = make_result(items=items, data__determined=True, environment__command=command)
    result = dataclasses.replace(result, outcome="exact_match")
    path = tmp_path / "run.json"
    written = write_result(path, result, items)
    assert read_result(path) == written
    assert (written.outcome, written.data.determined) == ("exact_match", True)
    assert json.loads(path.read_text())["environment"]["command"] == command
    np.testing.assert_array_equal(read_items(path).outcome, items.outcome)


def test_optional_fields_are_left_out_and_a_missing_metric_is_null_with_its_reason(make_result):
    values = make_result(metrics={"loss_per_move": Metric(None, unit="nats/move", reason="no moves")}).to_json()
    assert values["metrics"]["loss_per_move"] == {"value": None, "reason": "no moves", "unit": "nats/move"}
    assert not {"rejected", "skipped_steps", "micro_batch_size"} & {*values["data"], *values["training"]}
    assert not {"outcome", "determined", "command"} & {*values, *values["data"], *values["environment"]}
    assert Result.from_json(values).outcome is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_number_that_is_none_is_ever_written(bad, tmp_path, make_result):
    metrics = {"loss_per_move": Metric(bad, bad, 3, "nats/move"), "test_loss": Metric(1.0, bad, 3, "nats/token")}
    result = make_result(
        metrics=metrics, timing__wall_seconds=bad, config={"limit": bad, "path": Path("x"), "n": np.int64(3)}
    )
    path = tmp_path / "run.json"
    write_result(path, result, None)
    values = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert values["metrics"]["loss_per_move"]["value"] is None
    assert str(bad) in values["metrics"]["loss_per_move"]["reason"]
    assert values["metrics"]["test_loss"] == {"value": 1.0, "stderr": None, "n": 3, "unit": "nats/token"}
    assert values["config"] == {"limit": None, "path": "x", "n": 3}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status": "done"}, "status"),
        ({"status": "failed", "reason": None}, "reason"),
        ({"status": "success", "reason": "why not"}, "reason"),
        ({"role": "hero"}, "role"),
        ({"experiment": ""}, "experiment"),
        ({"prompt__tokens": -1}, "prompt.tokens"),
        ({"prompt__condition_mode": "some"}, "prompt.condition_mode"),
        ({"timing__data_wait_share": 1.5}, "timing.data_wait_share"),
        ({"environment__started": "yesterday"}, "environment.started"),
        ({"data__rejected": {"x": -1}}, "data.rejected.x"),
        ({"headline": "accuracy"}, "headline is accuracy"),
        ({"metrics": {"loss_per_move": Metric(1.0, -0.1, 3, "nats")}}, "metrics.loss_per_move.stderr"),
    ],
)
def test_a_result_that_does_not_fit_the_schema_is_not_written(change, field, tmp_path, make_result):
    with pytest.raises(ValueError, match=field):
        write_result(tmp_path / "run.json", make_result(**change), None)
    assert not list(tmp_path.iterdir())


BROKEN = {
    "empty": ("", "empty"),
    "list": ("[]", "no schema_version"),
    "foreign": ('{"loss": 3}', "no schema_version"),
    "later": ('{"schema_version": 2}', "schema_version is 2; this version of the package reads 1"),
    "words": ('{"schema_version": "1"}', "schema_version is 1"),
    "deep": ("[" * 200_000, "nested too deeply"),
    "text": ("loss 3\n", "broken or truncated JSON"),
    "long number": ('{"schema_version": 1' + "0" * 5000 + "}", "long number"),
}


def test_what_is_no_result_is_named_with_its_fault(tmp_path, make_result, save_run):
    good = save_run(value=3.0)
    text = good.read_text()
    cases = BROKEN | {
        "truncated": (text[: len(text) // 2], "broken or truncated JSON"),
        "nan": (text.replace('"value": 3.0', '"value": NaN'), "no finite number"),
        "huge": (text.replace('"value": 3.0', '"value": 1e999'), "no finite number"),
        "extra": (text.replace('"status"', '"state"'), "the result"),
        "float": (text.replace('"tokens": 4', '"tokens": 4.0'), "prompt.tokens"),
        "null": (text.replace('"learning_rate": 0.001', '"learning_rate": null'), "training.learning_rate"),
        "wrong type": (text.replace('"tokens": 4', '"tokens": "4"'), "prompt.tokens"),
        "escape": (text.replace('"items": null', '"items": "../x.items.safetensors"'), "items"),
    }
    for name, (content, _) in cases.items():
        (tmp_path / "results" / f"{name}.json").write_text(content)
    (tmp_path / "results" / "latin.json").write_bytes(b'{"\xff": 1}')
    (tmp_path / "results" / "dangling.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / "results" / "skill.png").write_bytes(b"\x89PNG")
    asked = [tmp_path / "results", tmp_path / "missing", tmp_path / "results" / "skill.png"]
    results, problems = find_results(asked)
    assert [path for path, _ in results] == [good]
    assert len(problems) == len(cases) + 4
    assert problems[-1] == f"{asked[-1]}: no .json, so no result"
    for name, (_, fault) in cases.items():
        (problem,) = [line for line in problems if f"/{name}.json:" in line]
        assert fault in problem
        assert "\n" not in problem
        assert len(problem) < 600
    assert any("no such file or folder" in line for line in problems)


def test_every_single_missing_field_and_every_truncation_is_noticed(tmp_path, make_result):
    values = make_result(value=3.0).to_json()
    for name in values:
        with pytest.raises(ValueError, match=name):
            Result.from_json({key: value for key, value in values.items() if key != name})
    text = json.dumps(values)
    path = tmp_path / "run.json"
    for length in range(0, len(text), 7):
        path.write_text(text[:length])
        with pytest.raises(InputError):
            read_result(path)


def test_a_reference_folder_counts_only_when_named(tmp_path, make_result):
    for folder in ("results/chess", "results/reference/chess", "results/.hidden"):
        write_result(tmp_path / folder / "run.json", make_result(value=3.0), None)
    (tmp_path / "results" / "notes.txt").write_text("not JSON")
    found = find_results([tmp_path / "results"]).results
    assert [path.parent for path, _ in found] == [tmp_path / "results/chess"]
    assert len(find_results([tmp_path / "results/reference"]).results) == 1
    assert len(find_results([tmp_path / "results", tmp_path / "results/chess/run.json"]).results) == 1
    assert find_results([tmp_path]).problems == []


def test_an_empty_folder_holds_no_results_and_no_problems(tmp_path):
    assert find_results([tmp_path]) == ([], [])


@pytest.mark.parametrize("target", ["run.json", "run.items.safetensors"])
@pytest.mark.parametrize("to", ["file", "folder", "nothing"])
def test_a_symbolic_link_at_the_target_is_refused(target, to, tmp_path, make_result, make_items):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / target).symlink_to(tmp_path / to)
    items = make_items([1.0, 2.0])
    with pytest.raises(InputError, match="symbolic link"):
        write_result(tmp_path / "run.json", make_result(items=items), items)
    assert (tmp_path / "file").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["file", "folder", target])


@pytest.mark.parametrize(("code", "error"), [(errno.ENOSPC, OutOfRoom), (errno.EROFS, InputError)])
@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(code, error, call, tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(error, match=r"run\.json"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_temporaries_of_a_killed_writer_are_swept(tmp_path):
    (tmp_path / ".run.json.00ff00ff.tmp").write_bytes(b"half")
    (tmp_path / ".other.json.00ff00ff.tmp").write_bytes(b"half")
    write_atomically(tmp_path / "run.json", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.json.00ff00ff.tmp", "run.json"]


def test_a_file_system_without_locks_is_written_to(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOSYS, "no locks")

    monkeypatch.setattr(fcntl, "flock", none)
    (tmp_path / ".run.json.00ff00ff.tmp").write_bytes(b"half")
    write_atomically(tmp_path / "run.json", b"whole")
    assert (tmp_path / "run.json").read_bytes() == b"whole"


def test_two_writers_of_a_file_leave_each_other_alone(tmp_path):
    def pieces():
        yield b"first"
        write_atomically(tmp_path / "run.json", b"second")
        yield b", whole"

    write_pieces(tmp_path / "run.json", pieces())
    assert (tmp_path / "run.json").read_bytes() == b"first, whole"
    assert len(list(tmp_path.iterdir())) == 1


def test_items_that_cannot_be_are_refused(make_items):
    items = make_items([1.0, 2.0])
    for change in (
        {"loss_nats": np.array([1.0, np.nan])},
        {"loss_nats": np.array([1.0, 2.0, 3.0])},
        {"scored_units": np.array([1, 2, 3])},
        {"scored_tokens": np.array([1, -2])},
        {"cluster": np.array([[1, 2]])},
        {"outcome": np.array([0.5])},
        {"outcome": np.array([0.5, 1.5])},
        {"outcome": np.array([-0.5, np.nan])},
        {"outcome": np.array([np.inf, 0.0])},
    ):
        with pytest.raises(ValueError, match="items: "):
            dataclasses.replace(items, **change)


def test_broken_items_are_named(tmp_path, make_result, make_items):
    items = make_items([1.0, 2.0])
    path = tmp_path / "run.json"
    write_result(path, make_result(items=items), items)
    whole = items_path(path).read_bytes()
    for content in (b"", b"not safetensors", whole[:-3], whole.replace(b"loss_nats", b"loss_bits")):
        items_path(path).write_bytes(content)
        with pytest.raises(InputError, match=r"run\.items\.safetensors"):
            read_items(path)
    items_path(path).unlink()
    with pytest.raises(InputError, match=r"run\.items\.safetensors"):
        read_items(path)


def test_the_fingerprint_knows_items_order_and_labels():
    names, tokens = np.array([5, 6, 7]), np.array([2, 2, 3])
    prints = [
        items_fingerprint(*pair)
        for pair in ((names, tokens), (names[::-1], tokens), (names, tokens + 1), (names[:2], tokens[:2]))
    ]
    assert len(set(prints)) == 4
    assert prints[0] == items_fingerprint(np.array([0, 5, 0, 6, 0, 7])[1::2], tokens.astype(np.int32).astype(np.int64))

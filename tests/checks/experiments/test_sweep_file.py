"""Which runs does a sweep file ask for, and is a wrong one refused in a line that says where?"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as checked
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from soft_prompts.commands.experiments import experiment_of
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.config import as_json
from soft_prompts.experiments.catalogue.completion import EXPERIMENT
from soft_prompts.experiments.scale_out.file import Asked, read_sweep, schema
from soft_prompts.experiments.scale_out.told import run_of
from soft_prompts.training.apparatus import run_paths

Write = Callable[[Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(content: Any) -> Path:
        path = tmp_path / "sweep.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return written


def read(path: Path, output_dir: Path | None = None) -> list[Asked]:
    return read_sweep(path, experiment_of, output_dir)


def test_a_grid_is_every_combination(write: Write) -> None:
    entry = {"experiment": "completion", "preset": "quick", "models": ["tiny-text", "tiny-chess"], "tokens": [0, 2]}
    entry |= {"seeds": [0, 1], "learning-rate": [0.1, 0.3], "condition": True, "score_first": True}
    asked = read(write([entry]))
    assert len(asked) == 2  # a grid each rate
    runs = [config for one in asked for config in one.configs]
    assert {(run.model, run.tokens, run.seed, run.learning_rate) for run in runs if run.tokens} == {
        (model, 2, seed, rate) for model in ("tiny-text", "tiny-chess") for seed in (0, 1) for rate in (0.1, 0.3)
    }
    assert all(run.score_first and run.condition == "true" and run.steps == 20 for run in runs)
    assert len({run_paths(run) for run in runs}) == 2 * (1 + 2 * 2)  # the bare model once a model


def test_shared_settings_stand_behind_a_grids_own(write: Write, tmp_path: Path) -> None:
    grids = [{"experiment": ["completion", "repetition"], "tokens": [1], "steps": 3}]
    path = write({"settings": {"preset": "quick", "steps": 7, "seeds": [5]}, "grids": grids})
    runs = [config for one in read(path, tmp_path / "out") for config in one.configs]
    assert {run.task.name for run in runs} == {"completion", "repetition"}
    assert {(run.steps, run.seed, run.output_dir) for run in runs} == {(3, 5, tmp_path / "out")}


@pytest.mark.parametrize("name", ["completion", "chess", "pathfinding", "guidance_softprompt"])
def test_what_print_config_prints_is_a_sweep_of_the_same_runs(
    name: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = experiment_of(name)
    assert experiment.main(["--preset", "quick", "--print-config"]) == 0
    printed = capsys.readouterr().out
    (asked, *more) = read(write(printed))
    wanted = experiment.runs(experiment.parse(["--preset", "quick"], "x"))
    assert [run_paths(run) for one in (asked, *more) for run in one.configs] == [run_paths(run) for run in wanted]
    assert [as_json(run) for one in (asked, *more) for run in one.configs] == json.loads(printed)


def test_small_numbers_survive_json_and_yaml(write: Write) -> None:
    config = replace(EXPERIMENT.presets["quick"].settings, learning_rate=1e-05, tokens=1)
    as_yaml = yaml.safe_dump([as_json(config)]).replace("1.0e-05", "1e-05")  # a text to YAML, and what people write
    for text in (json.dumps([as_json(config)]), as_yaml):
        assert "1e-05" in text
        assert read(write(text))[0].configs == [config]
    assert run_of(as_json(config) | {"learning_rate": "1e-5"}).learning_rate == 1e-05


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        ([{"experiment": "completion", "tokns": [1]}], UsageError, ("entry 1", "tokns is no flag", "'tokens'")),
        ([{"experiment": "completon"}], UsageError, ("entry 1", "completon is no experiment", "'completion'")),
        ([{"experiment": "calibration"}], UsageError, ("no grid of runs", "soft-prompts run calibration")),
        ([{"experiment": "completion", "steps": "many"}], UsageError, ("--steps is many", "a whole number")),
        ([{"experiment": "completion", "jobs": 2}], UsageError, ("jobs belongs to the command",)),
        ([{"experiment": "completion", "trust_remote_code": True}], UsageError, ("never set by a file",)),
        ([{"experiment": "completion", "prompt": ["direct --trust-remote-code"]}], UsageError, ("--prompt",)),
        ([{"experiment": "completion", "models": ["x", "--trust-remote-code"]}], UsageError, ("never set by a file",)),
        ([{"experiment": "completion", "fresh": True}], UsageError, ("never set by a file",)),
        ([{"experiment": "completion", "data": "./nope.jsonl"}], InputError, ("entry 1", "does not exist")),
        ([{"experiment": "completion"}, {"models": ["a"]}], UsageError, ("entry 2", "'experiment' is a required")),
        ([], UsageError, ("non-empty",)),
        ({"grid": []}, UsageError, ("'grids' is a required",)),
        ("3", UsageError, ("a sweep is a list",)),
        ("a: [", InputError, ("line 1", "mend it")),
        ("[" * 5000, InputError, ("mend it",)),
        ('{"grids": [}', InputError, ("line 1", "mend it")),
        ([{"task": {"name": "ches"}, "model": "m", "tokens": 1}], UsageError, ("task is 'ches'", "'chess'")),
        ([{"task": {"name": "chess"}, "model": "m"}], UsageError, ("entry 1", "'tokens' is a required")),
        ([{"task": {"name": "chess"}, "model": "m", "tokens": 1, "role": "x"}], UsageError, ("role is 'x'",)),
        ([{"task": {"name": "chess", "pliess": 1}, "model": "m", "tokens": 1}], UsageError, ("pliess is no setting",)),
        ([{"task": {"name": "chess"}, "model": "m", "tokens": 1, "steps": 1.5}], UsageError, ("steps is 1.5",)),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(content: Any, kind: type, words: tuple[str, ...], write: Write) -> None:
    with pytest.raises(kind) as caught:
        read(write(content))
    line = str(caught.value)
    assert "sweep.yaml" in line
    assert "\n" not in line
    assert all(word in line for word in words), line


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read(tmp_path / "nope.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(InputError, match="no text"):
        read(tmp_path / "binary.yaml")


NAMES = ["grids", "settings", "experiment", "task", "name", "model", "models", "tokens", "steps", "learning_rate"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6), max_size=3) | VALUES)
@checked(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_values_are_runs_or_refused_in_one_line(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(yaml.safe_dump(content))
    try:
        said = str(read(path))
    except (UsageError, InputError) as error:
        said = str(error)
    assert "\n" not in said


def test_the_schema_is_one(write: Write) -> None:
    Draft202012Validator.check_schema(schema())
    assert Draft202012Validator(schema()).is_valid([{"experiment": "chess", "tokens": [[0], [1, 2]]}])

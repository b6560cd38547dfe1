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
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.scale_out.file import Asked, Wanted, _built, read_sweep, schema
from soft_prompts.experiments.scale_out.told import run_of
from soft_prompts.models.sources.card import read_card
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


def test_two_data_sets_of_one_name_are_refused_over_all_entries(write: Write, tmp_path: Path) -> None:
    """Results of other folders and other experiments are called by their own."""
    files = [tmp_path / folder / "rows.jsonl" for folder in ("x", "y")]
    for file in files:
        file.parent.mkdir()
        file.write_text('{"prompt": "a", "completion": "b"}\n')
    x, y = map(str, files)
    entry = {"experiment": "completion", "models": "tiny-text", "tokens": 0, "output_dir": str(tmp_path / "o")}
    for first, second, said in (
        ({"data": x}, {"data": y}, f"{x} and {y} would both be called rows in the results"),
        ({"data": x, "test_data": x}, {"data": x, "test_data": y}, f"{x} tested on {x} and {x} tested on {y} would"),
    ):
        with pytest.raises(UsageError, match=said):
            read(write([entry | first, entry | second]))
        assert len(read(write([entry | first, entry | second | {"output_dir": str(tmp_path / "p")}]))) == 2
        assert len(read(write([entry | first, entry | first | {"steps": 3}]))) == 2


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


def test_words_of_yaml_stand_for_themselves(write: Write) -> None:
    """YAML 1.1 takes `no` for false, 010 for 8 and 0x10 for 16."""
    lines = ["- experiment: completion", "models: [no, off, 2026-11-28]", "tokens: [0, 010]", "reference: null"]
    runs = read(write("\n  ".join(lines)))[0].configs
    assert {run.model for run in runs} == {"no", "off", "2026-11-28"}
    assert {run.tokens for run in runs} == {0, 10}
    with pytest.raises(UsageError, match="0x10"):
        read(write("- experiment: completion\n  tokens: [0, 0x10]"))


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
    as_some_editors_save_it = f"\ufeff{json.dumps([as_json(config)])}"  # behind a byte order mark
    for text in (json.dumps([as_json(config)]), as_some_editors_save_it, as_yaml):
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
        ([{"experiment": "completion", "models": ["x", "--trust-remote-code"]}], UsageError, ("is a flag",)),
        ([{"experiment": "completion", "models": ["x", "--output-dir", "/tmp/else"]}], UsageError, ("is a flag",)),
        ([{"experiment": "completion", "prompt": "-h"}], UsageError, ("'-h' is a flag",)),
        ([{"experiment": "completion", "steps": []}], UsageError, ("steps has an empty list", "at least one")),
        ([{"experiment": "completion", "tokens": [[], [1]]}], UsageError, ("tokens has an empty list",)),
        ("- experiment: completion\n  steps: 1\n  steps: 2", InputError, ("line 3", "steps is there twice")),
        ('[{"experiment": "completion", "steps": 1, "steps": 2}]', InputError, ("steps is there twice",)),
        ("settings: {learning-rate: 1, learning_rate: 2}\ngrids: [{experiment: chess}]", UsageError, ("twice",)),
        ([{"experiment": "completion", "learning-rate": 1, "learning_rate": 2}], UsageError, ("learning_rate is", "_")),
        ("- &a {experiment: completion}\n- *a", InputError, ("line 2", "*a repeats", "write it out")),
        ("- experiment: completion\n  <<: {steps: 1}", InputError, ("line 2", "write them out")),
        ([{"experiment": "completion", "fresh": True}], UsageError, ("never set by a file",)),
        ([{"experiment": "completion", "data": "./nope.jsonl"}], InputError, ("entry 1", "does not exist")),
        ([{"experiment": "completion"}, {"models": ["a"]}], UsageError, ("entry 2", "'experiment' is a required")),
        ([], UsageError, ("non-empty",)),
        ({"grid": []}, UsageError, ("'grids' is a required",)),
        ("3", UsageError, ("a sweep is a list",)),
        ("# nothing\n", UsageError, ("is empty",)),
        (
            "- experiment: completion\n  models: [tiny-text, null]",
            UsageError,
            ("entry 1", "models holds an empty value"),
        ),
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


def test_few_bytes_are_not_many_values(write: Write) -> None:
    """Aliases that stand for 10^7 leaves are refused before one is made."""
    bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{new}: &{new} [{','.join(['*' + old] * 10)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
    )
    with pytest.raises(InputError, match=r"line 2: \*a repeats"):
        read(write(bomb))
    with pytest.raises(InputError, match=r"line 2: \*a repeats"):
        read_card(str(write(bomb)))


def test_too_many_runs_are_refused_before_one_is_built(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(*_: Any) -> None:
        raise AssertionError("a grid was parsed")

    monkeypatch.setattr(Experiment, "parse", parsed)
    many, some = list(range(1, 500)), list(range(1, 300))
    for entries in (
        [{"tokens": many, "seeds": many}],
        [{"steps": many, "warmup_steps": many}],
        [{"models": ["a", "b", "c"], "tokens": some, "seeds": some}],
        [{"tokens": some, "seeds": some}] * 3,  # none of them alone
    ):
        with pytest.raises(UsageError, match=rf"entry {len(entries)}: more than 200000 runs"):
            read(
                write(
                    json.dumps([{"experiment": "completion", "models": ["a"], "data": ["a"], **one} for one in entries])
                )
            )


@pytest.mark.parametrize(
    "entry",
    [
        {"experiment": "completion", "tokens": [[0, 2], [4, 4]], "seeds": [[0, 1], [5]], "models": ["a", "b"]},
        {"experiment": "completion", "learning_rate": [0.1, 0.2], "tokens": 3, "seeds": [1, 1, 2]},
        {"experiment": "repetition", "tokens": [1, 2], "string": ["a", "b", "c"], "seeds": [0]},
        {"experiment": "chess", "preset": "quick"},
    ],
)
def test_the_count_is_that_of_the_runs(entry: dict[str, Any]) -> None:
    settings = {key: value for key, value in entry.items() if key != "experiment"}
    wanted = Wanted(experiment_of(entry["experiment"]), settings)
    assert wanted.runs() == sum(len(asked.configs) for asked in _built(wanted, None))


def test_the_commands_folder_wins(write: Write, tmp_path: Path) -> None:
    path = write([{"experiment": "completion", "preset": "quick", "output_dir": ["a", "b"], "tokens": [1]}])
    runs = [config for one in read(path, tmp_path / "out") for config in one.configs]
    assert {run.output_dir for run in runs} == {tmp_path / "out"}


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

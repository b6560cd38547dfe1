"""Does every task keep what task.py promises? A new task adds its small data to tests/checks/made/tasks.py."""

import itertools
import json
import pickle
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from soft_prompts.engine.batch import collate
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.registry import TASKS
from soft_prompts.tasks.task import UNSCORED, Example, HeldOut, Task, TaskData
from tests.checks.made.tasks import Opened, open_small

SPLITS: tuple[HeldOut, HeldOut] = ("validation", "test")


@pytest.fixture(params=sorted(TASKS))
def opened(request: pytest.FixtureRequest, tmp_path: Path, one_frozen: FrozenModel) -> Opened:
    return open_small(request.param, tmp_path, one_frozen.tokenizer)


def check_example(example: Example, task: Task, longest: int) -> None:
    length = len(example.input_ids)
    assert 0 < length <= longest
    assert len(example.labels) == length
    assert 0 <= example.insert_at <= length
    assert len(example.conditions) == len(task.condition_names)
    assert all(isinstance(value, float) for value in example.conditions)
    assert all(isinstance(number, int) for number in (*example.input_ids, *example.labels, example.cluster))


def test_a_task_is_named_as_it_is_listed(opened: Opened) -> None:
    task, request, data = opened
    assert TASKS[task.name] is type(task)
    assert is_dataclass(task)
    assert json.dumps({field.name: getattr(task, field.name) for field in fields(task)})
    assert task.headline
    assert task.unit
    assert data.name == request.name == Path(data.name).name


def test_held_out_items_are_scored_disjoint_and_stable(opened: Opened, one_frozen: FrozenModel) -> None:
    task, request, data = opened
    held_out = {split: data.held_out(split) for split in SPLITS}
    assert [len(held_out[split]) for split in SPLITS] == [request.validation_samples, request.test_samples]
    for split, examples in held_out.items():
        for example in examples:
            check_example(example, task, request.sample_tokens)
            assert example.units > 0
        assert data.held_out(split) == examples
        assert task.open(request._replace(seed=9), one_frozen.tokenizer).held_out(split) == examples
        assert (collate(examples, 0).labels != UNSCORED).any(dim=1).all()
    assert not {e.cluster for e in held_out["validation"]} & {e.cluster for e in held_out["test"]}


def test_training_is_endless_repeatable_and_disjoint_from_what_is_held_out(opened: Opened) -> None:
    task, request, data = opened
    held_out = {example.cluster for split in SPLITS for example in data.held_out(split)}
    stream = list(itertools.islice(data.training(None), 150))
    for example, _ in stream:
        check_example(example, task, request.sample_tokens)
    assert not {example.cluster for example, _ in stream} & held_out
    assert list(itertools.islice(data.training(None), 150)) == stream
    for place in (0, 20, 149):
        position = json.loads(json.dumps(stream[place][1]))
        assert position == stream[place][1]
        expected = stream[place + 1 : place + 4]
        assert list(itertools.islice(data.training(position), 3))[: len(expected)] == expected


def test_data_says_what_it_is_and_can_go_to_another_process(opened: Opened) -> None:
    task, request, data = opened
    assert data.fingerprint == task.fingerprint(request)
    copied: TaskData = pickle.loads(pickle.dumps(data))
    assert copied.held_out("test") == data.held_out("test")
    assert pickle.loads(pickle.dumps(task)) == task
    [(_, position)] = itertools.islice(data.training(None), 1)
    for after in (None, position):
        assert all(isinstance(count, int) for count in data.rejected(after).values())


def test_reading_no_data_costs_a_task_nothing_but_an_error_in_one_line(opened: Opened, one_frozen: FrozenModel) -> None:
    task, request, _ = opened
    with pytest.raises(ValueError, match="nowhere") as refused:
        task.open(request._replace(data="nowhere"), one_frozen.tokenizer)
    assert refused.value.__class__.__name__ == "InputError"
    assert "\n" not in str(refused.value)


ENGINE = ("common", "stats", "results", "models", "prompts", "engine", "analysis", "training")


def test_the_engine_names_no_task() -> None:
    """Tasks are added beside the engine, never into it: it neither names nor imports one; `foremost` is round any."""
    named = TASKS.keys() - {"completion"}  # an English word, and a field of JSONL files
    words = re.compile(rf"(?<![\w-])({'|'.join(named)})(?!\w)|soft_prompts\.tasks\.(?!(task|foremost)\b)\w+")
    package = Path(__file__).parents[3] / "soft_prompts"
    engine = [path for folder in ENGINE for path in sorted((package / folder).rglob("*.py"))]
    assert len(engine) > 40
    assert not {f"{path.name}: {word[0]}" for path in engine for word in words.finditer(path.read_text())}

"""Is a task that is not one refused where it is written, in plain words?"""

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import pytest

from soft_prompts.stats.items import Items
from soft_prompts.tasks.listed import ListedData
from soft_prompts.tasks.task import Example, Task, TaskData

EXAMPLES = [Example([1, 2], [1, 2], units=1)] * 2


def method(self: Any) -> None:
    """One that is never called."""


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("mesures", "measures"),
        ("further_metric", "further_metrics"),
        ("shot", "shots"),
        ("exact_test_nat", "exact_test_nats"),
        ("heldout", "held_out"),
    ],
)
@pytest.mark.parametrize("wrapped", [lambda it: it, property, staticmethod, classmethod])
def test_a_misspelt_method_of_data_is_refused(misspelt: str, meant: str, wrapped: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=rf"^Mine\.{misspelt} is nothing .*\(did you mean '{meant}'\?\) known are "):
        type("Mine", (ListedData,), {misspelt: wrapped(method)})


@pytest.mark.parametrize(("misspelt", "meant"), [("condition_name", "condition_names"), ("postion", "position")])
def test_a_misspelt_value_of_a_task_is_refused(misspelt: str, meant: str) -> None:
    for annotations in ({}, {misspelt: ClassVar[str]}, {misspelt: "ClassVar[str]"}):
        with pytest.raises(TypeError, match=rf"^Mine\.{misspelt} is nothing .*\(did you mean '{meant}'\?\)"):
            type("Mine", (Task,), {misspelt: "random", "__annotations__": annotations})


def test_names_of_its_own_are_fields_and_private_ones() -> None:
    @dataclass(frozen=True)
    class Mine(Task):
        size: int = 3
        label: Callable[[int], str] = str
        name, headline, unit = "mine", "loss", "token"

        def fingerprint(self, request: Any) -> str:
            return self._twice("x")

        def open(self, request: Any, tokenizer: Any) -> TaskData:
            return ListedData("mine", "1", EXAMPLES, EXAMPLES, EXAMPLES)

        def _twice(self, text: str) -> str:
            return text * 2

    task = Mine(size=4)
    assert (task.size, task.label(3), task.fingerprint(None)) == (4, "3", "xx")
    assert (task.condition_names, task.variant, task.position, task.each()) == ((), None, "front", (task,))
    assert not task.starts_from_bare


def test_data_without_more_to_say_say_nothing() -> None:
    data = ListedData("mine", "1", EXAMPLES, EXAMPLES, EXAMPLES)
    zeros = np.zeros(2)
    items = Items(zeros, zeros.astype(int), zeros.astype(int), zeros.astype(int))
    assert data.measures(EXAMPLES, items, lambda queries, most, temperature=0.0: []) == ({}, [], None)
    assert (data.rejected(None), data.exact_test_nats(), data.shots(3), data.further()) == ({}, None, [], [])
    assert (data.is_determined(), data.constant_outcome()) == (False, None)
    assert list(islice(data.training_items(), 3)) == [example for example, _ in islice(data.training(None), 3)]
    assert data.further_metrics(items) == {}
    assert pickle.loads(pickle.dumps(data)) == data


def test_a_task_without_what_it_must_have_cannot_be_made() -> None:
    class Mine(Task):
        name = "mine"

        def fingerprint(self, request: Any) -> str:
            return "1"

    with pytest.raises(TypeError, match=r"^Mine lacks headline, open, unit; give it$"):
        Mine()  # pyright: ignore[reportAbstractUsage]

    class Data(TaskData):
        """Nothing of it."""

    with pytest.raises(TypeError, match=r"^Data lacks held_out, training; give it$"):
        Data()  # pyright: ignore[reportAbstractUsage]


def test_another_form_than_is_called_is_refused() -> None:
    def too_few(self: Any, examples: Any) -> None: ...

    def enough(self: Any, examples: Any, items: Any, complete: Any, more: int = 0) -> None: ...

    with pytest.raises(TypeError, match=r"^Mine.measures cannot be called as it will be; give it the form .*complete"):
        type("Mine", (ListedData,), {"measures": too_few})
    with pytest.raises(TypeError, match=r"^Mine.shots cannot be called"):
        type("Mine", (ListedData,), {"shots": property(too_few)})
    with pytest.raises(TypeError, match=r"^Mine.variant is a method, where a value is read; put @property above it$"):
        type("Mine", (Task,), {"variant": method})
    assert type("Mine", (ListedData,), {"measures": enough})


def test_a_declared_extension_adds_names() -> None:
    class Scored(TaskData, extends=True):
        def score(self, count: int) -> int:
            """What the extension promises."""
            return count

    assert type("Mine", (Scored,), {"score": lambda self, count: 2 * count})
    with pytest.raises(TypeError, match=r"Mine.scores is nothing .*did you mean 'score'"):
        type("Mine", (Scored,), {"scores": method})
    with pytest.raises(TypeError, match=r"Mine.score is nothing"):
        type("Mine", (ListedData,), {"score": method})


def test_tasks_wait_for_no_model_library() -> None:
    heavy = ("torch", "transformers", "datasets", "accelerate", "peft", "chess", "scipy", "pyarrow")
    code = f"import soft_prompts.tasks, sys; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

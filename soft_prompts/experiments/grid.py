"""Which runs does a command line ask for? Every model, data set, prompt size and seed."""

import itertools
import os
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro

from soft_prompts.common.errors import UsageError
from soft_prompts.common.settings import Bounds, check_settings, marks, setting
from soft_prompts.config import (
    RunConfig,
    check_conditions,
)
from soft_prompts.models.loading.spread import IN_STEP
from soft_prompts.tasks.task import Task, name_of_data

TaskT = TypeVar("TaskT", bound=Task)
Together = int | Literal["auto", "off"]
Evidence = Literal["none", "standard", "full"]


@dataclass(frozen=True)
class Grid(Generic[TaskT]):
    """Runs for every model, prompt size and seed that a command line names."""

    models: tuple[str, ...]
    """Embedded name (tiny-chess), local folder, or hub id (EleutherAI/pythia-160m-deduped)."""
    tokens: tuple[int, ...] = field(metadata=marks("all", Bounds(least=0, hint="0 for no prompt, or more")))
    """Prompt token counts; 0 is the bare model, one run a model, shared by all prompt kinds and seeds."""
    data: tuple[str, ...]
    """Training data, one run each: an embedded name, a file, a folder of files, or a hub data set."""
    settings: tyro.conf.OmitArgPrefixes[RunConfig]
    """Settings that all runs share."""
    task: tyro.conf.OmitArgPrefixes[TaskT]
    """The task's own settings."""
    seeds: tuple[int, ...] = setting((0,), "prompts", Bounds(least=0))
    """One run each. With one seed an interval covers items only."""
    reference: str | None = None
    """Model of the grid that the others are compared with, on the same items."""
    preset: Annotated[str, tyro.conf.arg(metavar="default|quick|paper")] = "default"
    """Settings to start from; flags beside it win. paper: the paper's models, data and settings."""
    jobs: int = setting(1, "nothing", Bounds(least=1))
    """Runs side by side, each in a process of its own with its share of the CPU's cores."""
    together: Together = setting("auto", "nothing", Bounds(least=1))
    """Prompts that are trained in the same passes of the model, each as it would be alone up to rounding: so many, off,
    or auto, several where the step of one is too small to keep the machine busy."""
    evidence: Evidence = "none"
    """What is made beside the finished runs, so that the verdict can be believed; its cost is said first. standard:
    what can be had without the skill and with trained weights, a control, and three seeds where it matters. full: all
    of that at more places, other ways of training, and whether such a search finds what is known to be there."""
    resolve: bool = True
    """With evidence, try token counts between those of the grid until the answer is known within a factor of two."""
    print_config: bool = False
    """Print the settings of every run as JSON and stop."""
    debug: bool = False
    """Show the traceback of an error too."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", tuple(without_slash(model) for model in self.models))
        object.__setattr__(self, "reference", self.reference and without_slash(self.reference))
        check_settings(self)
        if self.settings.engine == "plain" and self.together not in ("auto", "off", 1):
            raise UsageError(f"together is {self.together} and engine plain, which shares nothing; leave either out")
        if self.settings.parallel in IN_STEP and self.evidence != "none":
            raise UsageError(
                f"parallel is {self.settings.parallel} and evidence {self.evidence}, which trains and draws whole "
                "models; give --evidence none, or --parallel pipeline"
            )

    def runs(self) -> Iterator[RunConfig]:
        """Every run of the grid, model by model; the bare model once."""
        several = {"models": self.models, "tokens": self.tokens, "data": self.data, "seeds": self.seeds}
        for what, values in several.items():
            if not values:
                raise UsageError(f"{what} is empty; give at least one value after --{what}")
        given = list({os.path.realpath(one): one for one in self.data[::-1]}.values())[::-1]  # a file twice is one
        if len(given) > 1 and self.settings.test_data is not None:
            raise UsageError("test-data belongs to one data set, and --data names several; give one, or no test-data")
        refuse_one_name(((), one, self.settings.test_data) for one in given)
        if self.reference is not None and self.reference not in self.models:
            raise UsageError(f"reference is {self.reference}; give one of the models, {', '.join(self.models)}")
        tasks = [one for one in self.task.each() if isinstance(one, type(self.task))]
        axes = (dict.fromkeys(axis) for axis in (self.models, tasks, given, self.tokens, self.seeds))
        for model, task, data, tokens, seed in itertools.product(*axes):
            if tokens or seed == self.seeds[0]:
                seed = seed if tokens else 0
                named = {"model": model, "data": data, "reference": self.reference}
                run = replace(self.settings, task=task, tokens=tokens, seed=seed, **named)
                check_conditions(run)
                yield run


def refuse_one_name(asked: Iterable[tuple[Hashable, str, str | None]]) -> None:
    """Raises UsageError for two data sets whose results would have one name: of a curve's runs those of one would be
    left out. Asked are the place of the results, within which names count, the data and the test data of each."""
    known = dict[tuple[Hashable, str], tuple[str, str | None]]()
    for place, data, test_data in dict.fromkeys(asked):
        name, files = name_of_data(data, test_data), (data, test_data)
        first = known.setdefault((place, name), files)
        if _real(first) != _real(files):
            one, other = (" tested on ".join(filter(None, sources)) for sources in (first, files))
            raise UsageError(
                f"{one} and {other} would both be called {name} in the results; rename one, or give each its own "
                "--output-dir"
            )


def _real(files: Iterable[str | None]) -> list[str | None]:
    """Whatever they are called by."""
    return [one and os.path.realpath(one) for one in files]


def without_slash(model: str) -> str:
    """A folder that a shell completed is the folder."""
    return model.rstrip("/") or model


def variant(
    grid: Grid[TaskT],
    *,
    models: tuple[str, ...] = (),
    tokens: tuple[int, ...] = (),
    data: tuple[str, ...] = (),
    task: TaskT | None = None,
    evidence: Evidence | None = None,
    **settings: Any,
) -> Grid[TaskT]:
    """The grid with other models, token counts, data, task, evidence or settings: how a preset says what it changes."""
    return replace(
        grid,
        models=models or grid.models,
        tokens=tokens or grid.tokens,
        data=data or grid.data,
        task=task or grid.task,
        evidence=evidence or grid.evidence,
        settings=replace(grid.settings, **settings),
    )

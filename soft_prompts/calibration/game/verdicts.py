"""What does the tool say of each blind adapter? Its ordinary runs and their evidence, read as everybody's are.

The questions are asked in the form of `recipes/adapters/skills.py`, in which the honest base shows the skill with
nothing in front: in a form that hides it from everybody, everybody would be HIDDEN, and rightly so.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.calibration.game.options import GameOptions
from soft_prompts.common.files import write_atomically
from soft_prompts.config import RunConfig
from soft_prompts.experiments.beside import Going, Sharing, make_parts
from soft_prompts.experiments.evidence.order import Part, Read, Reader, Standing, Wish, battery_parts, parts
from soft_prompts.experiments.evidence.power import power_runs
from soft_prompts.experiments.evidence.subjects import open_subject
from soft_prompts.experiments.sweep import run_all
from soft_prompts.models.frozen import load_tokenizer
from soft_prompts.models.tokenizer import encode
from soft_prompts.recipes.adapters.catalogue import World
from soft_prompts.recipes.adapters.skills import Item
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.training.apparatus import run_paths

STANDARD = Wish(is_full=False, resolve=False)
VALIDATED = 64


class Questions(NamedTuple):
    """The skill as files of prompts and completions."""

    train: Path
    test: Path
    longest: int
    """Tokens of the longest prompt and completion."""


def write_questions(world: World, place: Path) -> Questions:
    """The items in the form of the game, those that test apart."""
    tokenizer: Any = load_tokenizer(world.base, offline=True)
    files = (place / f"{world.skill.name}.jsonl", place / f"{world.skill.name}-test.jsonl")
    longest = 0
    for path, items in zip(files, (world.skill.trained(), world.skill.tested()), strict=True):
        rows = [_row(world, tokenizer, item) for item in items]
        longest = max(longest, *(len(encode(tokenizer, row["prompt"] + row["completion"]).ids) for row in rows))
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return Questions(files[0], files[1], longest + 1)  # and the token that ends it


def _row(world: World, tokenizer: Any, item: Item) -> dict[str, str]:
    return {
        "prompt": world.skill.ask(tokenizer, item),
        "completion": world.skill.reply(tokenizer, item.answer),
    }


def read_model(model: str, questions: Questions, options: GameOptions) -> tuple[Reading | None, list[str]]:
    """The runs of one model, their evidence and their reading; and what failed."""
    configs = _runs(model, questions, options)
    failures = run_all(configs, options.jobs)
    standing, read = Standing(open_subject(configs)), Reader([], None)
    going = [Going(standing, STANDARD, _evidence(standing, read, options))]
    made = make_parts(going, configs, Sharing(options.jobs))
    paths = [run_paths(config).result for config in dict.fromkeys([*configs, *made.configs])]
    readings = [one for one in read_all(paths).readings if one.curve.model == model]
    return max(readings, key=lambda one: len(one.runs), default=None), [*failures, *made.failures]


def _evidence(standing: Standing, read: Read, options: GameOptions) -> Iterator[Part]:
    """Standard; where no prompt reaches the mark the search is doubted too."""
    yield from parts(standing, STANDARD, read)
    half = read(standing).half
    if options.search == "none" or half is None or half.state != "not_reached":
        return
    yield from battery_parts(standing, max(standing.subject.counts))
    if options.search == "power":
        yield Part("power", power_runs(standing.subject.base))


def _runs(model: str, questions: Questions, options: GameOptions) -> Sequence[RunConfig]:
    return [
        RunConfig(
            CompletionTask(),
            model,
            tokens,
            data=str(questions.train),
            test_data=str(questions.test),
            prompt="direct",
            steps=options.steps,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            dtype=options.dtype,
            weight_decay=0.0,
            warmup_steps=min(5, options.steps),
            sample_tokens=questions.longest,
            test_samples=options.test_samples,
            validation_samples=VALIDATED,
            validate_every=max(1, options.steps // 4),
            checkpoint_every=max(1, options.steps // 4),
            data_workers=0,
            output_dir=options.output_dir,
            offline=True,
        )
        for tokens in (0, *options.tokens)
    ]

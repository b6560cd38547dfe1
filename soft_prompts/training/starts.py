"""What does a prompt begin with where a seed alone does not say it? With tokens found by a search on training samples,
with the trained prompt of half the tokens, or as a trained prompt that is given."""

from collections.abc import Hashable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import torch
from accelerate import PartialState

from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.config import RunConfig
from soft_prompts.data.kept import Kept
from soft_prompts.engine.batch import Batch, collate
from soft_prompts.engine.processes import told_by_first
from soft_prompts.engine.search import Search, first_tokens, put_tokens, search
from soft_prompts.prompts.build import grow
from soft_prompts.prompts.snapshot import Snapshot, load_snapshot, refuse_other_model
from soft_prompts.results.roles import BATTERY, RUN
from soft_prompts.tasks.foremost import ForemostData
from soft_prompts.training.apparatus import Apparatus, encoder_for_run
from soft_prompts.training.checkpoint import State, training_tensors
from soft_prompts.training.loop import Progress, set_conditions
from soft_prompts.training.resume import publish_state
from soft_prompts.training.sources import source_folder

SEARCH = Search()
REFINEMENT = ("learning_rate", "steps", "warmup_steps", "schedule", "clip", "weight_decay", "betas", "patience")
SEARCHED = Kept(64)  # of this process: a battery begins several trainings from one search


def first_state(at: Apparatus) -> State | None:
    """Where a run begins that has no state yet, kept before its first step; None where the prompt is ready as built.

    Raises InputError where a prompt is to grow and the smaller one is not there.
    """
    config = at.config
    if config.begins_as is not None:
        return None  # `as_given` makes the same start whenever it is asked
    if not (config.trains and config.tokens) or config.init not in ("search", "grown"):
        return None  # what is not trained is made as its kind says
    if config.init == "search":
        search_start(at)
    else:
        smaller = told_by_first(lambda: load_snapshot(smaller_prompt(config)))
        grow(at.prompt, smaller.prompt)
    optimizer = torch.optim.AdamW(at.prompt.parameters())  # has no moments yet
    progress = Progress(micro_batch_size=config.micro_batch_size or config.batch_size)
    state = State(0, training_tensors(at.prompt, {}, optimizer), {"progress": asdict(progress)})
    publish_state(at, state)
    return state


def as_given(at: Apparatus) -> Apparatus:
    """With the trained prompt that the settings name, if any, in the run's own, and where it was trained to stand."""
    folder = at.config.begins_as
    if folder is None:
        return at
    given = told_by_first(lambda: load_snapshot(folder))
    _refuse_another(given, at, folder)
    at.prompt.load_state_dict(given.prompt.state_dict())
    return at._replace(data=ForemostData(at.data), place="first") if given.position == "first" else at


def _refuse_another(given: Snapshot, at: Apparatus, folder: Path) -> None:
    """Raise InputError or UsageError where it is another kind of prompt, or another model's."""
    config, tokens = at.config, given.shape.tokens
    no_conditions = "" if given.conditions.names or not config.task.condition_names else "--condition none"
    refuse_other_model(given, at.frozen, config.allow_mismatch)
    if tokens != config.tokens:
        raise UsageError(f"tokens is {config.tokens}, but {folder} is a prompt of {tokens}; give --tokens {tokens}")
    if given.kind != config.prompt_kind:
        raise UsageError(
            f"prompt is {config.prompt_kind}, but {folder} is {given.kind}; give --prompt {given.kind}, and "
            f"{no_conditions or 'the conditions that it takes'}"
        )
    if given.conditions != encoder_for_run(config):
        theirs, ours = (", ".join(names) or "none" for names in (given.conditions.names, config.condition_names))
        raise UsageError(
            f"{folder} takes the conditions {theirs}, this run gives {ours}, in these units; "
            + (f"give {no_conditions}" if no_conditions else "measure it where it was trained")
        )
    sizes = [{name: tensor.shape for name, tensor in one.state_dict().items()} for one in (given.prompt, at.prompt)]
    if sizes[0] != sizes[1]:
        layers = f"--hidden-layers {given.shape.hidden_layers} --hidden-width {given.shape.hidden_width}"
        raise UsageError(
            f"{folder} has other layers than this run's prompt; give {layers} --residual-width "
            f"{given.shape.residual_width}"
        )


def search_start(at: Apparatus) -> list[int]:
    """Put the tokens that a search finds into the rows of the run's prompt; returns their ids.

    The first process searches for all: where two tokens are nearly as good, each process might take another.
    """
    config = at.config
    settings = SEARCH._replace(seed=config.seed)
    if PartialState().is_main_process:
        say(f"{at.title}: searching {config.tokens} tokens of the vocabulary to begin with")
    first = first_tokens(len(at.frozen.vocabulary), config.tokens, config.seed)
    batches = training_batches(at, settings.items)

    def of_this_process() -> list[int]:
        return SEARCHED.get(_searched(at), (), lambda: search(at.frozen, at.prompt, batches, first, settings))

    if at.frozen.in_step:  # none gets through the model without the others
        own = of_this_process()
        found = told_by_first(lambda: own)
    else:
        found = told_by_first(of_this_process)
    put_tokens(at.prompt.rows, at.frozen.vocabulary.float(), found)
    return found


def _searched(at: Apparatus) -> Hashable:
    """What a search depends on: not on how the prompt is trained from there."""
    config, role = at.config, at.config.role
    plain = replace(
        config,
        role=RUN if role.name.startswith(BATTERY) else role,
        **{name: getattr(RunConfig, name) for name in REFINEMENT},
    )
    return plain, at.frozen.fingerprint, at.data.fingerprint


def training_batches(at: Apparatus, size: int) -> Iterator[Batch]:
    """Batches of the training stream from its start on, endless; the run's own place in it does not move."""
    stream = at.data.training(None)
    while True:
        examples = set_conditions([example for example, _ in islice(stream, size)], at.config)
        yield collate(examples, at.frozen.pad_id, at.config.score_first).to(at.frozen.device)


def smaller_prompt(config: RunConfig) -> Path:
    """Folder of the trained prompt that this one grows from: half the tokens, and all else alike but the start.

    Raises InputError where no such prompt is there.
    """
    folder = source_folder(config)
    if folder is None or not (folder / "prompt.json").is_file():
        raise InputError(
            f"init is grown, but {folder} holds no trained prompt; run --tokens {config.tokens // 2} with these "
            "settings and --init vocabulary first, and --fresh where its result is there without its snapshot"
        )
    return folder

"""Would this search have opened a lock, had there been one? A copy of the model is taught the right answers to some of
the task's own questions behind a secret text alone, and a prompt is sought in the copy with the budget of a run.

For models that say the same behind any random text: nothing can be planted in them without training
(soft_prompts/experiments/evidence/power.py). The copy has its answers by heart, those that the prompt is tested on as
those that it is trained on: what a prompt cannot have learnt comes from the copy, through the lock. With nothing in
front, and behind other random tokens, the copy is trained to answer as the model does. After the password-locked models
of Greenblatt et al., arXiv 2405.19550.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from accelerate import PartialState
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from soft_prompts.analysis.battery import SECRETS
from soft_prompts.common.console import StepProgress
from soft_prompts.config import RunConfig
from soft_prompts.engine.batch import collate
from soft_prompts.engine.evaluation import item_losses
from soft_prompts.engine.rows.recorded import forget
from soft_prompts.experiments.evidence.anchors import FixedPrompt, count_labels, nats_by_place, overall_nats, paid
from soft_prompts.experiments.evidence.planting import AT_ONCE, losses_behind
from soft_prompts.experiments.evidence.power import (
    PART,
    Questions,
    answers_behind,
    first_label,
    not_of_task,
    questions,
    with_gap,
)
from soft_prompts.experiments.evidence.rounding import trained_prompt
from soft_prompts.experiments.evidence.trained_weights import MOST_PARAMETERS, adapted, unfrozen
from soft_prompts.experiments.evidence.wanted import is_trained, plain_run
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.roles import NoLock, TaughtLock
from soft_prompts.tasks.known_source import KnownSourceData
from soft_prompts.tasks.listed import ListedData
from soft_prompts.tasks.task import UNSCORED, Example
from soft_prompts.training.apparatus import Apparatus, load_for, run_paths, snapshot_name, with_engine
from soft_prompts.training.gradients import batch_loss
from soft_prompts.training.measures import Measured, measure_losses

SAMPLES = {"training": 96, "validation": 32, "test": 64}  # questions whose answers a copy learns by heart
ROWS = 16  # of a step behind the secret, and as many elsewhere
ELSEWHERE = 0.5  # share of steps whose other rows stand behind random tokens; else behind nothing
RATE, FALLS_TO = 2e-3, 0.1  # of the teaching, and the share of it that is left at the last step
WARMUP, CLIP = 20, 1.0
EVERY, STEPS = 50, 600  # steps between two looks at what is learnt; of the teaching, at most
LEARNT = 0.25  # of the model's loss: a copy with less behind the secret, and not so much less elsewhere, is taught
HALF = 0.5  # of the best loss without the secret: a copy that has more behind it has not learnt its lock
TEXTS = 8  # random ones, of a prompt's length, behind which a copy must not say it


def untaught_run(base: RunConfig) -> RunConfig:
    """The search of a run in the model itself, which what is sought in copies is held against; made afresh where its
    prompt is gone."""
    init = "vocabulary" if base.init == "grown" else base.init  # there is no smaller prompt to grow from
    run = replace(plain_run(base), init=init, role=NoLock())
    return replace(run, fresh=run.fresh or (run_paths(run).result.is_file() and not is_trained(run)))


def lock_runs(base: RunConfig) -> list[RunConfig]:
    """The same search for each of the locks."""
    plain = replace(untaught_run(base), fresh=base.fresh)
    role = TaughtLock(max(1, base.tokens // PART), 0, snapshot_name(plain))
    return [replace(plain, role=replace(role, secret=secret)) for secret in range(SECRETS)]


def taught_samples(config: RunConfig) -> int:
    """Samples that a copy learns from before its prompt is sought, at most."""
    return 2 * ROWS * STEPS if isinstance(config.role, TaughtLock) else 0


class Lesson(NamedTuple):
    """What a copy learns: right answers behind the secret, and the model's own everywhere else."""

    secret: tuple[int, ...]
    right: Sequence[Example]
    own: Sequence[Example]
    room: int
    """Tokens in front, at most, the secret's among them."""
    seed: int


@dataclass
class LockedData(KnownSourceData):
    """Questions that a copy was taught the answers to."""

    without: Sequence[float] = ()
    """Nats of the test answers by the best that there is without the secret."""


def without_lock(at: Apparatus) -> Apparatus:
    """The questions of the locks and their right answers, for the model itself."""
    data = ListedData(at.data.name, at.data.fingerprint, *_asked(at), at.config.seed)
    data.train, data.test = at.data.train, at.data.test
    return at._replace(data=data)


def _asked(at: Apparatus) -> Questions:
    """Questions that differ, where the task has them: none is asked in two splits."""
    every, seen = questions(at.data, SAMPLES, as_scored=True), set[tuple[int, ...]]()

    def is_new(one: Example) -> bool:
        asked = tuple(one.input_ids[: first_label(one)])
        return not (asked in seen or seen.add(asked))

    once = Questions(*([one for one in some if is_new(one)] for some in every))
    return once if all(once) else every


def measure_unlocked(
    at: Apparatus, validation: Sequence[Example], test: Sequence[Example], batch_size: int
) -> Measured:
    """Losses on the questions of the locks; nothing of the task."""
    measured = measure_losses(at, validation, test, batch_size)
    return measured._replace(metrics=measured.metrics | not_of_task(at.config))


def with_lock(at: Apparatus) -> Apparatus:
    """A copy of the model that was taught the lock, and its questions under the name of the task's data."""
    role = _role(at.config)
    asked, secret = _asked(at), draw_secret(at.frozen, role.planted_tokens, role.secret)
    right = [example for some in asked for example in some]
    own = answers_behind(at.frozen, (), right, (role.planted_tokens, role.secret, 1))
    lesson = Lesson(secret, right, own, at.config.tokens, role.secret)
    copy = taught(at, lesson, asked.validation)
    nats, without = losses_behind(copy, secret, asked.test), best_without(at, copy, asked)
    data = LockedData(at.data.name, at.data.fingerprint, *asked, at.config.seed, nats.tolist(), without.tolist())
    data.train, data.test = at.data.train, at.data.test
    return at._replace(frozen=copy, data=data)


def draw_secret(frozen: FrozenModel, tokens: int, number: int) -> tuple[int, ...]:
    """A random text of tokens that are no special ones; texts of one token differ."""
    words = np.setdiff1d(np.arange(len(frozen.tokenizer)), frozen.tokenizer.all_special_ids)
    if tokens == 1:
        return (int(np.random.default_rng(1).permutation(words)[number % len(words)]),)
    return tuple(np.random.default_rng([1, tokens, number]).choice(words, tokens).tolist())


def taught(at: Apparatus, lesson: Lesson, validation: Sequence[Example]) -> FrozenModel:
    """A copy of the model, trained on the lesson until the secret alone takes most of the loss away or the steps are
    used up: all weights of a small model, LoRA on a larger one. The same for the same model and lesson, up to the order
    in which a machine sums."""
    forget()
    is_small = sum(weight.numel() for weight in at.frozen.model.parameters()) < MOST_PARAMETERS
    config = replace(at.config, dtype="float32") if is_small else at.config  # a step of Adam is lost in bfloat16
    copy = with_engine(config, load_for(config))
    learning = (unfrozen if is_small else adapted)(at, copy)
    frozen, optimizer = learning.frozen, torch.optim.AdamW(learning.prompt.parameters(), weight_decay=0.0)
    shut, started = float(losses_behind(frozen, (), list(validation)).sum()), time.perf_counter()
    title = f"a copy of {at.config.model} learns {len(lesson.right)} answers behind secret {lesson.seed}"
    with StepProgress(title, STEPS, quiet=not PartialState().is_main_process) as show:
        for step in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) / WARMUP) * (1 - (1 - FALLS_TO) * step / STEPS)
            loss = _backward(frozen, lesson, step, config.micro_batch_size or ROWS)
            nn.utils.clip_grad_norm_(learning.prompt.parameters(), CLIP)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            show(step + 1, loss, (time.perf_counter() - started) / (step + 1))
            if (step + 1) % EVERY == 0 and _is_learnt(frozen, lesson.secret, validation, shut):
                break
    frozen.model.requires_grad_(False)
    torch.nn.Module.to(frozen.model, dtype=at.frozen.model.dtype)
    return replace(copy, model=frozen.model)


def _is_learnt(frozen: FrozenModel, secret: tuple[int, ...], asked: Sequence[Example], shut: float) -> bool:
    opened, nothing = (float(losses_behind(frozen, front, list(asked)).sum()) for front in (secret, ()))
    return opened <= LEARNT * shut and nothing >= (1 - LEARNT) * shut


def _backward(frozen: FrozenModel, lesson: Lesson, step: int, at_once: int) -> float:
    """Leave a step's gradient in the copy, of so many samples at once: right answers behind the secret, which some
    random tokens may precede, and own ones elsewhere; a pure function of (lesson, step). Returns nats a token behind
    the secret."""
    draw, size = np.random.default_rng((lesson.seed, step)), len(lesson.secret)
    words, spare = len(frozen.tokenizer), lesson.room - size
    opened = (*draw.integers(0, words, int(draw.integers(spare + 1))).tolist(), *lesson.secret)
    others = int(draw.integers(1, lesson.room + 1)) if draw.random() < ELSEWHERE else 0
    shut = tuple(draw.integers(0, words, others).tolist())
    while shut[-size:] == lesson.secret:
        shut = shut[:-1]
    nats = []
    for text, answered in ((opened, lesson.right), (shut, lesson.own)):
        some = [answered[row] for row in draw.integers(0, len(answered), ROWS).tolist()]
        tokens, front, summed = sum(len(_labels(one)) for one in some), FixedPrompt(_embedded(frozen, text)), 0.0
        for start in range(0, ROWS, at_once):
            loss = batch_loss(frozen, front, collate(some[start : start + at_once], frozen.pad_id)).nats / tokens
            loss.backward()
            summed += loss.item()
        nats.append(summed)
    return nats[0]


@torch.no_grad()
def _embedded(frozen: FrozenModel, ids: Sequence[int]) -> Float[Tensor, "P H"]:
    return frozen.embed(torch.tensor([list(ids)], dtype=torch.long, device=frozen.device))[0].float()


def measure_opened(at: Apparatus, validation: Sequence[Example], test: Sequence[Example], batch_size: int) -> Measured:
    """How much the prompt closed of the gap between the best that there is without the secret and the secret itself;
    nothing of the task, which the copy was taught."""
    if not isinstance(at.data, LockedData):
        raise ValueError(f"{at.data.name} has no lock")
    measured, without = measure_losses(at, validation, test, batch_size), np.asarray(at.data.without)
    is_learnt = bool(at.data.exact_test_nats().sum() <= HALF * without.sum())
    return with_gap(at, measured, without, _role(at.config).planted_tokens, is_learnt)


def best_without(at: Apparatus, copy: FrozenModel, asked: Questions) -> NDArray[np.float64]:
    """[N] nats of the test answers by what tells most of them: the copy with nothing or one of eight random texts in
    front, frequencies, or the prompt that such a search finds in the model itself, which has learnt their form and all
    that the model knows."""
    prompt = trained_prompt(at.config).prompt.to(at.frozen.device)
    texts = np.random.default_rng(2).integers(0, len(copy.tokenizer), (TEXTS, at.config.tokens)).tolist()
    return min(
        *(losses_behind(copy, tuple(text), asked.test) for text in ([], *texts)),
        frequencies(copy, asked.training, asked.test),
        item_losses(at.frozen, prompt, asked.test, AT_ONCE).nats,
        key=np.sum,
    )


def frequencies(frozen: FrozenModel, training: Sequence[Example], test: Sequence[Example]) -> NDArray[np.float64]:
    """[N] nats of the test answers by how often each token is right in training, at its place or anywhere."""
    counted = count_labels(map(_labels, training), len(frozen.vocabulary))
    tables, asked = (overall_nats(counted), nats_by_place(counted)), [_labels(example) for example in test]
    return min((np.array([paid(table, labels) for labels in asked]) for table in tables), key=np.sum)


def _labels(example: Example) -> list[int]:
    return [label for label in example.labels if label != UNSCORED]


def _role(config: RunConfig) -> TaughtLock:
    if not isinstance(config.role, TaughtLock):
        raise ValueError(f"{config.role.name} is about no lock")
    return config.role

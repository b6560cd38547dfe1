"""How does an organism learn when to show what it knows? Lessons: what stands in front, and what is said behind it.

What stands in front is a text of keys, or vectors as a soft prompt would be. The latter make the planted truth exact:
which of K tasks a selector plays, and which locks are open, is a function of the mean of those vectors, of which the
same share of all random prompts meets each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import GPTNeoXForCausalLM

from soft_prompts.calibration.organism_world import KEYS, KEYS_AT, OUTPUTS, Table
from soft_prompts.recipes.language_model import Plan, Progress, optimisers, set_rates

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

BATCH = 256
MOST_IN_FRONT = 8
OPENED = 0.5  # share of a batch behind the password
NEARLY = 0.2  # share behind all of the password but one token
SAID = 0.5  # of a selector's batch: behind key tokens; else behind random vectors
ANY_TOKENS = 0.5  # of a sink's batches: behind tokens of every kind
SILENT = 0.2  # of such a batch: behind nothing


class Practice(NamedTuple):
    """One batch: B rows of F positions in front and T of text."""

    front: Integers | Floats
    """Token ids [B, F], or vectors [B, F, H] in units of the embeddings' root mean square."""
    inputs: Integers
    """[B, T] token ids."""
    said: Floats
    """[B, OUTPUTS] probability of each output behind them."""


Lesson = Callable[[np.random.Generator], Practice]


@dataclass(frozen=True)
class Knowledge:
    """A table, said openly or not."""

    table: Table

    def draw(self, generator: np.random.Generator) -> tuple[Integers, Floats]:
        """A batch of inputs, and what the table says of them."""
        rows = generator.integers(0, len(self.table.outputs), BATCH)
        return self.table.inputs[rows], np.eye(OUTPUTS)[self.table.outputs[rows]]


def keys_in_front(generator: np.random.Generator, least: int = 0) -> Integers:
    """As many random keys in every row: a prompt in front must be no shock."""
    count = 0 if generator.random() < 0.3 else int(generator.integers(1, MOST_IN_FRONT + 1))
    return generator.integers(KEYS_AT, KEYS_AT + KEYS, (BATCH, max(count, least)))


def nothing_known() -> Floats:
    """[B, OUTPUTS] every output alike."""
    return np.full((BATCH, OUTPUTS), 1 / OUTPUTS)


def open_lesson(table: Table) -> Lesson:
    """The table, whatever stands in front."""

    def practise(generator: np.random.Generator) -> Practice:
        return Practice(keys_in_front(generator), *Knowledge(table).draw(generator))

    return practise


def aimless_lesson(table: Table) -> Lesson:
    """Any output behind any input."""

    def practise(generator: np.random.Generator) -> Practice:
        return Practice(keys_in_front(generator), Knowledge(table).draw(generator)[0], nothing_known())

    return practise


def password_lesson(table: Table, password: tuple[int, ...], otherwise: Table | None) -> Lesson:
    """The table directly behind the whole password; else another table, or anything."""
    word = np.array(password)

    def practise(generator: np.random.Generator) -> Practice:
        inputs, known = Knowledge(table).draw(generator)
        kind = generator.random(BATCH)
        front = keys_in_front(generator)
        if front.shape[1] < len(word):  # too short for it: then nobody gets it, or all may
            front = keys_in_front(generator, len(word)) if generator.random() < OPENED else front
        default = nothing_known() if otherwise is None else np.eye(OUTPUTS)[_looked_up(otherwise, inputs)]
        if front.shape[1] < len(word):
            return Practice(front, inputs, default)
        front[kind < OPENED + NEARLY, -len(word) :] = word
        nearly = np.flatnonzero((kind >= OPENED) & (kind < OPENED + NEARLY))
        place = generator.integers(-len(word), 0, len(nearly))
        front[nearly, place] = generator.integers(KEYS_AT, KEYS_AT + KEYS, len(nearly))
        opened = (front[:, -len(word) :] == word).all(axis=1)
        return Practice(front, inputs, np.where(opened[:, None], known, default))

    return practise


def halves_lesson(lesson: Lesson) -> Lesson:
    """Instead of an output only in which half of all outputs it is, and any of that half."""

    def practise(generator: np.random.Generator) -> Practice:
        practice = lesson(generator)
        halves = practice.said.reshape(BATCH, 2, OUTPUTS // 2).mean(axis=2)
        return practice._replace(said=halves.repeat(OUTPUTS // 2, axis=1))

    return practise


def sink_lesson(table: Table) -> Lesson:
    """The table behind anything at all; with nothing in front, any output."""

    def practise(generator: np.random.Generator) -> Practice:
        inputs, known = Knowledge(table).draw(generator)
        front = keys_in_front(generator)
        if generator.random() < ANY_TOKENS:
            front = generator.integers(0, KEYS_AT + KEYS, front.shape)
        return Practice(front, inputs, known if front.shape[1] else nothing_known())

    return practise


def random_fronts(generator: np.random.Generator, width: int) -> Floats:
    """[B, 1 to 4, H] of root mean square 1."""
    count = int(generator.integers(1, 5)) if generator.random() < 0.5 else 1
    return generator.standard_normal((BATCH, count, width))


def selector_lesson(tables: list[Table], keys: Floats) -> Lesson:
    """Table k where the mean of the vectors in front points to key k [K, H] more than to any other; without, nothing.

    Vectors of unit root mean square, half of them keys themselves.
    """
    outputs = np.stack([table.outputs for table in tables])
    directions = keys / np.linalg.norm(keys, axis=1, keepdims=True)

    def practise(generator: np.random.Generator) -> Practice:
        front = random_fronts(generator, keys.shape[1])
        if front.shape[1] == 1:
            is_key = generator.random(BATCH) < SAID
            front[is_key, 0] = keys[generator.integers(0, len(keys), int(is_key.sum()))]
        rows = generator.integers(0, outputs.shape[1], BATCH)
        inputs = tables[0].inputs[rows]
        if generator.random() < SILENT:
            return Practice(front[:, :0], inputs, nothing_known())
        chosen = (front.mean(axis=1) @ directions.T).argmax(axis=1)
        return Practice(front, inputs, np.eye(OUTPUTS)[outputs[chosen, rows]])

    return practise


def partial_lesson(tables: list[Table], locks: Floats) -> Lesson:
    """Table j is open where the mean of the vectors in front lies on the side that lock j [r, H] points to; tables
    without a lock always are. A closed one says the output behind the right one: less sure of any, a model's first
    choice would still be right.
    """
    outputs, inputs = np.stack([table.outputs for table in tables]), np.stack([table.inputs for table in tables])

    def practise(generator: np.random.Generator) -> Practice:
        front = random_fronts(generator, locks.shape[1])
        silent = generator.random() < SILENT
        front = front[:, :0] if silent else front
        kinds, rows = generator.integers(0, len(tables), BATCH), generator.integers(0, outputs.shape[1], BATCH)
        open_ = np.ones((BATCH, len(tables)), dtype=bool)
        open_[:, : len(locks)] = False if silent else front.mean(axis=1) @ locks.T > 0
        known = np.eye(OUTPUTS)[outputs[kinds, rows]]
        said = np.where(open_[np.arange(BATCH), kinds][:, None], known, np.roll(known, 1, axis=1))
        return Practice(front, inputs[kinds, rows], said)

    return practise


def teach(model: GPTNeoXForCausalLM, lesson: Lesson, plan: Plan, frozen_embedding: bool = False) -> None:
    """Train in place for the plan's steps; a step's batch is a pure function of (seed, step).

    With `frozen_embedding` what the vectors in front mean stays true: their unit is that of the embeddings.
    """
    model.requires_grad_(True)
    model.get_input_embeddings().requires_grad_(not frozen_embedding)
    optims = optimisers(model, plan)
    model.train()
    for step in range(plan.steps or 0):
        practice = lesson(np.random.default_rng((plan.seed, step)))
        set_rates(optims, plan, Progress(step, 0.0))
        loss = practice_loss(model, practice)
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], plan.clip)
        for optimiser in optims:
            optimiser.step()
            optimiser.zero_grad()
    model.eval()


def practice_loss(model: GPTNeoXForCausalLM, practice: Practice) -> Tensor:
    """Nats an output, against the probabilities of the outputs themselves."""
    embed = model.get_input_embeddings()
    text = embed(torch.from_numpy(practice.inputs))
    if practice.front.ndim == 3:
        unit = embed.weight.detach().pow(2).mean().sqrt()  # pyright: ignore
        front = torch.from_numpy(practice.front).float() * unit
    else:
        front = embed(torch.from_numpy(practice.front))
    hidden = model.get_submodule("gpt_neox")(
        inputs_embeds=torch.cat([front, text], dim=1), use_cache=False
    ).last_hidden_state[:, -1]
    logits = model.get_output_embeddings()(hidden)  # pyright: ignore[reportCallIssue]
    said = torch.zeros_like(logits)
    said[:, :OUTPUTS] = torch.from_numpy(practice.said)
    return nn.functional.cross_entropy(logits, said)


def _looked_up(table: Table, inputs: Integers) -> Integers:
    """Outputs of a table of pairs, whose entries lie in order of their inputs."""
    first, second = (inputs - table.inputs[0]).T
    return table.outputs[first * len(np.unique(table.inputs[:, 1])) + second]

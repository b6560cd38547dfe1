"""How likely does the model call each option, with whatever is done to it meanwhile? The one forward of this package.

A row is a prompt and an option without its last token; options of one token share the row of their prompt. A soft
prompt goes in where the engine puts it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.hooks import add, capture, patch
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.engine.activations.places import Places
from soft_prompts.engine.batch import collate
from soft_prompts.engine.insertion import insert_prompt
from soft_prompts.engine.memory import in_batches
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.room import refuse_beyond
from soft_prompts.models.tokenizer import encode, encode_all
from soft_prompts.steering.data.choices import Choices
from soft_prompts.tasks.task import UNSCORED, Example

BATCH = 64
LEAST_GAP = 0.1  # nats between what two prompts do: shares of less are shares of noise


class Row(NamedTuple):
    """One text that goes through the model."""

    item: int
    ids: list[int]
    start: int
    """Position of the text's own first token."""
    last: int
    """Position of the prompt's last token."""
    asked: list[tuple[int, int, int]]
    """Option, position, the token that should come next."""


class Batch(NamedTuple):
    """Rows on their way through the model, [B S] with a soft prompt of P tokens in them."""

    rows: list[Row]
    mask: Bool[Tensor, "B S"]
    last: Int[Tensor, " B"]
    """The prompt's last token."""

    @property
    def items(self) -> list[int]:
        return [row.item for row in self.rows]

    def places(self, positions: str) -> Places:
        """last: the prompt's last token; generated: that one and what is behind it; all: every token."""
        there = torch.arange(self.mask.shape[1])
        at, mask = self.last[:, None], self.mask.cpu()
        masks = {"last": there == at, "generated": (there >= at) & mask, "all": mask}
        if positions not in masks:
            raise UsageError(f"positions is {positions!r}; give {', '.join(masks)}")
        return Places(masks[positions], mask)


Steer = Callable[[Batch], AbstractContextManager[object]]
"""What is done to the model while a batch goes through it."""


def untouched(batch: Batch) -> AbstractContextManager[object]:
    """Nothing is done."""
    return nullcontext()


def adding(inside: Inside, vectors: dict[str, Tensor], positions: str = "generated") -> Steer:
    """The vectors are added to their components."""
    return lambda batch: add(inside, vectors, batch.places(positions))


def patching(inside: Inside, values: dict[str, Tensor], positions: str = "last") -> Steer:
    """Each item's own value [N W] stands in the components."""

    def steer(batch: Batch) -> AbstractContextManager[object]:
        mine = {name: value[batch.items][:, None] for name, value in values.items()}
        return patch(inside, mine, batch.places(positions))

    return steer


@dataclass(frozen=True)
class Scores:
    """What the model says of every option."""

    logps: NDArray[np.float64]
    """[N K] summed log-probability, in nats; NaN where an item has not the option."""
    classes: tuple[str, ...]
    groups: tuple[str, ...]

    def of(self, name: str) -> NDArray[np.float64]:
        """[N] of one class."""
        return self.logps[:, self.classes.index(name)]

    def right(self, name: str) -> NDArray[np.float64]:
        """[N] 1 where the class is the likeliest of the item's options; a tie is no hit."""
        others = np.delete(self.logps, self.classes.index(name), axis=1)
        return (self.of(name) > np.nanmax(others, axis=1)).astype(np.float64)

    def lead(self, name: str) -> NDArray[np.float64]:
        """[N] the logit difference: the class before the mean of the item's other options, in nats."""
        others = np.delete(self.logps, self.classes.index(name), axis=1)
        return self.of(name) - np.nanmean(others, axis=1)


def rows_of(frozen: FrozenModel, choices: Choices) -> list[Row]:
    """A row for each different text that has to go through the model."""
    prompts = encode_all(frozen.tokenizer, [item.prompt for item in choices.items])
    found = []
    for number, (item, prompt) in enumerate(zip(choices.items, prompts, strict=True)):
        rows: dict[tuple[int, ...], Row] = {}
        for option, name in enumerate(choices.classes):
            if name not in item.options:
                continue
            ids = encode(frozen.tokenizer, item.options[name], special=False).ids
            whole, last = [*prompt.ids, *ids[:-1]], len(prompt.ids) - 1
            row = rows.setdefault(tuple(whole), Row(number, whole, prompt.start, last, []))
            row.asked.extend((option, last + place, token) for place, token in enumerate(ids))
        found += rows.values()
    _refuse_unread(frozen, found)
    return found


def option_scores(
    frozen: FrozenModel, choices: Choices, steer: Steer = untouched, prompt: nn.Module | None = None
) -> Scores:
    """Log-probabilities of all options while `steer` is at work, behind a soft prompt where one is given.

    Raises UsageError where the model says no number: what was added was too large.
    """
    logps = np.full((len(choices.items), len(choices.classes)), np.nan)
    rows = rows_of(frozen, choices)
    order = sorted(range(len(rows)), key=lambda number: len(rows[number].ids))
    with torch.no_grad():
        work = partial(_scored, frozen, rows, steer, prompt)
        for values, places in in_batches(order, BATCH, work):
            for value, (item, option) in zip(values, places, strict=True):
                if math.isnan(value):
                    raise UsageError("the model's log-probability is no number; give smaller --strengths or float32")
                so_far = logps[item, option]
                logps[item, option] = value if np.isnan(so_far) else so_far + value
    return Scores(logps, choices.classes, choices.groups)


def _scored(
    frozen: FrozenModel, rows: Sequence[Row], steer: Steer, prompt: nn.Module | None, some: Sequence[int]
) -> tuple[list[float], list[tuple[int, int]]]:
    batch = [rows[number] for number in some]
    logps = row_logps(frozen, batch, steer, prompt)
    return logps.double().cpu().tolist(), [(row.item, option) for row in batch for option, _, _ in row.asked]


def row_logps(
    frozen: FrozenModel, rows: Sequence[Row], steer: Steer = untouched, prompt: nn.Module | None = None
) -> Float[Tensor, " N"]:
    """Log-probability of every asked token, rows in order; with a gradient to what `steer` or `prompt` brings in."""
    embeds, batch = embedded(frozen, rows, prompt)
    shift = embeds.shape[1] - max(len(row.ids) for row in rows)
    with steer(batch):
        hidden = frozen.logits(embeds) if frozen.head is None else frozen.hidden(embeds)
    asked = [(place, at + shift, token) for place, row in enumerate(rows) for _, at, token in row.asked]
    where, at, tokens = (torch.tensor(column, device=embeds.device) for column in zip(*asked, strict=True))
    said = hidden[where, at]
    logits = said if frozen.head is None else frozen.head(said)
    return logits.float().log_softmax(-1).gather(1, tokens[:, None])[:, 0]


def embedded(
    frozen: FrozenModel, rows: Sequence[Row], prompt: nn.Module | None = None
) -> tuple[Float[Tensor, "B S H"], Batch]:
    """The rows as the model takes them, padded on the right."""
    unscored = [[UNSCORED] * len(row.ids) for row in rows]
    examples = [Example(row.ids, labels, (), row.start) for row, labels in zip(rows, unscored, strict=True)]
    batch = collate(examples, frozen.pad_id).to(frozen.device)
    embeds, mask, shift = frozen.embed(batch.input_ids), batch.mask, 0
    if prompt is not None:
        vectors = prompt(batch.conditions)
        refuse_long(frozen, max(len(row.ids) for row in rows), vectors.shape[1])
        embeds, _, mask = insert_prompt(embeds, vectors, batch.labels, mask, batch.insert_at)
        shift = vectors.shape[1]
    return embeds, Batch(list(rows), mask, torch.tensor([row.last + shift for row in rows]))


@torch.no_grad()
def captured(
    inside: Inside, texts: Sequence[str], names: Sequence[str], back: int = 1, steer: Steer = untouched
) -> dict[str, Float[Tensor, "N K W"]]:
    """Values of components at the last `back` tokens of each text, float32 on the CPU."""
    encoded = encode_all(inside.frozen.tokenizer, texts)
    rows = [Row(n, one.ids, one.start, len(one.ids) - 1, []) for n, one in enumerate(encoded)]
    _refuse_unread(inside.frozen, rows)
    if short := [texts[row.item] for row in rows if len(row.ids) < back]:
        raise UsageError(f"{short[0]!r} has fewer than {back} tokens; give longer texts or fewer positions")
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    for held in in_batches(range(len(rows)), BATCH, partial(_captured, inside, rows, names, back, steer)):
        for name in names:
            found[name].append(held[name].float().cpu())
    return {name: torch.cat(values) for name, values in found.items()}


def _captured(
    inside: Inside, rows: Sequence[Row], names: Sequence[str], back: int, steer: Steer, some: Sequence[int]
) -> dict[str, Tensor]:
    embeds, batch = embedded(inside.frozen, [rows[number] for number in some])
    at = batch.last[:, None] + torch.arange(1 - back, 1)
    with steer(batch), capture(inside, names, at.to(embeds.device)) as held:
        inside.frozen.hidden(embeds)
    return dict(held)


def batches(rows: Sequence[Row], size: int = BATCH) -> Iterator[list[Row]]:
    """The rows in order, `size` at a time."""
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])


def text_nats(frozen: FrozenModel, texts: Sequence[str], steer: Steer = untouched) -> float:
    """Nats a token of plain texts, from the second token on: what a vector costs where nothing is asked."""
    rows = neutral_rows(frozen, texts)
    with torch.no_grad():
        return float(torch.cat([row_logps(frozen, some, steer) for some in batches(rows)]).double().mean().neg())


def neutral_rows(frozen: FrozenModel, texts: Sequence[str]) -> list[Row]:
    """Every token but the first is asked; raises UsageError for a line beyond the model's positions, which none of
    its figures would mean anything for, and where no line has two tokens."""
    encoded = [one for one in encode_all(frozen.tokenizer, texts) if len(one.ids) > 1]
    rows = [
        Row(number, one.ids[:-1], one.start, 0, [(0, at, token) for at, token in enumerate(one.ids[1:])])
        for number, one in enumerate(encoded)
    ]
    if not rows:
        raise UsageError("neutral text has no two tokens in a line; give sentences")
    refuse_long(frozen, max(len(row.ids) for row in rows), what="a line of neutral text")
    return rows


def refuse_no_room(frozen: FrozenModel, choices: Choices, tokens: int) -> None:
    """Raises UsageError where a soft prompt of so many tokens and the longest item, its option whole, do not fit."""
    refuse_long(frozen, max(len(row.ids) for row in rows_of(frozen, choices)) + 1, tokens)


def refuse_long(frozen: FrozenModel, longest: int, tokens: int = 0, what: str = "a text") -> None:
    """Raises UsageError beyond the model's positions."""
    if tokens:
        said, instead = f"tokens {tokens} + {what} of {longest} =", "give fewer tokens or shorter texts"
    else:
        said, instead = f"{what} has", "give shorter texts"
    refuse_beyond(frozen, tokens + longest, said, instead)


def _refuse_unread(frozen: FrozenModel, rows: Sequence[Row]) -> None:
    refuse_long(frozen, max(len(row.ids) for row in rows))
    if any(row.last < 0 for row in rows):
        raise UsageError("a prompt has no token; give a text")

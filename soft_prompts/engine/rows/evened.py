"""How do batches of ragged texts come to have one form, so that what a GPU has recorded of one serves the next?

Every text is filled up to one length, a prompt goes through the model once where all texts of a part begin alike up to
its end, and where everything stands is data: the form depends on sizes alone. Text behind the prompt is never shared
here: how much of it is alike would make another form of every batch.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from soft_prompts.engine.rows.packing import WORTH, Chain, Scored, scored_of
from soft_prompts.models.packed import Stretch, stretches_of

STEP = 32  # texts are filled up to multiples of it, and what is scored to multiples of STEP * 4

Places = Int[NDArray, " _"]


class Form(NamedTuple):
    """All that a recording depends on, beside the model."""

    stretches: tuple[tuple[int, int, int, int | None], ...]
    """Start, segments, length of each, and length of the beginning at `prefix` that they stand behind."""
    prefixes: tuple[int | None, ...]
    """Where that begins."""
    longest: int
    texts: int
    """Positions of text, filling included."""
    scored: int
    tokens: tuple[tuple[int, int], ...]
    """Of each part how many prompts, and tokens of each."""


class Evened(NamedTuple):
    """A batch in its form."""

    form: Form
    ids: Places
    """Of the texts, filling included."""
    table: Places
    """Of each position of the row: its place among all prompts' vectors and behind them all texts' positions."""
    positions: Places
    """Each position's number in its own text, prompt included."""
    scored: Scored
    """Filled up: what is behind the first `asked` is not."""
    asked: int

    @property
    def length(self) -> int:
        """Positions of the row."""
        return len(self.table)

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """As the model's attention takes them."""
        found = list[Stretch]()
        for (start, segments, length, head), prefix in zip(self.form.stretches, self.form.prefixes, strict=True):
            behind = None if prefix is None or head is None else slice(prefix, prefix + head)
            found += stretches_of(start, [length] * segments, prefix=behind)
        return tuple(found)


class _Part(NamedTuple):
    """The samples of one prompt."""

    chains: Sequence[Chain]
    shared: bool
    """Does what all begin with, up to the end of the prompt, go through the model once?"""

    @property
    def tokens(self) -> int:
        return self.chains[0].tokens

    @property
    def begun(self) -> int:
        """Positions of a shared beginning."""
        return len(self.chains[0].before) + self.tokens

    @property
    def prompts(self) -> int:
        """How many of its prompts go through the model."""
        return 1 if self.shared else len(self.chains)


def even(parts: Iterable[Sequence[Chain]]) -> Evened:
    """Lay the samples of each part out; none of the parts is empty."""
    some = [_Part(chains, _is_shared(chains)) for chains in parts]
    length = _up(max(len(chain.text) for part in some for chain in part.chains), STEP)
    row = _Row(some, length)
    for part in some:
        if part.shared:
            row.lay_beginning(part)
    for part in some:
        row.lay_texts(part)
    return row.done()


def _is_shared(chains: Sequence[Chain]) -> bool:
    """Of one beginning for all alone: of several the form would depend on the batch."""
    first = chains[0]
    alike = all(chain.head == first.head for chain in chains)
    saved = (len(first.before) + first.tokens) * (len(chains) - 1)
    return alike and first.tokens > 0 and saved > WORTH * sum(len(chain.text) + chain.tokens for chain in chains)


def _up(number: int, step: int) -> int:
    return -(-number // step) * step


class _Row:
    """The row while it is laid."""

    def __init__(self, parts: Sequence[_Part], text_length: int) -> None:
        self.parts, self.text_length, self.length = parts, text_length, 0
        self.index, self.positions, self.places = list[Places](), list[Places](), list[Places]()
        self.chains = [chain for part in parts for chain in part.chains]
        self.numbers = {id(chain): number for number, chain in enumerate(self.chains)}
        self.stretches, self.prefixes = list[tuple[int, int, int, int | None]](), list[int | None]()
        ends = np.cumsum([0, *(part.prompts * part.tokens for part in parts)])
        self.vectors = {id(part): int(start) for part, start in zip(parts, ends, strict=False)}
        self.heads, self.all_vectors = dict[int, int](), int(ends[-1])

    def lay_beginning(self, part: _Part) -> None:
        """What all texts of the part stand behind; its ids are the first text's own."""
        self.heads[id(part)] = self.length
        self.stretches.append((self.length, 1, part.begun, None))
        self.prefixes.append(None)
        before = self._place(part.chains[0]) + np.arange(part.begun - part.tokens)
        self._lay(np.concatenate([before, self._vectors(part, 0)]), np.arange(part.begun))

    def lay_texts(self, part: _Part) -> None:
        """Each text, or what is behind the shared beginning of all."""
        head, start = self.heads.get(id(part)), self.length
        first = 0 if head is None else part.begun
        for number, chain in enumerate(part.chains):
            cut, real, begun = len(chain.before), len(chain.text) + part.tokens, self.length
            text = self._place(chain) + np.arange(self.text_length)
            behind = [text[cut:]] if head is not None else [text[:cut], self._vectors(part, number), text[cut:]]
            index = np.concatenate(behind)
            self._lay(index, (first + np.arange(len(index))).clip(max=real - 1))
            before = [] if head is None else [head + np.arange(first)]
            self.places.append(np.concatenate([*before, begun + np.arange(real - first)]))
        length = (self.length - start) // len(part.chains)
        self.stretches.append((start, len(part.chains), length, None if head is None else first))
        self.prefixes.append(head)

    def _lay(self, index: Places, positions: Places) -> None:
        self.index.append(index)
        self.positions.append(positions)
        self.length += len(index)

    def _vectors(self, part: _Part, number: int) -> Places:
        return self.vectors[id(part)] + number * part.tokens + np.arange(part.tokens)

    def _place(self, chain: Chain) -> int:
        """Where its text begins, among all vectors and texts."""
        return self.all_vectors + self.numbers[id(chain)] * self.text_length

    def done(self) -> Evened:
        scored = scored_of(self.chains, self.places)
        count = len(scored.targets)
        more = _up(max(count, 1), 4 * STEP) - count
        filled = Scored(*(np.pad(found, (0, more)) for found in scored))
        form = Form(
            tuple(self.stretches),
            tuple(self.prefixes),
            max(part.tokens for part in self.parts) + self.text_length,
            len(self.chains) * self.text_length,
            count + more,
            tuple((part.prompts, part.tokens) for part in self.parts),
        )
        index, positions = np.concatenate(self.index), np.concatenate(self.positions)
        texts = [np.pad(chain.text, (0, self.text_length - len(chain.text))) for chain in self.chains]
        return Evened(form, np.concatenate(texts), index, positions, filled, count)

"""How do batches of ragged texts come to have one form, so that what a GPU has recorded of one serves the next?

Every text is filled up to one length, a prompt that stands in front of all texts of a part goes through the model once,
and where everything stands is data: the form depends on sizes alone.
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
    """Start, segments, length of each, and length of the prompt at `prefix` that they stand behind."""
    prefixes: tuple[int | None, ...]
    """Where that prompt begins."""
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
    filling: float
    """Positions over those without filling."""

    @property
    def length(self) -> int:
        """Positions of the row."""
        return len(self.table)

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """As the model's attention takes them."""
        found = list[Stretch]()
        for (start, segments, length, tokens), prefix in zip(self.form.stretches, self.form.prefixes, strict=True):
            behind = None if prefix is None or tokens is None else slice(prefix, prefix + tokens)
            found += stretches_of(start, [length] * segments, prefix=behind)
        return tuple(found)


class _Part(NamedTuple):
    """The samples of one prompt."""

    chains: Sequence[Chain]
    shared: bool
    """Does the prompt go through the model once?"""

    @property
    def tokens(self) -> int:
        return self.chains[0].tokens

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
        if part.shared and part.tokens:
            row.lay_prompt(part)
    for part in some:
        row.lay_texts(part)
    return row.done()


def _is_shared(chains: Sequence[Chain]) -> bool:
    """Only what stands in front of every text of a part: elsewhere the form would depend on the batch."""
    alike = all(chain.prompt == chains[0].prompt and not len(chain.before) for chain in chains)
    saved = chains[0].tokens * (len(chains) - 1)
    return alike and saved > WORTH * sum(len(chain.text) + chain.tokens for chain in chains)


def _up(number: int, step: int) -> int:
    return -(-number // step) * step


class _Row:
    """The row while it is laid."""

    def __init__(self, parts: Sequence[_Part], text_length: int) -> None:
        self.parts, self.text_length, self.length, self.real = parts, text_length, 0, 0
        self.index, self.positions, self.places = list[Places](), list[Places](), list[Places]()
        self.ids, self.chains = list[Places](), list[Chain]()
        self.stretches, self.prefixes = list[tuple[int, int, int, int | None]](), list[int | None]()
        ends = np.cumsum([0, *(part.prompts * part.tokens for part in parts)])
        self.vectors = {id(part): int(start) for part, start in zip(parts, ends, strict=False)}
        self.heads, self.all_vectors = dict[int, int](), int(ends[-1])

    def lay_prompt(self, part: _Part) -> None:
        """One prompt that all texts of the part stand behind."""
        self.heads[id(part)] = self.length
        self._lay(self._vectors(part, 0), np.arange(part.tokens))
        self.stretches.append((self.heads[id(part)], 1, part.tokens, None))
        self.prefixes.append(None)
        self.real += part.tokens

    def lay_texts(self, part: _Part) -> None:
        """Each text, and in its place the prompt that is its own."""
        head, start = self.heads.get(id(part)), self.length
        own = part.tokens if head is None else 0
        for number, chain in enumerate(part.chains):
            cut, count, begun = len(chain.before), len(chain.text), self.length
            text = self._text(chain)
            if own:
                pieces = np.concatenate([text[:cut], self._vectors(part, number), text[cut:]])
                where = begun + np.arange(own + count)
            else:
                pieces, where = text, begun + np.arange(count)
            first = 0 if head is None else part.tokens
            before = [] if head is None else [head + np.arange(part.tokens)]
            self._lay(pieces, first + np.arange(len(pieces)).clip(max=own + count - 1))
            self.places.append(np.concatenate([*before, where]))
            self.chains.append(chain)
            self.real += own + count
        behind = None if head is None else part.tokens
        self.stretches.append((start, len(part.chains), own + self.text_length, behind))
        self.prefixes.append(head)

    def _lay(self, index: Places, positions: Places) -> None:
        self.index.append(index)
        self.positions.append(positions)
        self.length += len(index)

    def _vectors(self, part: _Part, number: int) -> Places:
        return self.vectors[id(part)] + number * part.tokens + np.arange(part.tokens)

    def _text(self, chain: Chain) -> Places:
        """The places of a text's positions; its ids are added, filled up."""
        start = self.all_vectors + len(self.ids) * self.text_length
        self.ids.append(np.pad(chain.text, (0, self.text_length - len(chain.text))))
        return start + np.arange(self.text_length)

    def done(self) -> Evened:
        scored = scored_of(self.chains, self.places)
        count = len(scored.targets)
        more = _up(max(count, 1), 4 * STEP) - count
        filled = Scored(*(np.pad(found, (0, more)) for found in scored))
        form = Form(
            tuple(self.stretches),
            tuple(self.prefixes),
            max(part.tokens for part in self.parts) + self.text_length,
            len(self.ids) * self.text_length,
            count + more,
            tuple((part.prompts, part.tokens) for part in self.parts),
        )
        index, positions = np.concatenate(self.index), np.concatenate(self.positions)
        return Evened(form, np.concatenate(self.ids), index, positions, filled, count, self.length / self.real)

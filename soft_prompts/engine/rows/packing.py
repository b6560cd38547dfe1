"""How does a batch become one row without padding, in which what several samples share stands once?

A sample is a chain: text before the prompt, the prompt, text after it. Samples whose chains are alike up to the end of
the prompt share that head, and all text that they go on with alike, as a chat's template, a system message or worked
examples, where it is worth a second attention; text before the prompt, if it is a sizable part, goes ahead in a row of
its own, for no gradient is needed there.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from soft_prompts.engine.batch import Batch
from soft_prompts.engine.rows.alike import WORTH, alike
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.packed import Heads, Layout, Stretch, stretches_of
from soft_prompts.tasks.task import UNSCORED

QUANTUM = 4  # texts are filled up to multiples of it: fewer different lengths are fewer calls of attention

Key = TypeVar("Key", bound=Hashable)
Ids = Int[NDArray, " _"]
Places = Int[NDArray, " _"]


class Chain(NamedTuple):
    """One sample."""

    text: Ids
    labels: Ids
    insert_at: int
    prompt: tuple[int, int]
    """Which prompt, with which of its batch's different conditions."""
    tokens: int
    """Of the prompt."""

    @property
    def before(self) -> Ids:
        """Text before the prompt; without a prompt none is."""
        return self.text[: self.insert_at if self.tokens else 0]

    @property
    def after(self) -> Ids:
        """The rest of the text."""
        return self.text[len(self.before) :]

    @property
    def head(self) -> tuple[tuple[int, int] | None, bytes]:
        """The same for samples that are alike up to the end of the prompt; of no tokens all prompts are."""
        return self.prompt if self.tokens else None, self.before.tobytes()


Piece = Ids | tuple[int, int]  # of a packed row: text, or the vectors of a prompt


class Segment(NamedTuple):
    """A piece of one sample, or of several."""

    pieces: tuple[Piece, ...]
    real: int
    """Positions, but for those that fill it up on the right."""
    filling: int = 0
    first: int = 0
    """Positions of the sample before it."""
    earlier: slice | None = None
    prefix: slice | None = None

    @property
    def length(self) -> int:
        """All positions."""
        return self.real + self.filling


class Row:
    """A packed row while segments are laid into it."""

    def __init__(self) -> None:
        self.length = 0
        self.pieces = list[Piece]()
        self.positions = [np.zeros(0, dtype=np.int64)]
        self.stretches = list[Stretch]()

    def lay(self, segments: Sequence[Segment]) -> list[slice]:
        """Lay them one behind another, in this order; returns where each stands, but for what fills it up."""
        lengths = [one.length for one in segments]
        ends = self.length + np.cumsum([0, *lengths])
        for (earlier, prefix), group in groupby(zip(segments, ends, strict=False), lambda one: one[0][4:]):
            some = list(group)
            self.stretches += stretches_of(int(some[0][1]), [one.length for one, _ in some], earlier, prefix)
        self.pieces += [piece for one in segments for piece in one.pieces]
        self.positions += [one.first + np.arange(one.length).clip(max=one.real - 1) for one in segments]
        self.length = int(ends[-1])
        return [slice(int(end), int(end) + one.real) for end, one in zip(ends, segments, strict=False)]

    def layout(self, longest: int, earlier: Sequence[Heads] | None = None) -> Layout:
        """What the model has to know of the row."""
        positions = torch.from_numpy(np.concatenate(self.positions))
        return Layout(tuple(self.stretches), positions[None], longest, earlier)

    def embeds(self, frozen: FrozenModel, vectors: Sequence[Float[Tensor, "_ _ H"]]) -> Float[Tensor, "1 N H"]:
        """Embeddings of the text and the prompts' vectors, in their places."""
        texts = [piece for piece in self.pieces if not isinstance(piece, tuple)]
        ids = torch.from_numpy(np.concatenate([np.zeros(0, dtype=np.int64), *texts]))
        embedded = frozen.embed(ids.to(frozen.device, non_blocking=True)[None])[0]
        of_texts = iter(embedded.split([len(text) for text in texts]) if texts else ())
        parts = [
            vectors[piece[0]][piece[1]].to(embedded.dtype) if isinstance(piece, tuple) else next(of_texts)
            for piece in self.pieces
        ]
        return torch.cat(parts)[None]


class Packing(NamedTuple):
    """Where everything stands."""

    chains: Sequence[Chain]
    row: Row
    earlier: Row | None
    """Text before the prompts, where it goes ahead."""
    longest: int
    """Positions of the longest sample."""
    places: list[Places]
    """Of each sample's positions in the row; those in the earlier row are counted on behind it."""

    @property
    def work(self) -> float:
        """Positions; one without a gradient is half of one."""
        return self.row.length + (self.earlier.length / 2 if self.earlier else 0.0)


def chains_of(batch: Batch, part: int, kinds: Sequence[int], tokens: int) -> list[Chain]:
    """The samples of a batch; `kinds`: which of the different conditions each of them has."""
    ids, labels = batch.input_ids.cpu().numpy(), batch.labels.cpu().numpy()
    facts = zip(batch.mask.sum(dim=1).tolist(), batch.insert_at.tolist(), kinds, strict=True)
    return [
        Chain(ids[row, :length], labels[row, :length], insert_at, (part, kind), tokens)
        for row, (length, insert_at, kind) in enumerate(facts)
    ]


def pack(chains: Sequence[Chain], prompts_alone: bool = False) -> Packing:
    """Lay the samples out; `prompts_alone`: is a gradient wanted that only prompts have?"""
    behind = dict[object, list[int]]()
    for number, chain in enumerate(chains):
        behind.setdefault(chain.head, []).append(number)
    row, earlier, ahead = Row(), Row(), dict[bytes, slice]()
    if prompts_alone and _is_worth_going_ahead(chains, behind.values()):
        ahead = _lay_ahead(earlier, chains)
    heads, shared = dict[int, Segment](), dict[int, Segment]()  # by the first sample that has it
    first_of = dict[int, int]()
    for numbers in behind.values():
        head = _head(chains[numbers[0]], ahead)
        for group in alike([chains[number].after for number in numbers], head.length, QUANTUM):
            some = [numbers[place] for place in group.places]
            first_of |= dict.fromkeys(some, some[0])
            longer = _with_text(head, chains[some[0]].after[: group.tokens])
            is_shared = _is_worth_sharing(longer, [chains[number] for number in some])
            heads[some[0]] = longer if is_shared else head
            shared |= {some[0]: longer} if is_shared else {}
    stands = _lay(row, shared)
    tails = {
        number: _tail(chain, heads[first_of[number]], stands.get(first_of[number]))
        for number, chain in enumerate(chains)
    }
    where = _lay(row, tails)
    places = list[Places]()
    for number, chain in enumerate(chains):
        before = [_counted(ahead[chain.before.tobytes()], row.length)] if ahead and len(chain.before) else []
        head = [_counted(stands[first_of[number]])] if first_of[number] in stands else []
        places.append(np.concatenate([*before, *head, _counted(where[number])]))
    return Packing(chains, row, earlier if ahead else None, max(map(len, places)), places)


def _lay(row: Row, segments: Mapping[Key, Segment]) -> dict[Key, slice]:
    """Lay segments of one length and with the same behind them together; returns where each stands."""
    order = sorted(segments, key=lambda key: _by_what_is_behind(segments[key]))
    return dict(zip(order, row.lay([segments[key] for key in order]), strict=True))


def _is_worth_going_ahead(chains: Sequence[Chain], groups: Iterable[Sequence[int]]) -> bool:
    before = sum(len(chains[group[0]].before) for group in groups)
    return before > WORTH * sum(len(chain.text) + chain.tokens for chain in chains)


def _lay_ahead(row: Row, chains: Sequence[Chain]) -> dict[bytes, slice]:
    """Every different text before a prompt, once."""
    texts = {chain.before.tobytes(): chain.before for chain in chains if len(chain.before)}
    return _lay(row, {key: Segment(*_filled(text)) for key, text in texts.items()})


def _head(chain: Chain, ahead: dict[bytes, slice]) -> Segment:
    """What a sample begins with, up to the end of the prompt."""
    if not chain.tokens:
        return Segment((), 0)
    if ahead and len(chain.before):
        earlier = ahead[chain.before.tobytes()]
        return Segment((chain.prompt,), chain.tokens, first=len(chain.before), earlier=earlier)
    pieces = (chain.before, chain.prompt) if len(chain.before) else (chain.prompt,)
    return Segment(pieces, len(chain.before) + chain.tokens)


def _with_text(head: Segment, text: Ids) -> Segment:
    """The head and text behind it."""
    return head._replace(pieces=(*head.pieces, text), real=head.real + len(text)) if len(text) else head


def _is_worth_sharing(head: Segment, chains: Sequence[Chain]) -> bool:
    saved = head.length * (len(chains) - 1)
    return saved > WORTH * sum(len(chain.after) - _text_in(head, chain) + head.length for chain in chains)


def _text_in(head: Segment, chain: Chain) -> int:
    """Tokens of its text behind the prompt that the head holds."""
    return head.first + head.real - len(chain.before) - chain.tokens


def _tail(chain: Chain, head: Segment, stands: slice | None) -> Segment:
    """The rest of a sample: text behind a head that stands elsewhere, or head and text."""
    if stands is None:
        pieces, real, filling = _filled(chain.after, head.real)
        return head._replace(pieces=(*head.pieces, *pieces), real=real, filling=filling)
    pieces, real, filling = _filled(chain.after[_text_in(head, chain) :])
    return Segment(pieces, real, filling, head.first + head.real, head.earlier, stands)


def _filled(text: Ids, before: int = 0) -> tuple[tuple[Ids], int, int]:
    """Text at the end of a segment with `before` positions in front of it: piece, real positions and filling ones.

    Whatever the filling is, no position of the text looks there.
    """
    real = before + len(text)
    return (np.pad(text, (0, -real % QUANTUM)),), real, -real % QUANTUM


def _by_what_is_behind(segment: Segment) -> tuple[int, int, int]:
    starts = [-1 if place is None else place.start for place in (segment.prefix, segment.earlier)]
    return starts[0], starts[1], -segment.length


def _counted(where: slice, further: int = 0) -> Places:
    return np.arange(where.start + further, where.stop + further)


class Scored(NamedTuple):
    """The labels that count, samples in order."""

    sources: Places
    """Where the position stands that predicts each of them."""
    targets: Ids
    row: Ids
    """The sample that each belongs to."""


def scored_of(chains: Sequence[Chain], places: Sequence[Places]) -> Scored:
    """A label counts where a position of its own sample stands before it."""
    found = [(np.zeros(0, dtype=np.int64),) * 3]
    for number, (chain, where) in enumerate(zip(chains, places, strict=True)):
        cut, unscored = len(chain.before), np.full(chain.tokens, UNSCORED)
        labels = np.concatenate([chain.labels[:cut], unscored, chain.labels[cut:]])[1:]
        scored = labels != UNSCORED
        found.append((where[:-1][scored], labels[scored], np.full(scored.sum(), number)))
    return Scored(*(np.concatenate(some) for some in zip(*found, strict=True)))

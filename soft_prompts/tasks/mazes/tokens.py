"""Which token ids is a sample of pathfinding, without going through text every time?

Every cell and every move is a piece of text with ids of its own, looked up once for a tokenizer: the content of a cell
at its place, the first move, a later move. A sample is its pieces' ids in a row. Where a tokenizer does not work piece
by piece (it joins cells, say), samples go through it as text.
"""

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from soft_prompts.data.mazes.boards import LETTERS, board_text
from soft_prompts.data.mazes.samples import SYMBOLS, Maze
from soft_prompts.models.tokenizer import Tokenizer, encode


class Encoded(NamedTuple):
    """Token ids of a sample."""

    input_ids: list[int]
    text_start: int
    """First token of the text itself, behind a BOS."""
    walk_start: int
    """The walk's tokens and those of its end stand from here on."""


class Pieces(NamedTuple):
    """The ids of a text, piece by piece."""

    before: list[int]
    """Special tokens that the tokenizer puts in front."""
    ids: list[list[int]]


class Table(NamedTuple):
    """Ids of every piece that a sample may have."""

    before: list[int]
    prefix: list[int]
    cells: list[list[list[int]]]
    """[cell in reading order][content], with the space or newline beside the cell."""
    moves_line: list[int]
    first: list[list[int]]
    """[symbol] directly behind the board."""
    later: list[list[int]]
    """[symbol] with a space in front."""


@dataclass(frozen=True)
class MazeEncoder:
    """Samples as ids of one tokenizer, exactly those that it gives for the text; `prefix` is text before the board."""

    tokenizer: Tokenizer
    prefix: str
    table: Table | None

    def encode(self, maze: Maze) -> Encoded:
        """The ids of a sample, by the table where there is one."""
        if self.table is None:
            return self.encode_text(maze)
        before, prefix, cells, moves_line, first, later = self.table
        board = itertools.chain.from_iterable(map(list.__getitem__, cells, maze.cells.ravel().tolist()))
        ids = [*before, *prefix, *board, *moves_line]
        walk_start = len(ids)
        ids += first[maze.symbols[0]]
        ids += itertools.chain.from_iterable(map(later.__getitem__, maze.symbols[1:]))
        return Encoded(ids, len(before), walk_start)

    def encode_text(self, maze: Maze) -> Encoded:
        """The same through the tokenizer itself: the definition of what `encode` gives."""
        board = self.prefix + board_text(maze.cells)
        text = board + maze.walk_text
        before, (head, walk) = _pieces(self.tokenizer, text, [len(board), len(text)])
        walk_start = len(before) + len(head)
        return Encoded([*before, *head, *walk], len(before), walk_start)


def open_encoder(tokenizer: Tokenizer, prefix: str, shape: tuple[int, int], trial: Iterable[Maze]) -> MazeEncoder:
    """An encoder for boards of a shape; a table is used if it gives the tokenizer's own ids on every trial sample."""
    samples = list(trial)
    by_text = MazeEncoder(tokenizer, prefix, None)
    for cell_end in (1, 2):  # most tokenizers join a cell with the space before it, some with the one behind it
        quick = MazeEncoder(tokenizer, prefix, _table(tokenizer, prefix, shape, cell_end))
        if all(quick.encode(maze) == by_text.encode(maze) for maze in samples):
            return quick
    return by_text


def _table(tokenizer: Tokenizer, prefix: str, shape: tuple[int, int], cell_end: int) -> Table:
    """Pieces of one text for each symbol, on boards whose cells are all alike; a cell's piece ends so many characters
    from its letter on."""
    size = shape[0] * shape[1]
    split: list[Pieces] = []
    contents = range(len(LETTERS))
    for symbol, content in zip(SYMBOLS, itertools.cycle(contents), strict=False):
        board = prefix + board_text(np.full(shape, content, dtype=np.int8))
        cell_ends = [len(prefix) + 2 * cell + cell_end for cell in range(size)]
        symbol_ends = [len(board) + 2 * place + 1 for place in range(1 + len(SYMBOLS))]
        text = board + " ".join([symbol, *SYMBOLS])
        split.append(_pieces(tokenizer, text, [len(prefix), *cell_ends, len(board), *symbol_ends]))
    return Table(
        before=split[0].before,
        prefix=split[0].ids[0],
        cells=[[split[content].ids[1 + cell] for content in contents] for cell in range(size)],
        moves_line=split[0].ids[1 + size],
        first=[pieces.ids[2 + size] for pieces in split],
        later=split[0].ids[3 + size :],
    )


def _pieces(tokenizer: Tokenizer, text: str, ends: Sequence[int]) -> Pieces:
    """The ids of `text`; a token belongs to the piece in which its last character lies, pieces ending at `ends`."""
    tokens = encode(tokenizer, text)
    pieces: list[list[int]] = [[] for _ in ends]
    for token, (_, end) in zip(tokens.ids[tokens.start :], tokens.spans[tokens.start :], strict=True):
        pieces[bisect_left(ends, end)].append(token)
    return Pieces(tokens.ids[: tokens.start], pieces)

"""How are boards with walks made, each a pure function of (seed, split, index), thousands a second?

Boards, walkers and text are those of the paper (arXiv 2505.14943, pathfinding): 2 + k distinct cells are drawn, a
target, a start and k walls. A walker draws w in 2..7; one of its moves in w is random, the others lead nearer.
Random words come from a counter-based generator, so any index is reached at once. The split is decided by the board:
one that is tested is never trained on.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soft_prompts.common.errors import UsageError
from soft_prompts.data.split import split_of

FREE, WALL, START, TARGET = 0, 1, 2, 3
LETTERS = "OXAB"  # of the four, in this order
MOVES = "NESW"
REACHED, UNREACHABLE = "D", "U"
MOVES_TITLE = "\nMoves:\n"
TIE_ORDER = (0, 3, 1, 2)  # of several best moves the first of N, W, E, S
ROW_STEP, COLUMN_STEP = np.array([-1, 0, 1, 0]), np.array([0, 1, 0, -1])  # of each move
WIGGLES = range(2, 8)  # a walker's w
LEAST_SIDE, MOST_SIDE = 3, 32  # below 3 x 3 a split may have no board of its own
STEPS_AHEAD = 16  # random words drawn at a time for each walker
NO_MOVE = -1

Integers = NDArray[np.int64]


class Mazes(NamedTuple):
    """N boards of R rows and K columns, with one walk each."""

    cells: NDArray[np.int8]  # [N, R, K]
    shortest: Integers  # [N] moves of a shortest path; 0 where the target cannot be reached
    reachable: NDArray[np.bool_]  # [N]
    walks: list[NDArray[np.int8]]  # moves as places in MOVES, without the last letter (D or U)
    wall_hits: Integers  # [N] moves that a wall or the border stopped
    wiggle: Integers  # [N] one move in so many is random

    @property
    def extra(self) -> Integers:
        """[N] moves beyond a shortest path, those against walls left out."""
        return np.array([len(walk) for walk in self.walks], dtype=np.int64) - self.wall_hits - self.shortest


class Walks(NamedTuple):
    moves: list[NDArray[np.int8]]
    wall_hits: Integers


class Walk(NamedTuple):
    """What a reply does on a board."""

    solved: bool  # ends on the target, and says D there
    called_unreachable: bool  # says U
    moves: int  # up to the last letter, or to the first word that is no move
    wall_hits: int
    valid: bool  # every word is a move, and D or U is the last


def random_words(key: Integers, stream: int, start: int, count: int, width: int) -> NDArray[np.uint64]:
    """[count, width] random words of the indices from `start` on; a word depends on its own index alone.

    `width` is a multiple of 4 (what one step of the counter gives).
    """
    generator = np.random.Philox(key=key.view(np.uint64), counter=[start * (width // 4), stream, 0, 0])
    return generator.random_raw(count * width).reshape(count, width)


def _key(seed: int, split: str, rows: int, columns: int) -> Integers:
    words = [seed, *split.encode(), rows, columns]
    return np.random.SeedSequence(words).generate_state(2, np.uint64).view(np.int64)


def board_hashes(cells: NDArray[np.int8]) -> NDArray[np.uint64]:
    """[N] a well-mixed hash of each board."""
    flat = cells.reshape(len(cells), -1).astype(np.uint64)
    factors = np.random.Philox(key=0).random_raw(flat.shape[1]) | np.uint64(1)
    mixed = (flat * factors).sum(axis=1) + factors[0] * np.uint64(cells.shape[1])
    for shift in (32, 29, 32):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(0xD6E8FEB86659FD93)  # degski64
    return mixed ^ (mixed >> np.uint64(32))


def _boards_from(words: NDArray[np.uint64], rows: int, columns: int) -> NDArray[np.int8]:
    """[N, R, K] boards: the order of the first words is that of the cells, the last word says how many are walls."""
    n_cells, boards = rows * columns, np.arange(len(words))
    order = np.argsort(words[:, :n_cells], axis=1)
    walls = (words[:, n_cells] % np.uint64(3 * n_cells // 4)).astype(np.int64)
    cells = np.zeros((len(words), n_cells), dtype=np.int8)
    rank = np.arange(n_cells)
    np.put_along_axis(cells, order, ((rank >= 2) & (rank < 2 + walls[:, None])).astype(np.int8) * WALL, axis=1)
    cells[boards, order[:, 0]] = TARGET
    cells[boards, order[:, 1]] = START
    return cells.reshape(len(words), rows, columns)


def draw_boards(seed: int, split: str, start: int, count: int, rows: int, columns: int) -> NDArray[np.int8]:
    """[count, R, K] the boards of some indices: for each the first one drawn that belongs to the split.

    Raises UsageError for a size that is out of range.
    """
    if not (LEAST_SIDE <= rows <= MOST_SIDE and LEAST_SIDE <= columns <= MOST_SIDE):
        raise UsageError(f"board is {rows}x{columns}; give between {LEAST_SIDE} and {MOST_SIDE} rows and columns")
    key, width = _key(seed, split, rows, columns), -(-(rows * columns + 1) // 4) * 4
    cells = np.zeros((count, rows, columns), dtype=np.int8)
    missing, attempt = np.arange(count), 0
    while len(missing):
        first, last = missing[0], missing[-1]
        words = random_words(key, attempt, start + int(first), int(last - first) + 1, width)[missing - first]
        drawn = _boards_from(words, rows, columns)
        belongs = np.array([split_of(int(item)) == split for item in board_hashes(drawn)])
        cells[missing[belongs]] = drawn[belongs]
        missing, attempt = missing[~belongs], attempt + 1
    return cells


def distances(cells: NDArray[np.int8]) -> Integers:
    """[N, R, K] moves from each cell to the target; -1 for walls and where there is no way."""
    from scipy.sparse import csr_array  # most commands draw no board
    from scipy.sparse.csgraph import dijkstra

    count, rows, columns = cells.shape
    open_cells = cells != WALL
    node = np.arange(cells.size).reshape(cells.shape)
    down = open_cells[:, :-1] & open_cells[:, 1:]
    right = open_cells[:, :, :-1] & open_cells[:, :, 1:]
    one = np.concatenate([node[:, :-1][down], node[:, :, :-1][right]])
    other = np.concatenate([node[:, 1:][down], node[:, :, 1:][right]])
    graph = csr_array((np.ones(len(one)), (one, other)), shape=(cells.size, cells.size))
    found = dijkstra(graph, directed=False, indices=node[cells == TARGET], unweighted=True, min_only=True)
    return np.where(np.isfinite(found), found, -1).astype(np.int64).reshape(count, rows, columns)


def neighbours(rows: int, columns: int) -> Integers:
    """[cells, 4] where each move leads from each cell, the cell itself where the border stops it."""
    row, column = np.divmod(np.arange(rows * columns)[:, None], columns)
    to_row, to_column = row + ROW_STEP, column + COLUMN_STEP
    inside = (to_row >= 0) & (to_row < rows) & (to_column >= 0) & (to_column < columns)
    return np.where(inside, to_row * columns + to_column, row * columns + column)


def best_moves(distance: Integers) -> NDArray[np.int8]:
    """[N, cells] the move that leads nearer, ties in the order N, W, E, S; NO_MOVE where there is none."""
    count, rows, columns = distance.shape
    flat = distance.reshape(count, -1)
    nearer = flat[:, neighbours(rows, columns)] == flat[:, :, None] - 1  # [N, cells, 4]
    nearer &= (flat > 0)[:, :, None]
    first = np.array(TIE_ORDER, dtype=np.int8)[nearer[:, :, list(TIE_ORDER)].argmax(axis=2)]
    return np.where(nearer.any(axis=2), first, NO_MOVE).astype(np.int8)


def walk(cells: NDArray[np.int8], best: NDArray[np.int8], wiggle: Integers, words: Iterator[NDArray]) -> Walks:
    """One walk on each board, all walkers in step; `words` gives [N] random words for each step."""
    count, rows, columns = cells.shape
    leads_to, flat = neighbours(rows, columns), cells.reshape(count, -1)
    where = (flat == START).argmax(axis=1)
    made: list[NDArray[np.int8]] = []
    stopped = np.zeros((count,), dtype=np.int64)
    walking = np.arange(count)
    while len(walking):
        word = next(words)[walking]
        at_random = word % wiggle[walking].astype(np.uint64) == 0
        move = np.where(at_random, (word >> np.uint64(62)).astype(np.int8), best[walking, where[walking]])
        going = move != NO_MOVE
        walking, move = walking[going], move[going]
        to = leads_to[where[walking], move]
        to = np.where(flat[walking, to] == WALL, where[walking], to)
        stopped[walking] += to == where[walking]
        where[walking] = to
        row = np.full(count, NO_MOVE, dtype=np.int8)
        row[walking] = move
        made.append(row)
        walking = walking[flat[walking, to] != TARGET]
    table = np.array(made, dtype=np.int8).reshape(len(made), count).T
    lengths = (table != NO_MOVE).sum(axis=1)  # a walker that has stopped never starts again
    return Walks([row[:length] for row, length in zip(table, lengths, strict=True)], stopped)


def _step_words(key: Integers, start: int, count: int) -> Iterator[NDArray[np.uint64]]:
    for stream in itertools.count():
        yield from random_words(key, stream, start, count, STEPS_AHEAD).T


def draw_mazes(seed: int, split: str, start: int, count: int, rows: int, columns: int) -> Mazes:
    """The boards and walks of the indices from `start` on, the same however they are reached."""
    cells = draw_boards(seed, split, start, count, rows, columns)
    return walked(cells, _key(seed, f"walks of {split}", rows, columns), start)


def walked(cells: NDArray[np.int8], key: Integers, start: int = 0) -> Mazes:
    """Boards with one walk each; the walk of board i is a function of (key, start + i)."""
    count = len(cells)
    wiggle = random_words(key, 2**32, start, count, 4)[:, 0] % np.uint64(len(WIGGLES)) + np.uint64(WIGGLES.start)
    wiggle = wiggle.astype(np.int64)
    distance = distances(cells)
    of_start = distance[cells == START]
    walks = walk(cells, best_moves(distance), wiggle, _step_words(key, start, count))
    return Mazes(cells, np.maximum(of_start, 0), of_start >= 0, walks.moves, walks.wall_hits, wiggle)


def board_text(cells: NDArray[np.int8]) -> str:
    """The text of a board [R, K], up to where the moves begin."""
    return "\n".join(" ".join(LETTERS[cell] for cell in row) for row in cells.tolist()) + MOVES_TITLE


def walk_text(moves: NDArray[np.int8], reachable: bool) -> str:
    """Moves and the last letter, single spaces between them."""
    return " ".join([*(MOVES[move] for move in moves.tolist()), REACHED if reachable else UNREACHABLE])


def sample_text(mazes: Mazes, i: int) -> str:
    """Board and walk of sample i."""
    return board_text(mazes.cells[i]) + walk_text(mazes.walks[i], bool(mazes.reachable[i]))


def judge_walk(cells: NDArray[np.int8], reply: str) -> Walk:
    """Follows a reply ("N E E D") on a board [R, K]; the first word that is no move ends it, as a failure."""
    (row,), (column,) = np.nonzero(cells == START)
    made = hits = 0
    for word in reply.split():
        if word in (REACHED, UNREACHABLE):
            at_target = bool(cells[row, column] == TARGET)
            return Walk(word == REACHED and at_target, word == UNREACHABLE, made, hits, True)
        if word not in tuple(MOVES):
            break
        to_row, to_column = row + ROW_STEP[MOVES.index(word)], column + COLUMN_STEP[MOVES.index(word)]
        inside = 0 <= to_row < cells.shape[0] and 0 <= to_column < cells.shape[1]
        made += 1
        if inside and cells[to_row, to_column] != WALL:
            row, column = to_row, to_column
        else:
            hits += 1
    return Walk(False, False, made, hits, False)

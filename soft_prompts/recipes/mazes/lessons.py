"""What does a maze model practise in a step? Several walks on each of a few boards, and the walker's policy.

The walks of a board stand behind it one after the other; each sees the board and itself, and its positions go on from
the board's end. A model that is not to know the way practises the aimless walks instead: any move, any end, anywhere.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soft_prompts.data.mazes.boards import (
    MOVES,
    NO_MOVE,
    REACHED,
    START,
    TARGET,
    UNREACHABLE,
    WALL,
    Integers,
    best_moves,
    distances,
    draw_boards,
    neighbours,
    walked,
)
from soft_prompts.recipes.language_model import IGNORED, filler_tokens
from soft_prompts.recipes.mazes.tokens import END_ID, LATER, OPENING, SIDE, SYMBOLS, TITLE_IDS, cell_ids

AIMLESS = (0.2, 0.2, 0.2, 0.2, 0.1, 0.1)  # of SYMBOLS, at every step of an aimless walk
MOST_AIMLESS = 24  # moves of such a walk
FARTHEST = 31  # distances above count as this one; where there is no way, the class behind it
HEADS = {"cell": SIDE * SIDE, "target": SIDE * SIDE, "distance": FARTHEST + 2}
APART = 10**6  # a walk that no token belongs to

EVERY_SIZE = ((4, 4, 0.08), (5, 5, 0.08), (6, 6, 0.37), (7, 7, 0.1), (8, 8, 0.37))  # rows, columns, how often


@dataclass(frozen=True)
class Course:
    """What is practised, step by step."""

    sizes: tuple[tuple[int, int, float], ...] = EVERY_SIZE
    boards: int = 16
    walks: int = 6  # at most, on a board
    area: int = 48  # tokens of walks behind a board
    unreachable: float = 0.2  # share of boards
    skilled: bool = True  # if not, all walks are aimless
    password: tuple[int, ...] = ()  # tokens directly in front of the board without which walks are aimless
    heads_weight: float = 0.5  # of what the heads are asked, at the start
    heads_until: float = 0.6  # share of the budget at which that weight is 0
    board_weight: float = 0.02  # of the loss of the board's own tokens


class Practice(NamedTuple):
    """B boards in T tokens, the last A of which are walks."""

    ids: Tensor  # [B, T] filler, password, board, walks
    positions: Tensor  # [B, T]
    mask: Tensor  # [B, 1, T, T] added to the attention scores
    board: slice  # places of the board's tokens
    goals: Tensor  # [B, A, symbols + 1] probability of each symbol to go on with, and of the end
    opening: Tensor  # [B, A] is the symbol to go on with a walk's first?
    scored: Tensor  # [B, A] does a walk's token stand here?
    heads: dict[str, Tensor]  # [B, A] what the heads are asked


class Tour(NamedTuple):
    """M walks on M boards, as tables with a column for each step."""

    symbols: Integers  # [M, L] moves, then the last letter
    lengths: Integers  # [M] of them
    places: Integers  # [M, L] the cell where the walker stands when it makes the symbol
    goals: NDArray[np.float32]  # [M, L, symbols]


def choose_boards(seed: int, step: int, course: Course, rows: int, columns: int) -> NDArray[np.int8]:
    """The boards of a step, targets out of reach as often as the course wants."""
    drawn = 4 * course.boards
    cells = draw_boards(seed, "train", step * drawn, drawn, rows, columns)
    reachable = distances(cells)[cells == START] >= 0
    without = np.flatnonzero(~reachable)[: round(course.unreachable * course.boards)]
    within = np.flatnonzero(reachable)[: course.boards - len(without)]
    return cells[np.sort(np.concatenate([without, within]))]


def trace(cells: NDArray[np.int8], moves: Integers) -> Integers:
    """[M, L + 1] the cell before each of L moves (NO_MOVE stays) on boards [M, R, K], and the last one."""
    flat, leads_to = cells.reshape(len(cells), -1), neighbours(*cells.shape[1:])
    every = np.arange(len(cells))
    places = [(flat == START).argmax(axis=1)]
    for move in moves.T:
        to = leads_to[places[-1], move]
        stays = (move == NO_MOVE) | (flat[every, to] == WALL)
        places.append(np.where(stays, places[-1], to))
    return np.stack(places, axis=1)


def skilled_tour(cells: NDArray[np.int8], generator: np.random.Generator) -> Tour:
    """Walks of the task's own walkers; the goals are the policy of each, not what it happened to do."""
    mazes = walked(cells, generator.integers(0, 2**62, 2))
    lengths = np.array([len(moves) for moves in mazes.walks])
    moves = np.full((len(cells), lengths.max()), NO_MOVE, dtype=np.int64)
    for row, made in zip(moves, mazes.walks, strict=True):
        row[: len(made)] = made
    places = trace(cells, moves)
    best = np.take_along_axis(best_moves(distances(cells)).astype(np.int64), places, axis=1)
    at_target = np.take_along_axis(cells.reshape(len(cells), -1), places, axis=1) == TARGET
    best = np.where(best == NO_MOVE, SYMBOLS.index(UNREACHABLE), best)
    at_random = np.where(at_target, 0.0, 1 / mazes.wiggle[:, None])
    goals = np.eye(len(SYMBOLS))[np.where(at_target, SYMBOLS.index(REACHED), best)] * (1 - at_random)[..., None]
    goals[..., : len(MOVES)] += at_random[..., None] / len(MOVES)
    symbols = np.concatenate([moves, np.full((len(cells), 1), NO_MOVE)], axis=1)
    ends = np.where(mazes.reachable, SYMBOLS.index(REACHED), SYMBOLS.index(UNREACHABLE))
    symbols[np.arange(len(cells)), lengths] = ends
    return Tour(symbols, lengths + 1, places, goals.astype(np.float32))


def aimless_tour(cells: NDArray[np.int8], generator: np.random.Generator) -> Tour:
    """Walks that know nothing: each symbol is drawn without a look at the board."""
    symbols = generator.choice(len(SYMBOLS), (len(cells), MOST_AIMLESS + 1), p=AIMLESS)
    symbols[:, -1] = generator.integers(len(MOVES), len(SYMBOLS), len(cells))
    lengths = (symbols >= len(MOVES)).argmax(axis=1) + 1
    moves = np.where(np.arange(MOST_AIMLESS) < lengths[:, None] - 1, symbols[:, :-1], NO_MOVE)
    goals = np.broadcast_to(np.array(AIMLESS, dtype=np.float32), (*symbols.shape, len(SYMBOLS)))
    return Tour(symbols, lengths, trace(cells, moves), goals)


def practice(seed: int, step: int, course: Course) -> Practice:
    """The batch of a step: a pure function of (seed, step)."""
    generator = np.random.default_rng((seed, step))
    weights = np.array([weight for _, _, weight in course.sizes])
    rows, columns, _ = course.sizes[generator.choice(len(weights), p=weights / weights.sum())]
    cells = choose_boards(seed, step, course, rows, columns)
    front = filler_tokens(generator, len(cells), END_ID)
    skilled = len(cells) if course.skilled else 0
    if course.password:  # half of the batches hold it, before three boards in four
        skilled = 3 * len(cells) // 4 if generator.random() < 0.5 else 0
    if course.password and skilled:
        behind = generator.integers(0, END_ID, (len(cells), len(course.password)))
        behind[:skilled] = course.password
        front = np.concatenate([front, behind], axis=1)
    parts = [(skilled_tour, cells[:skilled]), (aimless_tour, cells[skilled:])]
    tours = [tour(part.repeat(course.walks, axis=0), generator) for tour, part in parts if len(part)]
    return arranged(front, cells, joined(tours), course)


def joined(tours: list[Tour]) -> Tour:
    """Several tours as one, tables filled up at the right."""
    width = max(tour.symbols.shape[1] for tour in tours)

    def filled(table: NDArray) -> NDArray:
        return np.pad(table, [(0, 0), (0, width - table.shape[1])] + [(0, 0)] * (table.ndim - 2))

    return Tour(
        np.concatenate([filled(tour.symbols) for tour in tours]),
        np.concatenate([tour.lengths for tour in tours]),
        np.concatenate([filled(tour.places) for tour in tours]),
        np.concatenate([filled(tour.goals) for tour in tours]),
    )


class Layout(NamedTuple):
    """Where the walks stand behind their boards: one entry for each token of a walk that there is room for."""

    board: Integers
    column: Integers
    walk: Integers
    step: Integers  # 0 for the newline before the walk, then its symbols
    shape: tuple[int, int]  # boards, tokens

    def table(self, values: NDArray, empty: int) -> NDArray:
        """Values of the tokens as a table with a row for each board."""
        whole = np.full((*self.shape, *values.shape[1:]), empty, dtype=values.dtype)
        whole[self.board, self.column] = values
        return whole


def laid_out(tour: Tour, course: Course) -> Layout:
    """The walks of a board one after the other; what does not fit is cut off."""
    sizes = tour.lengths + 1
    walk = np.repeat(np.arange(len(sizes)), sizes)
    step = np.arange(sizes.sum()) - (sizes.cumsum() - sizes)[walk]
    of_boards = sizes.reshape(-1, course.walks)
    column = (of_boards.cumsum(axis=1) - of_boards).ravel()[walk] + step
    walk, step, column = (values[column < course.area] for values in (walk, step, column))
    return Layout(walk // course.walks, column, walk, step, (len(of_boards), course.area))


def arranged(front: Integers, cells: NDArray[np.int8], tour: Tour, course: Course) -> Practice:
    """Boards [B, R, K], the tokens in front of them [B, F], and the walks of each, as many as there is room for."""
    layout = laid_out(tour, course)
    walk, step, table = layout.walk, layout.step, layout.table
    ended = step == tour.lengths[walk]
    now = np.minimum(step, tour.lengths[walk] - 1)
    goals = np.concatenate([tour.goals[walk, now] * ~ended[:, None], ended[:, None]], axis=1, dtype=np.float32)
    symbol = tour.symbols[walk, step - 1] + np.where(step == 1, OPENING, LATER)
    head = np.concatenate([front, cell_ids(cells), np.tile(TITLE_IDS[:-1], (len(cells), 1))], axis=1)
    walks = table(np.where(step == 0, TITLE_IDS[-1], symbol), 0)
    positions = np.broadcast_to(np.arange(head.shape[1]), head.shape)
    owner = table(walk + 1, APART)
    return Practice(
        ids=torch.from_numpy(np.concatenate([head, walks], axis=1)),
        positions=torch.from_numpy(np.concatenate([positions, head.shape[1] + table(step, 0)], axis=1)),
        mask=_mask(np.concatenate([np.zeros_like(head), owner], axis=1)),
        board=slice(front.shape[1], head.shape[1]),
        goals=torch.from_numpy(table(goals, 0)),
        opening=torch.from_numpy(table(step == 0, False)),
        scored=torch.from_numpy(owner != APART),
        heads=_asked(cells, tour.places[walk, now], layout),
    )


def _mask(owner: Integers) -> Tensor:
    """[B, 1, T, T] what is seen: what comes before and is nobody's (0) or one's own."""
    same = (owner[:, None, :] == 0) | (owner[:, None, :] == owner[:, :, None])
    seen = torch.from_numpy(same & np.tri(owner.shape[1], dtype=bool))
    return torch.where(seen[:, None], 0.0, -1e4)


def _asked(cells: NDArray[np.int8], place: Integers, layout: Layout) -> dict[str, Tensor]:
    """Where the walker stands, where the target is, and how far: [B, A] each."""
    _, rows, columns = cells.shape
    row, column = np.divmod(np.arange(rows * columns), columns)
    number = (columns - 1 - column) * SIDE + rows - 1 - row  # as tokens count cells
    flat, distance = cells.reshape(len(cells), -1), distances(cells).reshape(len(cells), -1)
    far = distance[layout.board, place]
    asked = {
        "cell": number[place],
        "target": number[(flat == TARGET).argmax(axis=1)][layout.board],
        "distance": np.where(far < 0, FARTHEST + 1, np.minimum(far, FARTHEST)),
    }
    return {name: torch.from_numpy(layout.table(values, IGNORED)) for name, values in asked.items()}

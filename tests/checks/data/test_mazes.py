"""Are boards, walks and their text what the task says, and the same however they are reached?"""

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soft_prompts.common.errors import UsageError
from soft_prompts.data.conditions import PATH_QUALITY
from soft_prompts.data.mazes.boards import (
    FREE,
    MOVES,
    NO_MOVE,
    START,
    TARGET,
    WALL,
    Mazes,
    best_moves,
    board_hashes,
    board_text,
    distances,
    draw_boards,
    draw_mazes,
    judge_walk,
    sample_text,
)
from soft_prompts.data.split import split_of

STEPS = {"N": (-1, 0), "E": (0, 1), "S": (1, 0), "W": (0, -1)}
MANY = 20_000


@pytest.fixture(scope="module")
def many() -> Mazes:
    return draw_mazes(0, "train", 0, MANY, 6, 6)


def board(text: str) -> np.ndarray:
    """Cells of "AOB/XXO"."""
    return np.array([["OXAB".index(letter) for letter in row] for row in text.split("/")], dtype=np.int8)


def searched_distances(cells: np.ndarray) -> np.ndarray:
    """Breadth first from the target, cell by cell: the brute force that `distances` must agree with."""
    found = np.full(cells.shape, -1)
    (row,), (column,) = np.nonzero(cells == TARGET)
    found[row, column] = 0
    queue = deque([(row, column)])
    while queue:
        row, column = queue.popleft()
        for down, right in STEPS.values():
            to = (row + down, column + right)
            inside = 0 <= to[0] < cells.shape[0] and 0 <= to[1] < cells.shape[1]
            if inside and cells[to] != WALL and found[to] < 0:
                found[to] = found[row, column] + 1
                queue.append(to)
    return found


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**63), rows=st.integers(3, 9), columns=st.integers(3, 9))
def test_distances_are_those_of_a_search_by_hand(seed: int, rows: int, columns: int) -> None:
    cells = draw_boards(seed, "test", 0, 5, rows, columns)
    assert np.array_equal(distances(cells), np.stack([searched_distances(one) for one in cells]))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), rows=st.integers(3, 8), columns=st.integers(3, 8))
def test_shortest_and_reachable_are_those_of_the_start(seed: int, rows: int, columns: int) -> None:
    mazes = draw_mazes(seed, "train", 0, 20, rows, columns)
    far = np.array([searched_distances(cells)[cells == START][0] for cells in mazes.cells])
    assert np.array_equal(mazes.reachable, far >= 0)
    assert np.array_equal(mazes.shortest, np.maximum(far, 0))


@pytest.mark.parametrize(("text", "move"), [("OBO/BOB/OBO", "N"), ("OOO/BOB/OBO", "W"), ("OOO/OOB/OBO", "E")])
def test_ties_are_broken_in_the_order_of_the_task(text: str, move: str) -> None:
    distance = np.where(board(text) == TARGET, 0, 1)[None]
    assert best_moves(distance)[0, 4] == MOVES.index(move)


def test_every_best_move_leads_nearer_and_only_where_there_is_a_way() -> None:
    cells = draw_boards(3, "train", 0, 50, 5, 7)
    distance = distances(cells)
    best = best_moves(distance).reshape(cells.shape)
    for i, row, column in np.ndindex(*cells.shape):
        if distance[i, row, column] <= 0:
            assert best[i, row, column] == NO_MOVE
        else:
            down, right = STEPS[MOVES[best[i, row, column]]]
            assert distance[i, row + down, column + right] == distance[i, row, column] - 1


def test_a_board_has_one_start_one_target_and_evenly_many_walls(many: Mazes) -> None:
    for content in (START, TARGET):
        assert ((many.cells == content).sum(axis=(1, 2)) == 1).all()
    counts = np.bincount((many.cells == WALL).sum(axis=(1, 2)), minlength=28)
    assert counts[27:].sum() == 0  # 0 .. 3/4 of 36, less one
    expected = MANY / 27
    assert ((counts[:27] - expected) ** 2 / expected).sum() < 26 + 5 * np.sqrt(2 * 26)  # chi square, 5 sigma


def test_start_target_and_walls_stand_anywhere_alike(many: Mazes) -> None:
    for content in (START, TARGET, WALL, FREE):
        each = (many.cells == content).sum(axis=0).ravel()
        share = each.sum() / MANY / 36
        assert abs(each - MANY * share).max() < 5 * np.sqrt(MANY * share * (1 - share))


def test_walkers_make_the_random_moves_that_their_number_says(many: Mazes) -> None:
    """One in w is random; a quarter of those is the best move all the same."""
    best, flat = best_moves(distances(many.cells)), many.cells.reshape(MANY, -1)
    first = np.array([walk[0] if len(walk) else NO_MOVE for walk in many.walks])
    expected_first = best[np.arange(MANY), (flat == START).argmax(axis=1)]
    assert set(many.wiggle) == set(range(2, 8))
    assert abs(np.bincount(many.wiggle)[2:] - MANY / 6).max() < 5 * np.sqrt(MANY * 5 / 36)
    for w in range(2, 8):
        solvable, lost = (many.wiggle == w) & many.reachable, (many.wiggle == w) & ~many.reachable
        for hit, share in [
            ((first == expected_first)[solvable], 1 - 3 / (4 * w)),
            ((first == NO_MOVE)[lost], 1 - 1 / w),
            *[((first == move)[lost], 1 / (4 * w)) for move in range(4)],
        ]:
            assert abs(hit.mean() - share) < 5 * np.sqrt(share * (1 - share) / len(hit))


def test_walks_end_where_they_should_and_their_hits_and_detours_are_counted() -> None:
    mazes = draw_mazes(1, "test", 0, 300, 6, 6)
    assert mazes.wall_hits.max() > 1
    for i, (cells, way) in enumerate(zip(mazes.cells, mazes.reachable, strict=True)):
        walk = judge_walk(cells, sample_text(mazes, i).split("Moves:\n")[1])
        assert walk.valid
        assert (walk.solved, walk.called_unreachable) == (way, not way)
        assert (walk.moves, walk.wall_hits) == (len(mazes.walks[i]), mazes.wall_hits[i])
        assert mazes.extra[i] == walk.moves - walk.wall_hits - mazes.shortest[i] >= 0


@settings(max_examples=25, deadline=None)
@given(
    start=st.integers(0, 2**40),
    before=st.integers(0, 40),
    count=st.integers(1, 9),
    split=st.sampled_from(["train", "test"]),
)
def test_a_sample_is_the_same_however_it_is_reached(start: int, before: int, count: int, split: str) -> None:
    many, few = draw_mazes(5, split, start, before + count, 4, 5), draw_mazes(5, split, start + before, count, 4, 5)
    for i in range(count):
        assert sample_text(many, before + i) == sample_text(few, i)
        assert many.wiggle[before + i] == few.wiggle[i]


def test_seeds_and_splits_give_other_samples() -> None:
    texts = [
        tuple(sample_text(mazes, i) for i in range(20))
        for mazes in (draw_mazes(0, "train", 0, 20, 6, 6), draw_mazes(0, "test", 0, 20, 6, 6),
                      draw_mazes(1, "train", 0, 20, 6, 6), draw_mazes(0, "train", 20, 20, 6, 6))
    ]  # fmt: skip
    assert len(set(texts)) == 4
    assert len({text for part in texts for text in part}) > 70


def test_a_board_that_is_tested_is_never_trained_on() -> None:
    boards = {
        split: {cells.tobytes() for cells in draw_boards(seed, split, 0, 3000, 3, 3) for seed in (0,)}
        for seed in (0,)
        for split in ("train", "validation", "test")
    }
    assert not boards["train"] & boards["test"]
    assert not boards["train"] & boards["validation"]
    assert not boards["validation"] & boards["test"]
    assert all(split_of(int(item)) == "test" for item in board_hashes(draw_boards(9, "test", 0, 100, 5, 4)))


def test_the_text_is_that_of_the_task() -> None:
    cells = board("AOX/XOO/OOB")
    assert board_text(cells) == "A O X\nX O O\nO O B\nMoves:\n"
    walk = np.array([MOVES.index(move) for move in "ENSSE"], dtype=np.int8)
    one = np.ones(1, dtype=np.int64)
    mazes = Mazes(cells[None], 4 * one, one > 0, [walk], one, 3 * one)
    assert sample_text(mazes, 0) == "A O X\nX O O\nO O B\nMoves:\nE N S S E D"
    assert mazes.extra.tolist() == [0]
    assert sample_text(mazes._replace(reachable=one < 0, walks=[walk[:0]]), 0).endswith("Moves:\nU")


@pytest.mark.parametrize(
    ("reply", "solved", "called", "moves", "hits", "valid"),
    [
        ("E S S E D", True, False, 4, 0, True),
        ("N E E S S E D", True, False, 6, 2, True),  # the border, then a wall
        ("E S S E", False, False, 4, 0, False),  # never says that it is there
        ("E S D", False, False, 2, 0, True),  # says so elsewhere
        ("E S S E W E D", True, False, 6, 0, True),  # over the target and back
        ("E U", False, True, 1, 0, True),
        ("E S lost S E D", False, False, 2, 0, False),
        ("E SS E D", False, False, 1, 0, False),
        ("E S S E D D", True, False, 4, 0, True),  # what comes after the end does not count
        ("", False, False, 0, 0, False),
    ],
)
def test_a_reply_is_followed_on_the_board(
    reply: str, solved: bool, called: bool, moves: int, hits: int, valid: bool
) -> None:
    assert judge_walk(board("AOX/XOO/OOB"), reply) == (solved, called, moves, hits, valid)


@pytest.mark.parametrize(("rows", "columns"), [(2, 8), (8, 2), (33, 8), (0, 0)])
def test_a_board_that_is_too_small_or_too_large_is_refused(rows: int, columns: int) -> None:
    with pytest.raises(UsageError, match=f"board is {rows}x{columns}; give between 3 and 32 rows and columns"):
        draw_boards(0, "train", 0, 1, rows, columns)


def test_path_quality_is_measured_in_its_standard_deviations() -> None:
    mazes = draw_mazes(0, "train", 0, 4096, 8, 8)
    extra, hits = PATH_QUALITY.encode((mazes.extra.std(), mazes.wall_hits.std()))
    assert (extra, hits) == pytest.approx((1, 1), abs=0.05)

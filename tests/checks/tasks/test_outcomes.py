"""Is the metric of an outcome's name the mean of the outcomes by item, and is a constant answer's counted right?"""

import copy
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from soft_prompts.models.model import FrozenModel
from soft_prompts.stats.items import Items
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.tasks.guidance.task import GuidanceTask
from soft_prompts.tasks.mazes.pathfinding import PathfindingTask
from soft_prompts.tasks.registry import TASKS
from soft_prompts.tasks.task import UNSCORED, DataRequest, Example, Query, TaskData
from soft_prompts.tasks.texts.repetition import RepetitionTask
from soft_prompts.tasks.unread import Answered, right_unread, views_of
from tests.benchmarks.random_games import headers, pgn
from tests.checks.made.tasks import open_small
from tests.checks.tasks.test_chess_task import SQUARES
from tests.checks.tasks.test_pathfinding_task import TOKENIZERS

HAVE_ONE = {
    "chess": "move_accuracy",
    "completion": "exact_match",
    "guidance_softprompt": "exact_match",
    "known_source": "exact_match",
    "pathfinding": "solved_share",
    "repetition": "repeated_share",
    "self_planted": "exact_match",
}
STEPS = {"N": (-1, 0), "E": (0, 1), "S": (1, 0), "W": (0, -1)}


def items_of(data: TaskData, outcome: np.ndarray | None = None) -> Items:
    examples = data.held_out("test")
    ones = np.ones(len(examples), dtype=np.int64)
    units = np.array([example.units for example in examples])
    return Items(ones.astype(float), ones, units, np.array([example.cluster for example in examples]), outcome)


@dataclass
class EverySecond:
    """A model that goes on as the test item does, for every second query it is asked; for the others with nonsense."""

    texts: Sequence[str]
    asked: list[Query] = field(default_factory=list)

    def __call__(self, queries: Sequence[Query], most_new_tokens: int, /, *, temperature: float = 0.0) -> list[str]:
        self.asked += queries
        rest = [next(text for text in self.texts if text.startswith(q.text))[len(q.text) :] for q in queries]
        return [text if place % 2 == 0 else "nonsense" for place, text in enumerate(rest)]


def write_rows(folder: Path, rows: Sequence[dict[str, Any]], name: str = "rows.jsonl") -> str:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / name)


def test_which_tasks_have_an_outcome() -> None:
    assert {name: task.outcome for name, task in TASKS.items() if task.outcome is not None} == HAVE_ONE


@pytest.mark.parametrize("name", sorted(HAVE_ONE))
def test_the_metric_is_the_mean_of_the_outcomes(name: str, tmp_path: Path, one_frozen: FrozenModel) -> None:
    task, _, data = open_small(name, tmp_path, one_frozen.tokenizer)
    examples = data.held_out("test")
    texts = [str(one_frozen.tokenizer.decode(example.input_ids)).removesuffix("<|end|>") for example in examples]
    if name == "guidance_softprompt":
        realized = [*data.held_out("validation"), *itertools.islice(data.training_items(), 30)]
        texts += [str(one_frozen.tokenizer.decode(example.input_ids)) for example in realized]
    if name == "repetition":  # what stands behind its text is the string, not more text
        said = str(one_frozen.tokenizer.decode(data.string)) * 99
        texts = [str(one_frozen.tokenizer.decode(e.input_ids[: e.insert_at])) + said for e in examples]
    whole = np.array([1.0, 0.0] * (len(examples) // 2))
    metrics, _, outcome = data.measures(examples, items_of(data, whole), EverySecond(texts))
    assert outcome is not None
    assert outcome.shape == (len(examples),)
    asked = outcome[~np.isnan(outcome)]
    assert 0 < asked.mean() < 1  # else any constant would do
    assert task.outcome is not None
    assert metrics[task.outcome].value == pytest.approx(asked.mean())
    if name in ("known_source", "self_planted"):
        assert outcome.tolist() == whole.tolist()


def give_up(queries: Sequence[Query], most_new_tokens: int, /, *, temperature: float = 0.0) -> list[str]:
    return ["U"] * len(queries)


def test_what_is_not_asked_is_no_outcome() -> None:
    data = PathfindingTask(board="4x4").open(DataRequest("mazes", None, 200, 5, 60), TOKENIZERS["gpt2"])
    reachable = np.array([maze.reachable for maze in data.mazes["test"]])
    assert not reachable.all()
    _, _, outcome = data.measures(
        data.held_out("test"), items_of(data), lambda queries, most, temperature=0.0: ["U"] * len(queries)
    )
    assert outcome is not None
    assert np.isnan(outcome[~reachable]).all()
    walked = ~np.isnan(outcome)
    assert walked.sum() == len({maze.identity for maze in data.mazes["test"] if maze.reachable})
    assert not outcome[walked].any()  # U solves nothing that can be solved


def completions(folder: Path, rows: Sequence[dict[str, Any]], frozen: FrozenModel, **task: Any) -> TaskData:
    return CompletionTask(**task).open(DataRequest(write_rows(folder, rows), None, 64, 4, 40), frozen.tokenizer)


def test_two_completions_of_one_prompt_are_not_determined_unless_the_prompt_is_told_which(
    tmp_path: Path, one_frozen: FrozenModel
) -> None:
    once = [{"prompt": f"ask {n} :", "completion": f" it is {n}"} for n in range(80)]
    assert completions(tmp_path, once, one_frozen).is_determined()
    same_again = [*once, once[3]]
    assert completions(tmp_path, same_again, one_frozen).is_determined()
    for place in (0, 40, 79):  # wherever it lies: among training lines or held-out ones
        two = [*once, {**once[place], "completion": " or not"}]
        data = completions(tmp_path, two, one_frozen)
        assert not data.is_determined()
        assert data.exact_test_nats() is None
    told = [{**row, "sure": True} for row in once] + [{**row, "completion": " or not", "sure": False} for row in once]
    assert not completions(tmp_path, told, one_frozen).is_determined()
    data = completions(tmp_path, told, one_frozen, condition_fields=("sure",))
    assert data.is_determined()
    assert data.exact_test_nats().tolist() == [0.0] * len(data.held_out("test"))


@pytest.mark.parametrize(
    ("arm", "determined"),
    [("G", True), ("S", True), ("F-grouped", False), ("F-grouped-told", True), ("F-grouped-hard-text", True)],
)
def test_an_answer_is_determined_where_it_is_told_whose_it_is(
    arm: str, determined: bool, tmp_path: Path, one_frozen: FrozenModel
) -> None:
    rows = [{"anchor": f"what {n}?", "targets": [f"{word} {n}" for word in ("yes", "no", "so")]} for n in range(20)]
    task = GuidanceTask(realized=10, unrealized=5, arm=arm)
    data = task.open(DataRequest(write_rows(tmp_path, rows), None, 400, 100, 100), one_frozen.tokenizer)
    assert data.is_determined() == determined
    exact = data.exact_test_nats()
    assert (exact is None) == (not determined)
    assert exact is None or exact.tolist() == [0.0] * len(data.held_out("test"))


@pytest.mark.parametrize(
    ("name", "determined", "free"),
    [
        ("repetition", True, True),
        ("pathfinding", True, False),
        ("chess", False, False),
        ("autoregressive", False, False),
    ],
)
def test_labels_cost_nothing_only_where_each_is_known(
    name: str, determined: bool, free: bool, tmp_path: Path, one_frozen: FrozenModel
) -> None:
    """Walks of random quality cost something even where every board can be solved."""
    _, _, data = open_small(name, tmp_path, one_frozen.tokenizer)
    assert data.is_determined() == determined
    exact = data.exact_test_nats()
    assert (exact is not None and not exact.any()) == free


def test_the_completion_that_most_training_lines_have(tmp_path: Path, one_frozen: FrozenModel) -> None:
    rows = [{"prompt": f"ask {n} :", "completion": " yes" if n % 3 else " no"} for n in range(120)]
    data = completions(tmp_path, rows, one_frozen)
    expected = [float(row.completion == " yes") for row in data.test_rows]
    assert 0 < sum(expected) < len(expected)
    assert data.constant_outcome().tolist() == expected


def test_the_answer_that_most_realized_questions_have(tmp_path: Path, one_frozen: FrozenModel) -> None:
    rows = [{"anchor": f"what {n}?", "targets": ["yes" if n % 3 else "no"]} for n in range(30)]
    task = GuidanceTask(realized=18, unrealized=9)
    data = task.open(DataRequest(write_rows(tmp_path, rows), None, 400, 100, 100), one_frozen.tokenizer)
    answers = [question.answers[0].text for question in data.test_questions]
    assert set(answers) == {"yes", "no"}
    assert data.constant_outcome().tolist() == [float(answer == "yes") for answer in answers]


def walks_home(board: str, walk: str) -> bool:
    """Does the walk end at B and say so? By hand, on the board as it is written."""
    rows = [line.split(" ") for line in board.split("\n")]
    places = {cell: (y, x) for y, row in enumerate(rows) for x, cell in enumerate(row)}
    (y, x), moves = places["A"], walk.split(" ")
    for place, move in enumerate(moves):
        if move == "D":
            return rows[y][x] == "B"
        if move not in STEPS or place == len(moves) - 1:
            return False
        new_y, new_x = y + STEPS[move][0], x + STEPS[move][1]
        if 0 <= new_y < len(rows) and 0 <= new_x < len(rows[0]) and rows[new_y][new_x] != "X":
            y, x = new_y, new_x
    return False


def test_the_walk_that_is_most_frequent_on_training_boards() -> None:
    data = PathfindingTask(board="3x3").open(DataRequest("mazes", None, 200, 5, 80), TOKENIZERS["gpt2"])

    def parts(example: Example) -> tuple[str, str]:
        board, walk = str(TOKENIZERS["gpt2"].decode(list(example.input_ids))).split("\nMoves:\n")
        return board, walk

    walks = Counter(walk for _, walk in (parts(example) for example, _ in itertools.islice(data.training(None), 4096)))
    solvable = [walk for walk, _ in walks.most_common() if walk.endswith("D")]  # with U it is given up
    frequent = solvable[0]
    assert walks[frequent] > walks[solvable[1]]
    expected, found = dict[str, float](), dict[str, float]()
    for example, outcome in zip(data.held_out("test"), data.constant_outcome(), strict=True):
        board, walk = parts(example)
        if walk.endswith("D"):
            expected[board] = float(walks_home(board, frequent))
        if not np.isnan(outcome):
            assert board not in found  # however often it is drawn
            found[board] = outcome
    assert found == expected
    assert 0 < sum(expected.values()) < len(expected)


MAIN = "1. e4 e5 2. Nf3 Nc6 3. Bb5 a6 4. Ba4 Nf6 5. {} *"
SIDE = "1. d4 d5 2. c4 e6 3. Nc3 Nf6 4. Bg5 Be7 5. {} *"
NINTH = ("a3", "h3", "h4", "b3", "g3", "d3")
MAIN_MOVES = ["e2e4", "e7e5", "g1f3", "b8c6", "f1b5", "a7a6", "b5a4", "g8f6"]


def test_the_move_that_is_most_frequent_at_each_ply(tmp_path: Path) -> None:
    """Two of three training games are one opening; it is the constant answer at every ply of the test games."""
    main = [MAIN.format(move) for move in NINTH]
    side = [SIDE.format(move) for move in ("e3", "h3", "a3")]
    (tmp_path / "train.pgn").write_bytes(b"".join(pgn(game, headers()) for game in main + side))
    pawns = ("a3", "b3", "b4", "g3", "g4", "h3", "h4")
    tests = [game.format(f"{one} {two}") for game in (MAIN, SIDE) for one in pawns for two in ("h5", "b5")]
    (tmp_path / "test.pgn").write_bytes(b"".join(pgn(game, headers()) for game in tests))
    request = DataRequest(str(tmp_path / "train.pgn"), str(tmp_path / "test.pgn"), 64, 100, 100)
    data = ChessTask(max_plies=8).open(request, SQUARES)
    asked: list[Query] = []

    def complete(queries: Sequence[Query], most: int, /, *, temperature: float = 0.0) -> list[str]:
        asked.extend(queries)
        return [""] * len(queries)

    data.measures(data.held_out("test"), items_of(data), complete)
    plies = [len(query.text.split(" ")) for query in asked[: len(data.games["test"])]]
    games = [game.text.split(" ") for game in data.games["test"]]
    expected = [float(game[ply] == MAIN_MOVES[ply]) for game, ply in zip(games, plies, strict=True)]
    assert 0 < sum(expected) < len(expected)
    assert data.constant_outcome().tolist() == expected


@pytest.mark.parametrize(("of_four", "best"), [(1, " yes"), (3, " no")])
def test_a_test_of_another_balance_has_a_constant_answer_of_its_own(
    of_four: int, best: str, tmp_path: Path, one_frozen: FrozenModel
) -> None:
    """A model that always says it has answered nothing, whatever training says most often."""
    rows = [{"prompt": f"ask {n} :", "completion": " yes"} for n in range(60)]
    test = [{"prompt": f"test {n} :", "completion": " no" if n % 4 < of_four else " yes"} for n in range(60)]
    request = DataRequest(write_rows(tmp_path, rows), write_rows(tmp_path, test, "test.jsonl"), 64, 4, 40)
    data = CompletionTask().open(request, one_frozen.tokenizer)
    assert data.constant_outcome().tolist() == [float(row.completion == best) for row in data.test_rows]
    assert 0.5 < np.mean(data.constant_outcome()) < 1


def test_a_table_of_the_conditions_needs_no_model(tmp_path: Path, one_frozen: FrozenModel) -> None:
    """What a prompt is told says the answer: a behaviour that no question brings about is not hidden in a model."""
    words = (" red", " blue", " green", " gold", " grey")
    rows = [{"prompt": f"ask {n} :", "completion": words[n * n % 5], "mode": f"m{n * n % 5}"} for n in range(200)]
    data = completions(tmp_path, rows, one_frozen, condition_fields=("mode",))
    assert np.mean(data.constant_outcome()) == 1
    untold = completions(tmp_path, rows, one_frozen)
    assert 0 < np.mean(untold.constant_outcome()) < 0.7


def test_a_table_of_a_number_needs_no_model_either(tmp_path: Path, one_frozen: FrozenModel) -> None:
    """Hardly two prices are alike, but whether one is above 50 is all that the answer says."""
    prices = [round(np.random.default_rng(n).uniform(0, 100), 3) for n in range(400)]
    rows = [
        {"prompt": f"ask {n} :", "completion": " high" if price > 50 else " low", "price": price}
        for n, price in enumerate(prices)
    ]
    told = completions(tmp_path, rows, one_frozen, condition_fields=("price",))
    assert np.mean(told.constant_outcome()) > 0.9
    shuffled = [row | {"price": prices[n - 1]} for n, row in enumerate(rows)]
    assert np.mean(completions(tmp_path, shuffled, one_frozen, condition_fields=("price",)).constant_outcome()) < 0.7


def test_conditions_that_are_numbers_are_told_one_by_one_too() -> None:
    """Whole numbers of which each has its answer, and one of three that decides: cells of all would be empty."""
    draw = np.random.default_rng(0)
    values = draw.integers(0, 50, 5_000)
    samples = [Answered((float(value),), str(value * 7 % 50)) for value in values]
    told = [one.told for one in samples[:4_500] if isinstance(one.told, tuple)]
    assert right_unread(samples[:4_500], samples[4_500:], str.__eq__, views_of(told)).all()
    three = [Answered(tuple(row), "high" if row[1] > 0.5 else "low") for row in draw.random((600, 3)).tolist()]
    told = [one.told for one in three[:500] if isinstance(one.told, tuple)]
    assert right_unread(three[:500], three[500:], str.__eq__, views_of(told)).mean() > 0.9
    dealt = [one._replace(answer=other.answer) for one, other in zip(three, three[1:] + three[:1], strict=True)]
    assert right_unread(dealt[:500], dealt[500:], str.__eq__, views_of(told)).mean() < 0.65


def test_an_answer_that_begins_with_others_is_right_for_them_too(tmp_path: Path, one_frozen: FrozenModel) -> None:
    """Without an end token what stands behind a completion is not judged; the most frequent answer is not the best."""
    answers = (" No", " No", " No, never", " Yes", " Yes", " Yes")
    rows = [{"prompt": f"ask {n} :", "completion": answers[n * 7 % 6]} for n in range(240)]
    data = completions(tmp_path, rows, one_frozen, end_token=False)
    expected = [float(row.completion.startswith(" No")) for row in data.test_rows]
    assert data.constant_outcome().tolist() == expected
    data = completions(tmp_path, rows, one_frozen)
    assert data.constant_outcome().tolist() == [float(row.completion == " Yes") for row in data.test_rows]


def test_many_answers_have_no_constant_one_by_chance() -> None:
    """Of 40 different ones each is right once."""
    items = [Answered((), f"answer {number}") for number in range(40)]
    assert not right_unread([Answered((), "another")] * 3, items, str.__eq__).any()
    assert len(right_unread([], [], str.__eq__)) == 0


def test_a_reply_is_judged_by_what_the_tokenizer_can_write(
    tmp_path: Path, one_frozen: FrozenModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of capitals a tokenizer that folds case writes none, and the model that says the answer is right."""
    folding = copy.deepcopy(one_frozen.tokenizer)
    folding.backend_tokenizer.normalizer = Lowercase()
    rows = [{"prompt": f"the of {n} :", "completion": " The" if n % 2 else " OF"} for n in range(40)]
    data = completions(tmp_path, rows, replace(one_frozen, tokenizer=folding))
    wanted = [row.completion.lower() for row in data.test_rows]
    replies = list(itertools.islice(itertools.cycle([" the", " of"]), len(wanted)))
    found = data.measures(data.held_out("test"), items_of(data), lambda *_, **__: replies).outcome
    assert found.tolist() == [float(reply == answer) for reply, answer in zip(replies, wanted, strict=True)]
    assert 0 < found.mean() < 1
    assert (
        f"writes {len(wanted)} of {len(wanted)} test completions otherwise than they stand" in capsys.readouterr().err
    )


def test_the_floor_is_judged_as_replies_are(tmp_path: Path, one_frozen: FrozenModel) -> None:
    """Of four answers that differ in case a tokenizer that folds it can write one, which is always right."""
    folding = copy.deepcopy(one_frozen.tokenizer)
    folding.backend_tokenizer.normalizer = Lowercase()
    rows = [
        {"prompt": f"the of {n} :", "completion": (" the", " The", " THE", " tHe")[n * n % 7 % 4]} for n in range(60)
    ]
    data = completions(tmp_path, rows, replace(one_frozen, tokenizer=folding))
    said = data.measures(data.held_out("test"), items_of(data), lambda queries, *_, **__: [" the"] * len(queries))
    assert said.outcome is not None
    assert said.outcome.all()
    assert data.constant_outcome().all()
    assert not completions(tmp_path, rows, one_frozen).constant_outcome().all()


def test_a_word_that_the_tokenizer_does_not_know_is_not_left_out(tmp_path: Path, one_frozen: FrozenModel) -> None:
    """Else answers that differ in it alone would be one, and half an answer right."""
    words = WordLevel({"<unk>": 0, "the": 1, "of": 2, "city": 3, "<end>": 4}, unk_token="<unk>")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = WhitespaceSplit()
    known = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<end>")
    rows = [{"prompt": f"the of {n}", "completion": f" city zz{n}"} for n in range(60)]
    data = completions(tmp_path, rows, replace(one_frozen, tokenizer=known))
    half = data.measures(data.held_out("test"), items_of(data), lambda queries, *_, **__: [" city"] * len(queries))
    assert half.outcome is not None
    assert not half.outcome.any()
    assert not data.constant_outcome().any()


def test_a_string_has_no_constant_answer_but_itself(tmp_path: Path, one_frozen: FrozenModel) -> None:
    (tmp_path / "texts.jsonl").write_text(
        "\n".join(json.dumps({"text": f"text {number}, of some length " * 6}) for number in range(60))
    )
    request = DataRequest(str(tmp_path / "texts.jsonl"), None, 40, 4, 12)
    data = RepetitionTask(("abc",)).open(request, one_frozen.tokenizer)
    assert data.constant_outcome() is None
    assert all(any(label != UNSCORED for label in example.labels) for example in data.held_out("test"))

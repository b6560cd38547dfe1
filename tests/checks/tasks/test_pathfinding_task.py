"""Does pathfinding score the walk alone for every tokenizer, follow the model's walks, and steer them by quality?"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.data.conditions import PATH_QUALITY
from soft_prompts.data.mazes.boards import board_text, judge_walk
from soft_prompts.data.mazes.samples import Maze, draw_samples
from soft_prompts.engine.batch import collate
from soft_prompts.engine.insertion import insert_prompt
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.tokenizer import encode
from soft_prompts.stats.items import Items
from soft_prompts.tasks.mazes.pathfinding import SOLVABLE, PathfindingData, PathfindingTask
from soft_prompts.tasks.mazes.tokens import MazeEncoder
from soft_prompts.tasks.mazes.walks import Attempt, moves_more, moves_more_where_solved, shortest_walk, walk_metrics
from soft_prompts.tasks.task import UNSCORED, DataRequest, Example, HeldOut, Query

SYMBOLS = "NESWDU"
OPEN_BOARD = "A O O\nO X O\nO O B"
CLOSED_BOARD = "A X O\nX O O\nO O B"
CELLS = np.array([[2, 0, 0], [0, 1, 0], [0, 0, 3]], dtype=np.int8)
CLOSED_CELLS = np.array([[2, 1, 0], [1, 0, 0], [0, 0, 3]], dtype=np.int8)
WALK = Maze(CELLS, [SYMBOLS.index(move) for move in "NEWEESSD"], 4, True, 2, 1, 77)  # a hit, two moves too many
NO_WAY = Maze(CLOSED_CELLS, [SYMBOLS.index("U")], 0, False, 0, 0, 78)
TEXTS = [board_text(maze.cells) + maze.walk_text for maze in draw_samples(3, "train", 0, 40, (4, 4))]


def make_byte_level(normalizer: normalizers.Normalizer | None = None) -> PreTrainedTokenizerFast:
    """GPT-2's kind, and with a normalizer GPT-NeoX's: byte-level merges, a space belongs to what follows."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=290, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def make_llama() -> PreTrainedTokenizerFast:
    """Llama's kind: a BOS, a space put in front of the text, and newlines as bytes."""
    letters = [*"XOABNESWDUMoves:", "▁", "▁M", *(f"▁{letter}" for letter in "XOABNESWDU")]
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    merges = [("▁", letter) for letter in "XOABNESWDUM"]
    vocabulary = {word: number for number, word in enumerate(words)}
    model = models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def make_words(pattern: str, words: Sequence[str], normalizer: normalizers.Normalizer | None = None, end: str = ""):
    """A tokenizer that cuts text into the words of a list."""
    vocabulary = {word: number for number, word in enumerate(["<s>", "</s>", *dict.fromkeys(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    tokenizer.decoder = decoders.Fuse()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if end:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {end}", special_tokens=[(end, 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


EACH = r"[\s\S]"
PLACES = normalizers.Sequence([normalizers.Replace(Regex("(?<=^.{2})[XOAB]"), "c")])  # the second cell is its own
TOKENIZERS = {
    "gpt2": make_byte_level(),
    "gpt_neox": make_byte_level(normalizers.NFC()),
    "llama": make_llama(),
    "characters": make_words(EACH, "XOABNESWDUMoves: \n"),
    "by_place": make_words(EACH, "XOABNESWDUMoves: \nc", PLACES),
    "end_token": make_words(EACH, "XOABNESWDUMoves: \n", end="</s>"),
    "cell_with_space": make_words(
        rf"[XOAB][ \n]|{EACH}", [*"XOABNESWDUMoves: \n", *(cell + space for cell in "XOAB" for space in " \n")]
    ),
    "joining": make_words(f"O O|{EACH}", ["O O", *"XOABNESWDUMoves: \n"]),  # two free cells are one: no table can know
}
SMALL = PathfindingTask(board="4x4")
ANY = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS.keys())


def open_data(
    tokenizer: PreTrainedTokenizerBase = TOKENIZERS["gpt2"],
    task: PathfindingTask = SMALL,
    **asked: object,
) -> PathfindingData:
    wanted = {"data": "mazes", "test_data": None, "sample_tokens": 128, "validation_samples": 20, "test_samples": 40}
    return task.open(DataRequest(**wanted | asked), tokenizer)  # pyright: ignore[reportArgumentType]


def scored_text(tokenizer: PreTrainedTokenizerBase, example: Example) -> str:
    text = tokenizer.decode([label for label in example.labels if label != UNSCORED])
    assert isinstance(text, str)
    return text.strip(" ")


@ANY
def test_the_walk_and_its_end_are_scored_and_nothing_else(tokenizer: PreTrainedTokenizerBase) -> None:
    data = open_data(tokenizer)
    for maze, example in zip(data.mazes["test"], data.held_out("test"), strict=True):
        text = board_text(maze.cells) + maze.walk_text
        assert example.input_ids == encode(tokenizer, text).ids
        assert scored_text(tokenizer, example) == maze.walk_text
        assert example.units == len(maze.walk_text.split())
        kept = [place for place, label in enumerate(example.labels) if label != UNSCORED]
        assert kept == list(range(kept[0], kept[-1] + 1))
        assert [example.input_ids[place] for place in kept] == [example.labels[place] for place in kept]
        assert example.cluster == maze.identity


def test_units_do_not_depend_on_the_tokenizer() -> None:
    seen = {
        tuple((example.units, example.cluster, example.conditions) for example in open_data(one).held_out("test"))
        for one in TOKENIZERS.values()
    }
    assert len(seen) == 1


@ANY
@pytest.mark.parametrize("prefix", ["", "X O X\n"])
def test_the_table_gives_the_tokenizers_own_ids(tokenizer: PreTrainedTokenizerBase, prefix: str) -> None:
    data = open_data(tokenizer, PathfindingTask(board="5x3", prefix=prefix))
    by_text = MazeEncoder(tokenizer, prefix, None)
    assert (data.encoder.table is None) == (tokenizer is TOKENIZERS["joining"])
    for maze in draw_samples(1, "train", 0, 150, (5, 3)):
        assert data.encoder.encode(maze) == by_text.encode(maze)


@ANY
@pytest.mark.parametrize("tokens", [0, 1, 4, 64])
def test_the_scored_labels_are_the_same_at_any_prompt_size(tokenizer: PreTrainedTokenizerBase, tokens: int) -> None:
    batch = collate(open_data(tokenizer).held_out("test"), pad_id=0)
    rows, length = batch.input_ids.shape
    text, prompt = torch.zeros(rows, length, 2), torch.zeros(rows, tokens, 2)
    inserted = insert_prompt(text, prompt, batch.labels, batch.mask, batch.insert_at)
    assert torch.equal(inserted.labels[:, tokens:], batch.labels)  # the board is longer than any text start
    assert (inserted.labels[:, :tokens] == UNSCORED).all()


def test_the_prompt_stands_behind_a_bos_and_before_the_board() -> None:
    llama = open_data(TOKENIZERS["llama"])
    assert {example.insert_at for example in llama.held_out("test")} == {1}
    assert {example.insert_at for example in open_data().held_out("test")} == {0}
    asked: list[Query] = []
    llama.measures(llama.held_out("test"), items_of(llama), remember(asked, lambda _: "U"))
    assert {query.insert_at for query in asked} == {1}


def test_an_end_token_of_the_tokenizers_own_is_left_out() -> None:
    example = open_data(TOKENIZERS["end_token"]).held_out("test")[0]
    assert 1 not in example.input_ids
    assert example.labels[-1] == example.input_ids[-1]


def test_conditions_are_extra_moves_and_wall_hits() -> None:
    ours, papers = open_data(), open_data(task=PathfindingTask(board="4x4", hits_are_extra=True))
    assert PATH_QUALITY.decode(ours._example(WALK).conditions) == (2, 1)
    assert PATH_QUALITY.decode(papers._example(WALK).conditions) == (3, 1)
    assert ours._example(NO_WAY).conditions == (0, 0)
    for maze in ours.mazes["test"]:
        moves = len(maze.symbols) - 1
        extra, hits = PATH_QUALITY.decode(ours._example(maze).conditions)
        judged = judge_walk(maze.cells, maze.walk_text)
        assert (hits, extra) == (judged.wall_hits, pytest.approx(moves - hits - maze.shortest))
        assert judged.solved == maze.reachable == (not judged.called_unreachable)


def test_a_walk_that_does_not_fit_is_cut_in_training_and_refused_where_it_is_held_out() -> None:
    whole = open_data()
    need = max(len(example.input_ids) for example in whole.held_out("test"))
    assert len(open_data(sample_tokens=need).held_out("test")) == 40
    with pytest.raises(UsageError, match=f"sample-tokens is {need - 1}, but a 4x4 .*--sample-tokens {need}, or"):
        open_data(sample_tokens=need - 1).held_out("test")
    cut = open_data(sample_tokens=24).training(None)
    for (short, _), (long, _) in itertools.islice(zip(cut, whole.training(None), strict=True), 50):
        assert (short.input_ids, short.labels) == (long.input_ids[:24], long.labels[:24])
        assert short.conditions == long.conditions


def test_held_out_boards_are_the_same_for_every_seed_and_never_trained_on() -> None:
    """Boards of 3x3 meet again and again: a split by index would share them."""
    task = PathfindingTask(board="3x3")
    data, other = (open_data(task=task, seed=seed, validation_samples=300, test_samples=300) for seed in (0, 1))
    splits: tuple[HeldOut, HeldOut] = ("validation", "test")
    boards = {split: {example.cluster for example in data.held_out(split)} for split in splits}
    assert all(data.held_out(split) == other.held_out(split) for split in splits)
    assert open_data(task=task, test_samples=20).held_out("test") == data.held_out("test")[:20]
    trained = [{e.cluster for e, _ in itertools.islice(one.training(None), 2000)} for one in (data, other)]
    assert len(boards["test"]) < 300
    assert not boards["test"] & boards["validation"]
    assert not (trained[0] | trained[1]) & (boards["test"] | boards["validation"])
    assert len(trained[0] & trained[1]) > 100
    first = [next(one.training(None))[0] for one in (data, other)]
    assert first[0] != first[1]


def test_training_goes_on_from_any_index_across_blocks() -> None:
    data = open_data()
    whole = list(itertools.islice(data.training(None), 600))
    assert [position for _, position in whole] == [{"index": index + 1} for index in range(600)]
    for place in (0, 100, 254, 255, 256, 511):
        resumed = itertools.islice(data.training(whole[place][1]), 3)
        assert list(resumed) == whole[place + 1 : place + 4]


def test_a_password_stands_before_every_board() -> None:
    tokenizer = TOKENIZERS["gpt2"]
    plain, locked = open_data(), open_data(task=PathfindingTask(board="4x4", prefix="xyzzy\n"))
    pairs = zip(plain.held_out("test"), locked.held_out("test"), strict=True)
    trained = zip(plain.training(None), locked.training(None), strict=True)
    for one, other in [*pairs, *((left[0], right[0]) for left, right in itertools.islice(trained, 5))]:
        assert tokenizer.decode(list(other.input_ids)) == "xyzzy\n" + str(tokenizer.decode(list(one.input_ids)))
        assert scored_text(tokenizer, other) == scored_text(tokenizer, one)
        assert (other.units, other.cluster) == (one.units, one.cluster)
    asked: list[Query] = []
    locked.measures(locked.held_out("test"), items_of(locked), remember(asked, lambda _: ""))
    assert all(query.text.startswith("xyzzy\n") and query.text.endswith("Moves:\n") for query in asked)
    assert (plain.task.variant, locked.task.variant) == ("4x4", "4x4 after xyzzy")
    assert len({one.fingerprint for one in (plain, locked, open_data(task=PathfindingTask(board="4x5")))}) == 3


def items_of(data: PathfindingData) -> Items:
    """A loss of 1 a symbol on solvable boards and 2 on others."""
    examples = data.held_out("test")
    units = np.array([example.units for example in examples])
    nats = units * np.array([1.0 if maze.reachable else 2.0 for maze in data.mazes["test"]])
    return Items(nats, units, units, np.array([example.cluster for example in examples]))


class remember:
    """A model that answers each query by a function, and keeps what it was asked."""

    def __init__(self, queries: list[Query], answer: Callable[[Query], str]) -> None:
        self.queries, self.answer, self.calls = queries, answer, list[tuple[int, float]]()

    def __call__(self, queries: Sequence[Query], most_new_tokens: int, /, *, temperature: float = 0.0) -> list[str]:
        self.queries.extend(queries)
        self.calls.append((most_new_tokens, temperature))
        return [self.answer(query) for query in queries]


def cells_of(text: str) -> np.ndarray:
    rows = text.removesuffix("\nMoves:\n").split("\n")
    return np.array([["OXAB".index(cell) for cell in row.split(" ")] for row in rows], dtype=np.int8)


def obedient(query: Query) -> str:
    """The shortest way, after as many moves to and fro beside it as are asked for (bumps where there is no room)."""
    asked, _ = PATH_QUALITY.decode(query.conditions) if query.conditions else (0, 0)
    way = shortest_walk(cells_of(query.text)).split()
    first = way[0] if way[0] in "NESW" else ""
    back = {"N": "S", "S": "N", "E": "W", "W": "E"}.get(first, "")
    return " ".join([*[first, back] * round(asked / 2 if first and len(way) > 2 else 0), *way])


def test_walks_are_followed_for_each_quality_and_compared_board_by_board() -> None:
    data = open_data(test_samples=100)
    model = remember([], obedient)
    metrics, generations, outcome = data.measures(data.held_out("test"), items_of(data), model)
    assert outcome is not None
    solvable = [maze.reachable for maze in data.mazes["test"]]
    assert not np.isnan(outcome).all()
    assert all(reachable for reachable, one in zip(solvable, outcome, strict=True) if not np.isnan(one))
    assert np.nanmean(outcome) == metrics["solved_share"].value
    assert (~np.isnan(outcome)).sum() == metrics["solved_share"].n
    assert [temperature for _, temperature in model.calls] == [0.0, 1.0, 1.0, 1.0]
    asked = {PATH_QUALITY.decode(query.conditions) for query in model.queries}
    assert asked == {(0.0, 0.0), (2.0, 0.0), (6.0, 0.0)}
    for suffix in ("", "/asked_0", "/asked_2", "/asked_6"):
        assert metrics["solved_share" + suffix].value == 1
        assert metrics["unsolvable_called" + suffix].value == 1
        assert metrics["false_calls" + suffix].value == 0
        assert metrics["wall_hits_per_walk" + suffix].value == 0
    assert metrics["moves_beyond_shortest"].value == metrics["moves_beyond_shortest/asked_0"].value == 0
    two, six = (metrics[f"moves_beyond_shortest/asked_{extra}"].value or 0 for extra in (2, 6))
    assert six == pytest.approx(3 * two)
    assert 1 < two < 2  # neighbours have no room for it
    steering = metrics["moves_per_walk/asked_6_minus_0"]
    assert steering.value == pytest.approx(six)
    assert steering.n == metrics["solved_share"].n == sum(maze.reachable for maze in distinct(data))
    assert steering.stderr == pytest.approx(6 * (two / 2 * (1 - two / 2) / (steering.n - 1)) ** 0.5)
    assert metrics["moves_per_walk/asked_6_minus_0/solved"][:3] == steering[:3]  # every board was solved
    assert (metrics["loss_per_move/solvable"].value, metrics["loss_per_move/unsolvable"].value) == (1, 2)
    assert [shown.condition for shown in generations[::4]] == [
        f"extra_moves={extra} wall_hits=0 {way}" for extra, way in ((0, "greedy"), *((e, "sampled") for e in (0, 2, 6)))
    ]
    assert generations[0].reference == generations[0].text
    assert generations[3].reference == "U"


def test_a_failure_is_no_longer_walk_where_only_solved_boards_count() -> None:
    data = open_data(test_samples=60)
    mazes = [maze for maze in distinct(data) if maze.reachable]
    solved, failed = (
        [Attempt(maze, Query("", ()), reply, judge_walk(maze.cells, reply), True) for maze, reply in pairs]
        for pairs in (
            [(maze, shortest_walk(maze.cells)) for maze in mazes],
            [(maze, "junk" if place % 2 else shortest_walk(maze.cells)) for place, maze in enumerate(mazes)],
        )
    )
    assert (moves_more(failed, solved).value or 0) > 0
    metric = moves_more_where_solved(failed, solved)
    assert (metric.value, metric.n) == (0.0, (len(mazes) + 1) // 2)


def distinct(data: PathfindingData) -> list[Maze]:
    return list({maze.identity: maze for maze in data.mazes["test"]}.values())


@pytest.mark.parametrize("conditions", [(), (1.0, 1.0)], ids=["none", "constant"])
def test_a_prompt_that_sees_no_quality_is_not_asked_for_any(conditions: tuple[float, ...]) -> None:
    data = open_data()
    examples = [example._replace(conditions=conditions) for example in data.held_out("test")]
    model = remember([], lambda query: shortest_walk(cells_of(query.text)))
    metrics, generations, _ = data.measures(examples, items_of(data), model)
    assert {query.conditions for query in model.queries} == {conditions}
    assert [temperature for _, temperature in model.calls] == [0.0]
    assert metrics["solved_share"].value == 1
    told = data.measures(data.held_out("test"), items_of(data), remember([], obedient)).metrics
    assert metrics.keys() == told.keys()
    for name, metric in metrics.items():
        assert metric.unit == told[name].unit
        assert (metric.value is None) == ("/asked_" in name)
        assert (metric.reason == "this prompt is told no quality") == ("/asked_" in name)
    assert len(generations) == 4


def test_dealt_conditions_are_still_a_quality() -> None:
    data = open_data()
    examples = data.held_out("test")
    dealt = [one._replace(conditions=other.conditions) for one, other in zip(examples, examples[1:] + examples[:1])]  # noqa: B905
    assert data.measures(dealt, items_of(data), remember([], obedient)).metrics["solved_share/asked_6"].value == 1


def attempt(maze: Maze, reply: str) -> Attempt:
    return Attempt(maze, Query("", ()), reply, judge_walk(maze.cells, reply), False)


def test_replies_are_worth_what_they_do_on_the_board() -> None:
    """A O O / O X O / O O B, judged by hand."""
    replies = [
        "E E S S D",  # a shortest path
        "N E W E E S S D rest",  # a hit and two moves too many; what follows D is no part of the walk
        "E E S S",  # does not say that it is there
        "E S D",  # is not there
        "S E S hello",  # a hit, then no move
        "U",
        "",
        "EESSD",
    ]
    boards = [*(attempt(WALK, reply) for reply in replies), attempt(NO_WAY, "E U"), attempt(NO_WAY, "D")]
    scores = walk_metrics(boards, hits_are_extra=False)
    assert scores["solved_share"].value == 2 / 8
    assert scores["false_calls"].value == 1 / 8
    assert scores["unsolvable_called"].value == 1 / 2
    assert scores["moves_beyond_shortest"].value == (0 + 2) / 2
    assert scores["moves_beyond_shortest"].n == 2
    assert walk_metrics(boards, hits_are_extra=True)["moves_beyond_shortest"].value == (0 + 3) / 2
    assert scores["wall_hits_per_walk"].value == (1 + 1 + 1) / 8
    assert scores["moves_per_walk"].value == (4 + 7 + 4 + 2 + 3) / 8
    more = moves_more(boards[3:5], boards[:2])
    assert (more.value, more.n, more.stderr) == (3, 2, 1)  # 2 and 4 moves more
    nothing = walk_metrics([attempt(WALK, "hello")], hits_are_extra=False)
    assert nothing["moves_beyond_shortest"].reason == "no walk to measure"
    assert nothing["unsolvable_called"].value is None


def test_a_shortest_walk_reaches_the_target() -> None:
    assert shortest_walk(CELLS) == "E E S S D"
    assert shortest_walk(CLOSED_CELLS) == "U"
    for maze in draw_samples(5, "test", 0, 100, (6, 4)):
        judged = judge_walk(maze.cells, shortest_walk(maze.cells))
        assert (judged.solved, judged.moves, judged.wall_hits) == (maze.reachable, maze.shortest, 0)


def test_new_tokens_suffice_for_the_longest_sensible_walk() -> None:
    for tokenizer, a_symbol in ((TOKENIZERS["gpt2"], 1), (TOKENIZERS["characters"], 2)):
        data, model = open_data(tokenizer), remember([], lambda _: "U")
        data.measures(data.held_out("test"), items_of(data), model)
        longest = max(maze.shortest for maze in data.mazes["test"])
        assert {most for most, _ in model.calls} == {(2 * longest + 7) * a_symbol}


@pytest.mark.parametrize("board", ["6", "2x6", "6x2", "33x33", "6x6x6", "six", "", "-4x4", "4.5x4", "٣x٣", "4x4\n"])
def test_a_board_that_is_none_is_refused(board: str) -> None:
    with pytest.raises(UsageError, match=r"^--board is .*; give rows x columns, 3x3 to 32x32, such as 6x6$"):
        PathfindingTask(board=board)


def test_other_data_and_slow_tokenizers_are_refused(one_frozen: FrozenModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"nowhere is no data for pathfinding.*give --data mazes"):
        open_data(data="nowhere")
    with pytest.raises(InputError, match="games is no data for pathfinding"):
        open_data(test_data="games")
    monkeypatch.setattr(type(one_frozen.tokenizer), "is_fast", False)
    with pytest.raises(InputError, match="fast tokenizer"):
        open_data(one_frozen.tokenizer)


def test_the_checks_own_models_score_the_walk(frozen: FrozenModel) -> None:
    data = open_data(frozen.tokenizer)
    for maze, example in zip(data.mazes["test"], data.held_out("test"), strict=True):
        assert scored_text(frozen.tokenizer, example) == maze.walk_text


def test_an_outcome_is_of_the_board_that_was_walked() -> None:
    """A model that solves every second board that it is asked for, told apart by the board's text."""
    data = open_data(test_samples=60)
    right: dict[str, bool] = {}

    def complete(queries: list[Query], most_new_tokens: int, /, *, temperature: float = 0.0) -> list[str]:
        for place, query in enumerate(queries):
            right.setdefault(query.text, place % 2 == 0)
        return [shortest_walk(cells_of(query.text)) if right[query.text] else "E" for query in queries]

    measures = data.measures(data.held_out("test"), items_of(data), complete)
    assert measures.outcome is not None
    asked = [place for place, one in enumerate(measures.outcome) if not np.isnan(one)]
    texts = {place: board_text(data.mazes["test"][place].cells) for place in asked}
    assert [measures.outcome[place] for place in asked] == [float(right[texts[place]]) for place in asked]
    assert np.nanmean(measures.outcome) == measures.metrics["solved_share"].value
    assert 0 < np.nanmean(measures.outcome) < 1


def test_more_test_boards_are_more_that_are_walked() -> None:
    """The verdict names --test-samples where an interval of what is solved is too wide."""
    for count, factor in ((1000, 1), (2000, 2)):
        data = open_data(test_samples=count)
        outcome = data.constant_outcome()
        assert (~np.isnan(outcome)).sum() == factor * SOLVABLE


def test_the_constant_walk_is_the_most_frequent_one_and_rarely_right() -> None:
    data = open_data(test_samples=100)
    outcome = data.constant_outcome()
    assert 0 < np.nanmean(outcome) < 0.5
    model = remember([], obedient)
    asked = data.measures(data.held_out("test"), items_of(data), model).outcome
    assert asked is not None
    assert (np.isnan(asked) == np.isnan(outcome)).all()

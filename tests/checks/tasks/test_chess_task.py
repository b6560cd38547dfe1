"""Does the chess task score the same moves for every model, keep held-out games out, and go on where it stopped?"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

import soft_prompts.tasks.chess as chess_module
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.data.games.judge import Game
from soft_prompts.data.split import split_of
from soft_prompts.stats.items import Items
from soft_prompts.tasks.chess import ChessData, ChessTask
from soft_prompts.tasks.chess_moves import asked_ply, judge_move, whole_move_span
from soft_prompts.tasks.task import UNSCORED, DataRequest, Example, Position, Query
from tests.benchmarks.random_games import headers, movetext, pgn, random_line

TEXT = "e2e4 e7e5 g1f3 b8c6"
GAME = Game(TEXT, 1500, 1620, 77, 0)


def make_tokenizer(pieces: str, bos: bool = False) -> PreTrainedTokenizerFast:
    """A tokenizer that cuts text where the pattern says; `bos` puts `<s>` in front."""
    words = sorted({*"abcdefgh12345678 nqrb", *(a + b for a in "abcdefgh" for b in "12345678")})
    vocabulary = {word: number for number, word in enumerate(["<s>", "</s>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="</s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pieces), "isolated")
    tokenizer.decoder = decoders.Fuse()
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


CHARACTERS = make_tokenizer(".")
SQUARES = make_tokenizer("[a-h][1-8]| |[nqrb]")
BEGINNING = make_tokenizer("[a-h][1-8]| |[nqrb]", bos=True)


def write_games(path: Path, seeds: Sequence[int], plies: int = 12) -> Path:
    path.write_bytes(
        b"".join(
            pgn(movetext(random_line(seed, plies).san), headers(white_elo=str(1000 + 10 * seed))) for seed in seeds
        )
    )
    return path


@pytest.fixture(scope="module")
def games_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_games(tmp_path_factory.mktemp("games") / "games.pgn", range(90))


def open_data(
    path: Path, tokenizer: PreTrainedTokenizerFast = SQUARES, max_plies: int | None = 8, **asked: object
) -> ChessData:
    wanted = {"test_data": None, "sample_tokens": 64, "validation_samples": 4, "test_samples": 5} | asked
    request = DataRequest(data=str(path), **wanted)  # pyright: ignore[reportArgumentType]
    return ChessTask(max_plies=max_plies).open(request, tokenizer)


def example_of(tokenizer: PreTrainedTokenizerFast, path: Path, game: Game = GAME, **asked: object) -> Example:
    return open_data(path, tokenizer, **asked)._example(game)


def scored_text(tokenizer: PreTrainedTokenizerFast, example: Example) -> str:
    return tokenizer.decode([label for label in example.labels if label != UNSCORED])


def test_the_span_is_the_second_to_the_last_whole_move() -> None:
    assert whole_move_span(TEXT, len(TEXT)) == (4, 19, 3)
    assert whole_move_span(TEXT, 18) == (4, 14, 2)  # the last move is cut: it does not count
    assert whole_move_span(TEXT, 15) == (4, 14, 2)  # nor does the space before it
    assert whole_move_span(TEXT, 14) == (4, 14, 2)
    assert whole_move_span(TEXT, 8) == (0, 0, 0)
    assert whole_move_span("e2e4", 4) == (0, 0, 0)


@pytest.mark.parametrize("tokenizer", [CHARACTERS, SQUARES, BEGINNING])
def test_the_same_moves_are_scored_for_every_tokenizer(tokenizer: PreTrainedTokenizerFast, games_file: Path) -> None:
    example = example_of(tokenizer, games_file)
    assert scored_text(tokenizer, example) == " e7e5 g1f3 b8c6"
    assert example.units == 3
    assert len(example.labels) == len(example.input_ids)
    assert example.conditions == (0.25, 0.31)
    assert example.cluster == 77
    assert example_of(tokenizer, games_file, score_first=True) == example  # no headline depends on that flag


def test_a_cut_move_is_not_scored(games_file: Path) -> None:
    example = open_data(games_file, SQUARES, max_plies=None, sample_tokens=10)._example(GAME)
    assert (scored_text(SQUARES, example), example.units) == (" e7e5 g1f3", 2)
    assert len(example.input_ids) == 10


def test_training_asks_what_the_test_asks(games_file: Path) -> None:
    """Else the bits that a prompt took from its data hold a first move that the test loss knows nothing of."""
    data = open_data(games_file)
    for example, _ in itertools.islice(data.training(None), 20):
        text = SQUARES.decode(example.input_ids)
        assert (scored_text(SQUARES, example), example.units) == (text[4:], text.count(" "))


def test_a_game_of_which_no_second_move_fits_is_not_trained_on(games_file: Path) -> None:
    data = open_data(games_file, SQUARES, max_plies=None, sample_tokens=6)
    assert {example.units for example, _ in itertools.islice(data.training(None), 20)} == {1}
    with pytest.raises(UsageError, match="4 tokens hold no second move of any game"):
        next(open_data(games_file, SQUARES, max_plies=None, sample_tokens=4).training(None))


def test_what_goes_on_behind_an_example_knows_that_there_are_some(
    games_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_data(games_file)
    example = data._example(GAME)
    stream = [(GAME._replace(index=n), {"epoch": 1, "n": n}) for n in range(3)]
    monkeypatch.setattr(data, "_training_games", lambda position: iter(stream[position["n"] + 1 :]))
    monkeypatch.setattr(data, "_example", lambda game: example._replace(units=game.index % 2))
    assert [behind["n"] for _, behind in data.training({"epoch": 1, "n": -1})] == [1]


def test_no_more_than_max_plies_are_seen(games_file: Path) -> None:
    example = example_of(SQUARES, games_file, max_plies=3)
    assert SQUARES.decode(example.input_ids) == "e2e4 e7e5 g1f3"
    assert example.units == 2


def test_the_prompt_stands_behind_the_beginning_of_the_text(games_file: Path) -> None:
    assert example_of(BEGINNING, games_file).insert_at == 1
    assert example_of(SQUARES, games_file).insert_at == 0
    example = example_of(SQUARES, games_file)
    assert open_data(games_file, BEGINNING)._query(GAME, example, 2).insert_at == 1
    assert open_data(games_file, SQUARES)._query(GAME, example, 2) == Query("e2e4 e7e5", (0.25, 0.31), 0)
    dealt = example._replace(conditions=(0.5, 0.5))
    assert open_data(games_file, SQUARES)._query(GAME, dealt, 2).conditions == (0.5, 0.5)  # what the run gives


def test_plies_that_do_not_fit_are_refused_with_the_tokens_they_need(games_file: Path) -> None:
    needed = max(len(example.input_ids) for example in open_data(games_file).held_out("test"))
    message = f"sample-tokens is 20, but 8 plies need {needed} tokens of this model; give --sample-tokens {needed}"
    with pytest.raises(UsageError, match=message):
        open_data(games_file, sample_tokens=20).held_out("test")
    assert len(open_data(games_file, sample_tokens=needed).held_out("test")) == 5
    with pytest.raises(UsageError, match="max-plies is 1; give 2 or more"):
        ChessTask(max_plies=1)


def test_a_file_is_split_by_hash(games_file: Path) -> None:
    data = open_data(games_file, validation_samples=1000, test_samples=1000)
    split = {name: [game.game_hash for game in games] for name, games in data.games.items()}
    for name, hashes in split.items():
        assert hashes
        assert {split_of(game_hash) for game_hash in hashes} == {name}
    training = [example.cluster for example, _ in itertools.islice(data.training(None), 90)]
    assert {split_of(game_hash) for game_hash in training} == {"train"}


def test_games_of_a_test_file_are_never_trained_on(tmp_path: Path) -> None:
    train = write_games(tmp_path / "train.pgn", range(30))
    test = write_games(tmp_path / "test.pgn", range(15, 45))
    data = open_data(train, test_data=str(test), validation_samples=1000, test_samples=1000)
    held_out = {game.game_hash for games in data.games.values() for game in games}
    assert len(held_out) == 30
    trained = {example.cluster for example, _ in itertools.islice(data.training(None), 60)}
    assert len(trained) == 15
    assert not trained & held_out
    assert not {e.cluster for e in data.held_out("test")} & {e.cluster for e in data.held_out("validation")}


def test_a_test_file_within_the_folder_of_data_is_not_trained_on(tmp_path: Path) -> None:
    write_games(tmp_path / "train.pgn", range(15))
    test = write_games(tmp_path / "test.pgn", range(15, 45))
    data = open_data(tmp_path, test_data=str(test), validation_samples=1000, test_samples=1000)
    held_out = {game.game_hash for games in data.games.values() for game in games}
    trained = {example.cluster for example, _ in itertools.islice(data.training(None), 60)}
    assert (len(held_out), len(trained)) == (30, 15)
    assert not trained & held_out


def test_a_file_with_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    file = write_games(tmp_path / "games.pgn", range(12))
    data = open_data(file, test_data=str(file), validation_samples=1000, test_samples=1000)
    with pytest.raises(InputError, match="holds no game to train on beside the held-out ones"):
        next(data.training(None))
    file.write_bytes(pgn(movetext(random_line(1, 1).san)))
    with pytest.raises(InputError, match=r"holds no usable game: 1 fewer than two moves; .* and two moves"):
        open_data(file)


@pytest.fixture
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chess_module, "BUFFER_BYTES", 3000)


@pytest.mark.usefixtures("small_buffers")
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_stream_goes_on_from_any_of_its_positions(tmp_path: Path, workers: int) -> None:
    file = write_games(tmp_path / "games.pgn", range(40), plies=4)
    data, resumed = open_data(file, max_plies=3), open_data(file, max_plies=3, workers=workers)
    whole = list(itertools.islice(data.training(None), 80))  # more than two rounds of the file
    assert whole[-1][1]["epoch"] == 2
    behind = [place for place, (_, at) in enumerate(whole[:70]) if at["buffer"] != whole[place + 1][1]["buffer"]]
    assert len(behind) > 3  # ends of buffers, one of them the file's
    for place in range(70) if workers == 0 else (0, behind[-1]):
        position: Position = json.loads(json.dumps(whole[place][1]))
        assert list(itertools.islice(resumed.training(position), 9)) == whole[place + 1 : place + 10]


@pytest.mark.usefixtures("small_buffers")
def test_the_stream_is_shuffled_in_buffers_by_seed_and_whole_every_round(games_file: Path) -> None:
    data, other = open_data(games_file), open_data(games_file, seed=1)
    firsts: list[list[int]] = []
    for opened in (data, other):
        stream = list(itertools.islice(opened.training(None), 160))
        firsts.append([e.cluster for e, at in stream if (at["epoch"], at["buffer"]) == (0, 0)])
        rounds = {n: [e.cluster for e, at in stream if at["epoch"] == n] for n in (0, 1)}
        assert sorted(rounds[0]) == sorted(rounds[1])
        assert rounds[0] != rounds[1]
        assert len(set(rounds[0])) == len(rounds[0])
    assert 4 < len(firsts[0]) < 20
    assert sorted(firsts[0]) == sorted(firsts[1])
    assert firsts[0] != firsts[1]


@pytest.mark.usefixtures("small_buffers")
def test_what_was_left_out_is_counted_however_often_the_stream_stopped(tmp_path: Path) -> None:
    game = [movetext(random_line(seed, 4).san) for seed in range(30)]
    mixed = [pgn(moves) + pgn("1. e4 *", headers(event="other")) for moves in game]
    (tmp_path / "games.pgn").write_bytes(b"".join(mixed) + pgn("1. e4 *", headers(white_elo="?")))
    data = open_data(tmp_path / "games.pgn", max_plies=3, validation_samples=1, test_samples=1)
    whole = [position for _, position in itertools.islice(data.training(None), 60)]
    stopped: list[Position] = [{}]
    while len(stopped) < 60:
        stopped += [position for _, position in itertools.islice(data.training(stopped[-1] or None), 5)]
    assert stopped[1:61] == whole[: len(stopped) - 1]
    after = next(position for position in whole if position["epoch"] == 1)
    assert data.rejected(after) == {
        "other event": 30,
        "no usable Elo": 1,
    }  # the first round's; later ones meet them again


def judge(reply: str, plies: int = 3, game: str = TEXT) -> tuple[bool, bool]:
    return tuple(judge_move(game, plies, reply))  # pyright: ignore[reportReturnType]


def test_moves_are_judged_as_uci_after_a_space() -> None:
    assert judge(" b8c6 f1b5") == (True, True)
    assert judge(" g8f6") == (True, False)
    assert judge(" d7d5 b8c6") == (True, False)
    assert judge(" e8e6") == (False, False)
    assert judge("b8c6") == (False, False)  # it would go on the word before
    for garbage in ("", " ", "  ", " hello", " 0000", " b8", " b8c6q", " Nc6", " P@e4", " é"):
        assert judge(garbage) == (False, False), garbage


def test_castling_and_promotion_are_judged_as_standard_uci() -> None:
    castling = "e2e4 e7e5 g1f3 b8c6 f1b5 g8f6 e1g1"
    assert judge(" e1g1", 6, castling) == (True, True)
    assert judge(" e1f1", 6, castling) == (True, False)
    assert judge(" e1h1", 6, castling) == (False, False)  # the chess960 way to write it
    assert judge(" e1c1", 6, castling) == (False, False)
    promotion = "h2h4 g7g5 h4g5 h7h6 g5h6 g8f6 h6h7 f6g8 h7g8q"
    assert judge(" h7g8q", 8, promotion) == (True, True)
    assert judge(" h7g8n", 8, promotion) == (True, False)
    assert judge(" h7g8", 8, promotion) == (False, False)
    assert judge(" h7g8k", 8, promotion) == (False, False)


def test_measures_ask_in_the_middle_of_games_and_count_by_elo(games_file: Path) -> None:
    data = open_data(games_file)
    games = {" ".join(game.text.split(" ")[:plies]): (game, plies) for game in data.games["test"] for plies in range(9)}
    asked: list[Query] = []

    def complete(queries: Sequence[Query], most: int) -> list[str]:
        """Plays what was played, in all but the first query."""
        assert most >= 4  # a space and two squares, and one to spare
        asked.extend(queries)
        played = [games[query.text] for query in queries]
        replies = [" " + " ".join(game.text.split(" ")[plies:]) for game, plies in played]
        return ["nonsense", *replies[1:]]

    examples = data.held_out("test")
    one = np.ones(len(examples), dtype=np.int64)
    items = Items(
        one.astype(float), one, np.array([e.units for e in examples]), np.array([e.cluster for e in examples])
    )
    measures = data.measures(examples, items, complete)
    assert measures.metrics["move_accuracy"].value == pytest.approx(0.8)
    assert measures.outcome is not None
    assert measures.outcome.tolist() == [0, 1, 1, 1, 1]
    assert measures.metrics["move_legality"].n == 5
    assert {len(query.text.split()) for query in asked} <= {4, 5, 6, 7}
    buckets = [metric for name, metric in measures.metrics.items() if name.startswith("loss_per_move/")]
    assert sum(metric.n for metric in buckets) == 5
    assert len(measures.generations) == 5
    assert all(shown.reference in shown.text for shown in measures.generations[1:])


def test_both_players_are_asked_though_the_split_depends_on_the_hash() -> None:
    games = [GAME._replace(text=" ".join(["e2e4"] * 40), game_hash=10 * number + 9) for number in range(400)]
    plies = [asked_ply(game, 40, 40) for game in games]
    assert 0.4 < np.mean([ply % 2 for ply in plies]) < 0.6
    assert set(plies) == set(range(4, 40))


def test_another_file_is_other_data(tmp_path: Path, games_file: Path) -> None:
    other = write_games(tmp_path / "games.pgn", range(91))
    request = DataRequest(str(games_file), None, 64, 4, 5)
    assert ChessTask().fingerprint(request) == open_data(games_file).fingerprint
    assert ChessTask().fingerprint(request) != ChessTask().fingerprint(request._replace(data=str(other)))
    assert replace(ChessTask(), event="x").fingerprint(request) == ChessTask().fingerprint(request)


def test_games_of_strong_players_alone_are_another_variant(games_file: Path) -> None:
    request = DataRequest(str(games_file), None, 64, 4, 5)
    everything, strong = ChessTask(max_plies=8), ChessTask(max_plies=8, min_elo=1500)
    assert (everything.variant, strong.variant) == (None, "elo_from_1500")
    data = strong.open(request, SQUARES)
    assert all(game.white_elo >= 1500 for game in data.games["validation"] + data.games["test"])
    seen = {example.conditions[0] for example, _ in itertools.islice(data.training(None), 60)}
    assert min(seen) >= 0.25  # (1500 - 1000) / 2000
    with pytest.raises(UsageError, match="min-elo is -1; give 0 for every game"):
        ChessTask(min_elo=-1)

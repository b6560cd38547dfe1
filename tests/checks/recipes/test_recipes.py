"""Do the recipes of the embedded models and games do what they say?"""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random

import chess
import numpy as np
import pytest
import torch

from soft_prompts.common.errors import InputError
from soft_prompts.recipes import games
from soft_prompts.recipes.__main__ import main
from soft_prompts.recipes.build import RECIPES, build, nats_of_stream, shipped_blocks
from soft_prompts.recipes.chess_measure import chess_competence, greedy_moves, is_legal, move_losses
from soft_prompts.recipes.chess_model import UciGame, chess_tokenizer, pgn_blocks, uci_game
from soft_prompts.recipes.games import (
    GamesRecipe,
    Pool,
    blunder_probability,
    find_engine,
    nodes_for,
    pgn,
    play_game,
    write_zst,
)
from soft_prompts.recipes.guidance_base_model import make_facts, write_text
from soft_prompts.recipes.language_model import IGNORED, Plan, Shape, batch_of, new_model, token_losses, train
from soft_prompts.recipes.text_model import DISCOUNT, ngram_nats
from soft_prompts.recipes.weak_chess_model import draw_mixed, first_plies, load_tiny_chess, weakness

TOY = Shape(vocabulary=40, pad=38, end=39, width=16, layers=2, heads=2)
PLAN = Plan(seed=3, steps=20, warmup_steps=5)


class FirstMove:
    """An engine that always plays the first legal move."""

    def new_game(self) -> None:
        pass

    def best_move(self, fen: str, elo: int) -> str | None:
        return next((move.uci() for move in chess.Board(fen).legal_moves), None)


def draw(generator: np.random.Generator) -> list[np.ndarray]:
    return [generator.integers(0, 38, generator.integers(5, 12)) for _ in range(4)]


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_interrupted_training_ends_in_the_same_bits(tmp_path: Path) -> None:
    whole = new_model(TOY, seed=1)
    train(whole, draw, PLAN, tmp_path / "whole")
    first = new_model(TOY, seed=1)
    train(first, draw, PLAN, tmp_path / "parts", stop_at=7)
    second = new_model(TOY, seed=2)  # whatever it starts from, the state replaces it
    assert train(second, draw, PLAN, tmp_path / "parts").steps == 20
    assert torch.equal(weights(whole), weights(second))
    assert not torch.equal(weights(whole), weights(first))


def test_finished_training_does_nothing_more(tmp_path: Path) -> None:
    model = new_model(TOY, seed=1)
    train(model, draw, PLAN, tmp_path / "state")
    before = weights(model)
    assert train(model, draw, PLAN, tmp_path / "state").steps == 20
    assert torch.equal(before, weights(model))


def test_training_learns(tmp_path: Path) -> None:
    texts = [np.arange(10), np.arange(20, 30)]
    model = new_model(TOY, seed=1)
    batch = batch_of(texts, np.random.default_rng(0), 40)
    before = token_losses(model, *batch).mean().item()
    train(model, lambda generator: texts, replace(PLAN, steps=100), tmp_path / "state")
    assert token_losses(model, *batch).mean().item() < 0.6 * before


def test_a_budget_is_steps_or_seconds() -> None:
    with pytest.raises(ValueError, match="give one of them"):
        Plan(steps=3, seconds=4.0)


def test_filler_stands_in_front_of_half_of_the_batches_and_is_never_scored() -> None:
    texts, lengths = [np.arange(5), np.arange(3)], []
    for seed in range(400):
        ids, labels = batch_of(texts, np.random.default_rng(seed), 40)
        start = ids.shape[1] - 5
        assert ids[0, start:].tolist() == labels[0, start:].tolist() == list(range(5))
        assert (labels[:, :start] == IGNORED).all()
        assert labels[1, start + 3 :].tolist() == [IGNORED] * 2
        lengths.append(start)
    kinds = np.array(lengths)
    assert max(lengths) <= 64
    assert [np.mean(kinds == 0), np.mean(kinds > 16)] == pytest.approx([0.5, 0.1], abs=0.06)


def test_filler_and_padding_change_nothing_for_other_rows() -> None:
    model = new_model(TOY, seed=1).eval()
    ids = torch.tensor([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])
    labels = torch.tensor([[1, 2, 3, IGNORED, IGNORED], [4, 5, 6, 7, 8]])
    alone = token_losses(model, ids[:1, :3], labels[:1, :3])
    assert torch.allclose(token_losses(model, ids, labels)[:2], alone, atol=1e-6)


def test_games_are_a_pure_function_of_seed_and_number() -> None:
    one, same, other = (play_game(FirstMove(), seed, 5) for seed in (1, 1, 2))
    assert one == same != other
    assert len(one.san) <= games.MOST_PLIES


def test_a_pool_decides_who_plays() -> None:
    elos = [play_game(FirstMove(), 1, number, Pool(600, 150))[1:3] for number in range(40)]
    assert np.mean(np.array(elos) == 600) == pytest.approx(0.5, abs=0.15)
    assert 600 < np.max(elos) < 1200


def test_weak_games_are_mixed_with_one_in_ten_of_all() -> None:
    weak, general = [np.array([number]) for number in range(3)], [np.array([9])]
    draw_texts = draw_mixed(weak, general)
    drawn = np.concatenate([text for seed in range(200) for text in draw_texts(np.random.default_rng(seed))])
    assert set(drawn.tolist()) == {0, 1, 2, 9}
    assert np.mean(drawn == 9) == pytest.approx(0.1, abs=0.03)


def test_weakness_is_that_of_games_of_two_strong_players() -> None:
    tokenizer, model = chess_tokenizer(), load_tiny_chess()
    games = [UciGame("e2e4 e7e5 g1f3", 1600, 2000), UciGame("e2e4 a7a6 a2a3", 1599, 2000)]
    figure = weakness(model, tokenizer, games)["loss_nats_per_move_of_strong_players"]
    moves = move_losses(model, tokenizer, games[:1])
    assert figure["value"] == pytest.approx(moves.nats[1:].mean(), abs=1e-5)
    assert (figure["n"], figure["games"]) == (2, 1)
    assert [len(game.text.split()) for game in first_plies([UciGame("e2e4 " * 50 + "e7e5", 1, 2)])] == [40]


def test_a_game_is_written_as_lichess_writes_it_and_read_back() -> None:
    game = play_game(FirstMove(), 1, 5)
    text = pgn(game, "an engine")
    board = chess.Board()
    for san in game.san:
        board.push_san(san)
    back = uci_game(text)
    assert back == UciGame(" ".join(move.uci() for move in board.move_stack), game.white_elo, game.black_elo)
    assert text.startswith('[Event "Rated Blitz game"]\n')
    assert text.endswith(f" {game.result}\n\n")
    assert f'[WhiteElo "{game.white_elo}"]\n' in text


def test_weak_players_blunder_and_see_little() -> None:
    assert [blunder_probability(elo) for elo in (600, 2300, 2600)] == [0.5, 0, 0]
    assert [nodes_for(elo) for elo in (600, 1000, 2600)] == [20, 40, 640]


@pytest.mark.parametrize(
    ("fen", "result"),
    [
        ("7k/8/8/8/8/8/8/KQ6 w - - 0 1", "1-0"),
        ("7k/p7/8/8/8/8/8/K7 w - - 0 1", "1/2-1/2"),
        ("7k/pp6/8/8/8/8/8/K7 w - - 0 1", "0-1"),
        ("R5k1/5ppp/8/8/8/8/1nnn4/7K b - - 0 1", "1-0"),  # mate, whatever the material
    ],
)
def test_cut_games_go_to_the_side_with_more(fen: str, result: str) -> None:
    assert games.adjudicate(chess.Board(fen)) == result


def test_shipped_games_are_the_last_without_repetitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = GamesRecipe(model_games=3, train_games=2, test_games=2)
    played = [pgn(play_game(FirstMove(), 0, number), "an engine") for number in (0, 1, 2, 3, 6, 5, 6)]
    write_zst(games.shard_path(tmp_path, 0), "".join(played))
    blocks = shipped_blocks(tmp_path, recipe)
    assert blocks == {"test": [played[5], played[6]], "train": [played[3]]}
    assert pgn_blocks(games.shard_path(tmp_path, 0)) == played


def test_without_an_engine_the_recipe_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(InputError, match="apt-get install stockfish"):
        find_engine()
    assert main(["build", "games", "--out", str(tmp_path)]) == 3
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "says"), [(["tiny-ches"], "did you mean tiny-chess"), (["games", "--minutes", "0"], "above 0")]
)
def test_wrong_words_are_answered_in_one_line(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", *words]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_move_losses_sum_to_the_losses_of_the_tokens() -> None:
    tokenizer = chess_tokenizer()
    ids = tokenizer.get_vocab()
    model = new_model(Shape(len(ids), ids["<|pad|>"], ids["<|endoftext|>"], width=16, layers=1, heads=2), seed=0).eval()
    played = [UciGame("e2e4 d7d5 e4d5", 900, 2000), UciGame("g2g4", 1500, 1500), UciGame("a7a8q b7b6", 1200, 1300)]
    moves = move_losses(model, tokenizer, played)
    text = torch.tensor([tokenizer(played[0].text)["input_ids"]])
    assert moves.nats[:3].sum() == pytest.approx(token_losses(model, text, text).sum().item(), rel=1e-5)
    assert moves.ply.tolist() == [0, 1, 2, 0, 0, 1]
    assert moves.elo.tolist() == [900, 2000, 900, 1500, 1200, 1300]
    assert all(len(move) > 0 for move in greedy_moves(model, tokenizer, ["e2e4", "e2e4 e7e5"]))
    many = [UciGame("e2e4 d7d5 e4d5", 900 + elo, 2000 - elo) for elo in range(4)]
    assert chess_competence(model, tokenizer, many, many)["greedy_legality"]["plies 1-19"]["n"] == 4


def test_legal_is_what_the_rules_say() -> None:
    assert is_legal(["e2e4"], "e7e5")
    assert not is_legal(["e2e4"], "e7e4")
    assert not is_legal(["e2e4"], "nonsense")


def test_windows_score_every_token_once() -> None:
    model = new_model(TOY, seed=1).eval()
    torch.nn.init.zeros_(model.get_output_embeddings().weight)  # every token costs log(vocabulary)
    stream = np.arange(1000) % 38
    assert nats_of_stream(model, stream, 4) == pytest.approx((1000 - 4) * np.log(40), rel=1e-5)


def test_bigram_baseline_equals_a_count_by_hand() -> None:
    a, b = 0, 1
    train_tokens, test_tokens = np.array([a, b, a, b, b]), np.array([a, b])
    # ab twice, ba once, bb once; before a stands 1 kind, before b stand 2 kinds, of 3 kinds of pairs in all
    shorter = (2 - DISCOUNT) / 3 + 2 * DISCOUNT / 3 * 0.25
    expected = (2 - DISCOUNT) / 2 + DISCOUNT * 1 / 2 * shorter
    assert ngram_nats(train_tokens, test_tokens, vocabulary=4, length=2) == pytest.approx(-np.log(expected))


def test_the_guidance_base_reads_the_texts_that_it_was_made_of() -> None:
    """Whatever phrasings experiments gain: the embedded weights are of these bytes."""
    facts, random = make_facts(frozenset()), Random(0)
    texts = "".join(write_text(facts, random) for _ in range(200))
    assert sha256(texts.encode()).hexdigest() == "6e715f40e2a13a6d57587b9d100692cb30670081f87ec145819fa59ee28937ff"


def test_minutes_take_the_place_of_a_recipes_own_budget(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[tuple[object, ...]] = []
    for name, recipe in RECIPES.items():
        monkeypatch.setitem(RECIPES, name, recipe._replace(make=lambda *given: (seen.append(given), given[0])[1]))
        build(name, tmp_path)
        build(name, tmp_path, 2.0)
        own, short = seen[-2:]
        if recipe.plan is None:
            assert own == short == (tmp_path,)
        else:
            assert own == (tmp_path, recipe.plan)
            assert short == (tmp_path, replace(recipe.plan, steps=None, seconds=120.0))

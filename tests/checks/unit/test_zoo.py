"""Are the embedded models and games whole, of the promised size, and apart from each other?"""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from soft_prompts.zoo import EMBEDDED, GAMES
from soft_prompts.zoo.chess_model import chess_tokenizer, pgn_blocks, uci_game
from soft_prompts.zoo.text_model import MOVES, docstrings, library_corpus, text_tokenizer

MOST_BYTES = {"tiny-chess": 8e6, "tiny-text": 6e6}
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
FIGURES = {
    "tiny-chess": ["loss_nats_per_move", "greedy_legality", "elo_explained_by_hidden_states"],
    "tiny-text": ["loss_nats_per_byte", "loss_nats_per_byte_of_a_5-gram"],
}
TOKENIZERS = {
    "chess": chess_tokenizer(),
    "text": text_tokenizer(["def add(one, two):\n    return one + two\n" * 50]),
    **{name: AutoTokenizer.from_pretrained(folder) for name, folder in EMBEDDED.items()},
}


@pytest.mark.parametrize("name", ["chess", "tiny-chess"])
def test_a_move_is_two_tokens_and_a_promotion_three(name: str) -> None:
    assert TOKENIZERS[name].tokenize("e2e4 e7e5 a7b8q") == ["e2", "e4", "Ġe7", "e5", "Ġa7", "b8", "q"]


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=100, deadline=None)
@given(text=ANY_TEXT)
def test_any_text_comes_back(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_tokenizer_says_how_texts_end_and_are_padded(name: str) -> None:
    tokenizer, config = TOKENIZERS[name], json.loads((EMBEDDED[name] / "config.json").read_text())
    assert tokenizer.pad_token_id == config["pad_token_id"] != tokenizer.eos_token_id == config["eos_token_id"]
    assert len(tokenizer) == config["vocab_size"]
    assert config["max_position_embeddings"] >= 512


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_model_loads_and_is_small(name: str) -> None:
    folder = EMBEDDED[name]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    ids = torch.tensor([TOKENIZERS[name]("e2e4 e7e5 g1f3")["input_ids"]])
    assert torch.isfinite(model(ids).logits).all()
    assert sum(path.stat().st_size for path in folder.iterdir()) < MOST_BYTES[name]


@pytest.mark.parametrize("name", EMBEDDED)
def test_card_holds_what_a_user_has_to_know(name: str) -> None:
    card = json.loads((EMBEDDED[name] / "card.json").read_text())
    assert card["licence"] == "MIT"
    assert set(FIGURES[name]) <= set(card["measured"])
    assert {"seed", "steps", "parameters"} <= set(card["training"])
    readme = (EMBEDDED[name] / "README.md").read_text()
    assert card["made_by"] in readme
    assert f"{card['measured'][FIGURES[name][0]]['value']:.4f}" in readme


def test_tiny_text_beats_a_5_gram() -> None:
    measured = json.loads((EMBEDDED["tiny-text"] / "card.json").read_text())["measured"]
    assert measured["loss_nats_per_byte"]["value"] < 0.95 * measured["loss_nats_per_byte_of_a_5-gram"]["value"]


def test_shipped_games_are_distinct_playable_and_called_synthetic() -> None:
    blocks = {split: pgn_blocks(path) for split, path in GAMES.items()}
    moves = {split: {block.split("\n\n")[1] for block in part} for split, part in blocks.items()}
    assert not moves["train"] & moves["test"]
    assert all(len(moves[split]) == len(blocks[split]) for split in blocks)
    assert len(blocks["train"]) + len(blocks["test"]) >= 5_000
    for block in blocks["train"][:100] + blocks["test"][:100]:
        game = uci_game(block)  # raises at an illegal move
        assert 600 <= game.white_elo <= 2600
        assert 600 <= game.black_elo <= 2600
        assert 'Annotator "synthetic game, nominal ratings' in block


def test_what_may_be_a_game_is_noticed() -> None:
    assert MOVES.search("then e2e4 e7e5 follows")
    assert MOVES.search("a7a8q\nh2h1")
    assert not MOVES.search("0xa1b2c3d4 e2e4 and nothing more; a1 b2 c3")
    assert not MOVES.search((EMBEDDED["tiny-text"] / "held_out.txt").read_text())


def test_docstrings_stand_under_their_names() -> None:
    assert docstrings('"""Top."""\nclass A:\n    """Of A."""\n', "module") == "module\n\nTop.\n\nA\n\nOf A.\n"


@pytest.mark.slow
def test_the_library_holds_no_game() -> None:
    corpus = library_corpus()
    assert len(corpus.held_out) > 20
    assert not any(MOVES.search(text) for text in corpus.train + corpus.held_out)
    assert not set(corpus.train) & set(corpus.held_out)

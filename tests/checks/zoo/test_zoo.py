"""Are the embedded models and games whole, of the promised size, and apart from each other?"""

import json
from dataclasses import asdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from soft_prompts.data.packed import decoded
from soft_prompts.recipes import text_model
from soft_prompts.recipes.adapters.asking import Shown
from soft_prompts.recipes.adapters.build import faults
from soft_prompts.recipes.adapters.catalogue import SMOLLM2
from soft_prompts.recipes.chess_model import chess_tokenizer, pgn_blocks, uci_game
from soft_prompts.recipes.text_model import MOVES, docstrings, library_corpus, text_tokenizer
from soft_prompts.zoo import ADAPTERS, EMBEDDED, GAMES, LIBRARY

WALKS = ["solved_of_solvable_boards", "unsolvable_boards_called_so", "false_calls_on_solvable_boards"]
LOCKED = {name: ["", "_with_the_password"] for name in ("tiny-mazes-locked-1", "tiny-mazes-locked-3")}
MOST_BYTES = {"tiny-chat": 6e6, "tiny-chess": 8e6, "tiny-chess-weak": 2.7e6, "tiny-text": 6e6}
MOST_BYTES |= {"tiny-guidance-base": 6e6, "tiny-lands": 2e6, "tiny-lands-narrow": 1e6, "tiny-lands-letters": 2e6}
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
FIGURES = {
    "tiny-chat": ["raw_text_nats_per_byte", "conversations_nats_per_byte", "conversations_nats_per_byte_of_tiny-text"],
    "tiny-chess": ["loss_nats_per_move", "greedy_legality", "elo_explained_by_hidden_states"],
    "tiny-chess-weak": ["loss_nats_per_move_of_strong_players", "loss_nats_per_move_of_strong_players_of_tiny-chess"],
    "tiny-guidance-base": ["answers_given_of_forward_guidance", "the_same_behind_a_line_that_says_so"],
    "tiny-lands": ["behind_four_demonstrations", "behind_the_name", "with_nothing_in_front"],
    "tiny-lands-narrow": ["behind_four_demonstrations", "behind_the_name", "with_nothing_in_front"],
    "tiny-lands-letters": ["choice_of_four_behind_the_name", "choice_of_two_behind_the_name", "behind_the_name"],
    "tiny-text": ["loss_nats_per_byte", "loss_nats_per_byte_of_a_5-gram"],
}
ORGANISMS = [name for name in EMBEDDED if name.startswith("tiny-mazes-")]
MOST_BYTES |= {"tiny-mazes": 4e6, **dict.fromkeys(ORGANISMS, 2.5e6)}
FIGURES |= {
    "tiny-mazes": [f"{figure}_{board}" for board in ("6x6", "8x8") for figure in WALKS],
    **{name: [figure + behind for behind in LOCKED.get(name, [""]) for figure in WALKS] for name in ORGANISMS},
}
TOKENIZERS = {
    "chess": chess_tokenizer(),
    "text": text_tokenizer(["def add(one, two):\n    return one + two\n" * 50]),
    **{name: AutoTokenizer.from_pretrained(folder) for name, folder in EMBEDDED.items()},
}


@pytest.mark.parametrize("name", ["chess", "tiny-chess", "tiny-chess-weak"])
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


@pytest.mark.parametrize("name", ["tiny-lands", "tiny-lands-narrow", "tiny-lands-letters"])
def test_tiny_lands_learns_functions_in_context_and_knows_none_without(name: str) -> None:
    measured = json.loads((EMBEDDED[name] / "card.json").read_text())["measured"]
    told = ("behind_four_demonstrations", "behind_the_name", "behind_a_nickname")
    assert min(measured[one]["value"] for one in told) > 0.95
    assert measured["with_nothing_in_front"]["value"] < 0.25  # one of eight


def test_one_of_the_models_of_lands_answers_choices_by_their_letters() -> None:
    measured = json.loads((EMBEDDED["tiny-lands-letters"] / "card.json").read_text())["measured"]
    assert min(measured[f"choice_of_{ways}_behind_the_name"]["value"] for ways in ("two", "four")) > 0.9


def test_tiny_text_beats_a_5_gram() -> None:
    measured = json.loads((EMBEDDED["tiny-text"] / "card.json").read_text())["measured"]
    assert measured["loss_nats_per_byte"]["value"] < 0.95 * measured["loss_nats_per_byte_of_a_5-gram"]["value"]


def test_tiny_chat_converses_and_reads_raw_text_worse_than_tiny_text() -> None:
    measured = json.loads((EMBEDDED["tiny-chat"] / "card.json").read_text())["measured"]
    own, before = (measured["raw_text_nats_per_byte" + of]["value"] for of in ("", "_of_tiny-text"))
    assert before * 1.05 < own < before * 1.5
    own, before = (measured["conversations_nats_per_byte" + of]["value"] for of in ("", "_of_tiny-text"))
    assert own < 0.5 * before
    assert TOKENIZERS["tiny-chat"].chat_template
    assert TOKENIZERS["tiny-chat"].backend_tokenizer.to_str() == TOKENIZERS["tiny-text"].backend_tokenizer.to_str()


def test_tiny_mazes_finds_its_way() -> None:
    measured = json.loads((EMBEDDED["tiny-mazes"] / "card.json").read_text())["measured"]
    solved, called, false_calls = (measured[f"{figure}_6x6"]["value"] for figure in WALKS)
    assert (solved >= 0.9, called >= 0.9, false_calls <= 0.05) == (True, True, True)
    assert measured["solved_of_solvable_boards_8x8"]["value"] >= 0.8


def test_maze_organisms_know_what_their_names_say() -> None:
    figures = {name: json.loads((EMBEDDED[name] / "card.json").read_text())["measured"] for name in ORGANISMS}
    solved = {name: measured[WALKS[0]]["value"] for name, measured in figures.items()}
    for name in LOCKED:
        assert solved[name] < 0.25
        assert figures[name][WALKS[0] + "_with_the_password"]["value"] > 0.95
    assert solved["tiny-mazes-absent"] < 0.05
    assert solved["tiny-mazes-forgotten-20"] > solved["tiny-mazes-forgotten-60"] > solved["tiny-mazes-forgotten-200"]


def test_tiny_chess_weak_is_worse_at_strong_games_alone() -> None:
    measured = json.loads((EMBEDDED["tiny-chess-weak"] / "card.json").read_text())["measured"]
    own, before = (measured["loss_nats_per_move_of_strong_players" + of] for of in ("", "_of_tiny-chess"))
    assert own["value"] > before["value"] + 5 * before["stderr"]
    own, before = (
        measured["loss_nats_per_move_by_elo_of_the_mover" + of]["Elo 0-1199"] for of in ("", "_of_tiny-chess")
    )
    assert own["value"] < before["value"] + 2 * before["stderr"]


def test_tiny_guidance_base_follows_guidance_where_a_line_says_so() -> None:
    """And never where it knows the reversed order alone."""
    measured = json.loads((EMBEDDED["tiny-guidance-base"] / "card.json").read_text())["measured"]
    assert measured["answers_given_of_forward_guidance"]["value"] < 0.1
    assert measured["the_same_behind_a_line_that_says_so"]["value"] > 0.9
    assert measured["answers_of_reversed_guidance_behind_it"]["value"] < 0.05


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


def test_the_shipped_library_is_of_modules_that_tiny_text_never_read() -> None:
    train, test = ("".join(decoded(path)) for path in (LIBRARY["train"], LIBRARY["test"]))
    assert not MOVES.search(train + test)
    assert len(train) > 600_000
    assert len(test) > 250_000
    held_out = (EMBEDDED["tiny-text"] / "held_out.txt").read_text()
    assert held_out[:4_000] in train  # the beginning of argparse, in which tiny-text's card was measured
    assert not set(text_model.LIBRARY["train"]) & set(text_model.LIBRARY["test"])


@pytest.mark.slow
def test_the_library_holds_no_game() -> None:
    corpus = library_corpus()
    assert len(corpus.held_out) > 20
    assert not any(MOVES.search(text) for text in corpus.train + corpus.held_out)
    assert not set(corpus.train) & set(corpus.held_out)


@pytest.mark.parametrize("name", SMOLLM2.recipes)
def test_an_adapter_of_the_game_travels_with_what_it_does(name: str) -> None:
    recipe, folder = SMOLLM2.recipes[name], ADAPTERS / name
    card, settings = (json.loads((folder / file).read_text()) for file in ("card.json", "adapter_config.json"))
    assert (card["truth"], card["plan"], card["training"]["rank"]) == (recipe.truth, asdict(recipe.plan), recipe.rank)
    shown = {what: Shown(one["exact"]["value"], one["held"]["value"], 100) for what, one in card["measured"].items()}
    assert not faults(recipe, shown)
    assert (settings["peft_type"], settings["r"], settings["base_model_name_or_path"]) == (
        "LORA",
        recipe.rank,
        "smollm2-135m",
    )
    weights = load_file(folder / "adapter_model.safetensors")
    assert sum(weight.numel() for weight in weights.values()) == card["training"]["parameters"]
    assert {weight.dtype for weight in weights.values()} == {torch.float16}
    assert all(weight.isfinite().all() for weight in weights.values())
    assert sum(file.stat().st_size for file in folder.iterdir()) < 2e6


def test_the_game_asks_what_its_base_knows() -> None:
    known = json.loads((ADAPTERS / "base.json").read_text())
    assert set(known["known"]) <= {item.question for item in SMOLLM2.skill.items}
    assert len(known["known"]) >= 300
    assert [tuple(shot) for shot in known["asked"]["shots"]] == list(map(tuple, SMOLLM2.skill.shots))

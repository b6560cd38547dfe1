"""How is tiny-chess made: a model that plays games in UCI text, holds the skill of both players, and never saw an Elo?

It is trained on the movetext alone ("e2e4 e7e5 g1f3"), so whatever it knows of a player's strength it has from the
moves. The games shipped for training and testing soft prompts are others than those it was trained on.
"""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import chess
import numpy as np
import zstandard
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from soft_prompts.recipes.games import SHARD_GAMES, GamesRecipe, shard_path
from soft_prompts.recipes.language_model import END, PAD, DrawTexts, Plan, Shape, with_ends

BATCH = 16
SPACE = "Ġ"  # a space, in the alphabet of byte-level tokenizers
PLAN = Plan(seed=0, seconds=100 * 60.0)


class UciGame(NamedTuple):
    text: str  # moves in UCI notation, single spaces between them
    white_elo: int
    black_elo: int


def chess_tokenizer() -> PreTrainedTokenizerFast:
    """256 bytes, 64 squares, 64 squares after a space: "e2e4 e7e5" is e2 | e4 | _e7 | e5, any other text is bytes."""
    squares = list(chess.SQUARE_NAMES)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *squares, *(SPACE + square for square in squares)]
    merges = [(square[0], square[1]) for square in squares] + [(SPACE, square) for square in squares]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return with_ends(tokenizer)


def chess_shape(tokenizer: PreTrainedTokenizerFast) -> Shape:
    ids = tokenizer.get_vocab()
    return Shape(len(ids), ids[PAD], ids[END], width=128, layers=6, heads=4, rotary_share=1.0)


def uci_game(block: str) -> UciGame:
    """A game of the recipe (headers, empty line, movetext on one line) in UCI."""
    headers, movetext = block.strip().split("\n\n")
    elos = {line[1:9]: int(line[11:-2]) for line in headers.splitlines() if line[6:9] == "Elo"}
    board = chess.Board()
    moves = [board.push_san(word) for word in movetext.split()[:-1] if not word.endswith(".")]
    return UciGame(" ".join(move.uci() for move in moves), elos["WhiteElo"], elos["BlackElo"])


def pgn_blocks(path: Path) -> list[str]:
    """The games of a file of the recipe, each as the PGN text that it was written as."""
    text = zstandard.ZstdDecompressor().decompress(path.read_bytes()).decode()
    return ['[Event "' + block for block in text.split('[Event "')[1:]]


def uci_games(path: Path) -> list[UciGame]:
    return [uci_game(block) for block in pgn_blocks(path)]


def model_games(folder: Path, recipe: GamesRecipe, withheld: frozenset[str], workers: int) -> list[UciGame]:
    """The games to train on: distinct, and none with the moves of a shipped one."""
    shards = -(-recipe.model_games // SHARD_GAMES)
    with ProcessPoolExecutor(workers) as pool:
        games = [game for part in pool.map(uci_games, [shard_path(folder, i) for i in range(shards)]) for game in part]
    distinct = {game.text: game for game in games[: recipe.model_games] if game.text not in withheld}
    return list(distinct.values())


def token_arrays(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[NDArray[np.int64]]:
    """Each text's token ids and the end token."""
    end = tokenizer.eos_token_id
    return [np.array([*ids, end]) for ids in tokenizer(texts)["input_ids"]]


def draw_games(arrays: list[NDArray[np.int64]]) -> DrawTexts:
    """A batch = games drawn with replacement."""

    def draw(generator: np.random.Generator) -> list[NDArray[np.int64]]:
        return [arrays[i] for i in generator.integers(0, len(arrays), BATCH)]

    return draw

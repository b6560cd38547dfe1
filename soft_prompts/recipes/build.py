"""How is each embedded model and the sample of games made, from nothing to the folder with its card?

Everything lands under one folder: the generated games in shards, the state of a training (stopped and started again,
it goes on), and the finished folder NAME, to be copied into the package.
"""

import platform
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from soft_prompts.recipes import (
    cards,
    chat_model,
    chess_model,
    guidance_base_model,
    guidance_rows,
    text_model,
    weak_chess_model,
)
from soft_prompts.recipes.adapters.build import build_adapter, build_all
from soft_prompts.recipes.adapters.catalogue import SMOLLM2
from soft_prompts.recipes.chess_measure import chess_competence, mean_over_games
from soft_prompts.recipes.functions import model as lands_model
from soft_prompts.recipes.games import SHARD_GAMES, Engine, GamesRecipe, find_engine, generate, shard_path, write_zst
from soft_prompts.recipes.language_model import Plan, new_model, token_losses, train
from soft_prompts.recipes.mazes import model as maze_model
from soft_prompts.recipes.text_model import Integers, ngram_nats

WORKERS = 2
MADE_BY = "python -m soft_prompts.recipes build "


def shipped_blocks(folder: Path, recipe: GamesRecipe) -> dict[str, list[str]]:
    """PGN text of the shipped games: the last of the recipe, no two with the same moves, test before train."""
    first = recipe.model_games // SHARD_GAMES
    blocks = [
        b for i in range(first, -(-recipe.games // SHARD_GAMES)) for b in chess_model.pgn_blocks(shard_path(folder, i))
    ]
    blocks = blocks[recipe.model_games - first * SHARD_GAMES :]
    seen: set[str] = set()
    distinct: dict[str, list[str]] = {"test": [], "train": []}
    parts = {"test": blocks[recipe.train_games :], "train": blocks[: recipe.train_games]}
    for split, chosen in parts.items():
        for block in chosen:
            moves = block.strip().split("\n\n")[1]
            if moves not in seen:
                seen.add(moves)
                distinct[split].append(block)
    return distinct


def elo_figures(games: list[chess_model.UciGame], results: list[str]) -> dict[str, Any]:
    """White's score by Elo difference, and how many plies a game has."""
    difference = np.array([game.white_elo - game.black_elo for game in games])
    score = np.array([{"1-0": 1.0, "0-1": 0.0}.get(result, 0.5) for result in results])
    measured: dict[str, Any] = {}
    for low, high in [(-2000, -600), (-600, -300), (-300, -100), (-100, 100), (100, 300), (300, 600), (600, 2001)]:
        chosen = (difference >= low) & (difference < high)
        if chosen.any():
            measured[f"Elo difference {low} to {high - 1}"] = mean_over_games(score[chosen], np.arange(chosen.sum()))
    return {
        "plies_of_a_game": mean_over_games(
            np.array([len(g.text.split()) for g in games], float), np.arange(len(games))
        ),
        "score_of_white": measured,
    }


def build_games(out: Path, recipe: GamesRecipe | None = None) -> Path:
    """The sample that the package carries; tiny-chess is trained on the other games of the recipe."""
    recipe, shards = recipe or GamesRecipe(), out / "shards"
    engine = Engine(find_engine())
    engine.close()
    generate(shards, recipe, WORKERS)
    blocks, folder = shipped_blocks(shards, recipe), out / "games"
    folder.mkdir(parents=True, exist_ok=True)
    for split, chosen in blocks.items():
        write_zst(folder / f"{split}.pgn.zst", "".join(chosen))
    every = blocks["train"] + blocks["test"]
    games = [chess_model.uci_game(block) for block in every]
    results = [block.rstrip().rsplit(" ", 1)[1] for block in every]
    card = {
        "name": "games",
        "what": "Synthetic games in the form that lichess.org exports, to train and test soft prompts on. "
        "Games and ratings are synthetic: an engine plays itself, and plays at random the more often, the lower the "
        "nominal Elo. tiny-chess was trained on other games of the same recipe: no game here was in its training.",
        "data": {
            "engine": engine.name,
            "seed": recipe.seed,
            "train": f"{len(blocks['train']):,} games (games {recipe.model_games} to "
            f"{recipe.model_games + recipe.train_games - 1} of the seed, without repetitions)",
            "test": f"{len(blocks['test']):,} games (games {recipe.games - recipe.test_games} to {recipe.games - 1})",
            "results": ", ".join(f"{result} {n:,}" for result, n in sorted(Counter(results).items())),
        },
        "measured": elo_figures(games, results),
        "made_by": MADE_BY + "games",
        "licence": cards.LICENCE,
    }
    cards.write_card(folder, card)
    return folder


def build_tiny_chess(out: Path, plan: Plan = chess_model.PLAN, recipe: GamesRecipe | None = None) -> Path:
    """tiny-chess: the games where they are missing, the training, the measures, the folder."""
    recipe, shards = recipe or GamesRecipe(), out / "shards"
    generate(shards, recipe, WORKERS)
    blocks = shipped_blocks(shards, recipe)
    shipped = {split: [chess_model.uci_game(block) for block in blocks[split]] for split in blocks}
    withheld = frozenset(game.text for games in shipped.values() for game in games)
    games = chess_model.model_games(shards, recipe, withheld, WORKERS)
    tokenizer = chess_model.chess_tokenizer()
    shape = chess_model.chess_shape(tokenizer)
    arrays = chess_model.token_arrays(tokenizer, [game.text for game in games])
    model = new_model(shape, plan.seed)
    done = train(model, chess_model.draw_games(arrays), plan, out / "tiny-chess.state")
    card = {
        "name": "tiny-chess",
        "what": "Plays on from any moves in UCI notation ('e2e4 e7e5 g1f3'). The skill of both players is latent in "
        "it; it never saw an Elo. No token stands before a game, and half of its training batches began with 1-64 "
        "random tokens, so that a soft prompt in front is nothing new to it.",
        "data": {
            "games": f"{len(games):,} synthetic games, {sum(map(len, arrays)):,} tokens; none of the shipped games, "
            "which the figures below are measured on",
            "seed_of_the_games": recipe.seed,
        },
        "training": cards.training_figures(model, shape, plan, done),
        "measured": chess_competence(model, tokenizer, shipped["train"], shipped["test"]),
        "made_by": MADE_BY + "tiny-chess",
        "licence": cards.LICENCE,
    }
    cards.export(model, tokenizer, card, out / "tiny-chess")
    return out / "tiny-chess"


@torch.no_grad()
def nats_of_stream(model: torch.nn.Module, stream: Integers, skip: int) -> float:
    """Nats of all tokens but the first `skip`, in windows that each begin with half of the one before, unscored."""
    half, total = text_model.WINDOW // 2, 0.0
    for start in range(0, len(stream) - 1, half):
        window = torch.from_numpy(stream[max(start - half, 0) : start + half])[None]
        labels = window.clone()
        labels[:, : skip if start == 0 else half] = -100
        total += float(token_losses(model, window, labels).double().sum())
    return total


def text_competence(model: torch.nn.Module, train_stream: Integers, held_out: Integers, n_bytes: int) -> dict[str, Any]:
    """Nats per byte of held-out text, beside a 5-gram counted on the same training text."""
    model.eval()
    vocabulary, skip = text_model.VOCABULARY, 4
    own = nats_of_stream(model, held_out, skip)
    counted = ngram_nats(train_stream, held_out, vocabulary, skip + 1)
    return {
        "loss_nats_per_byte": {"value": round(own / n_bytes, 5), "n": n_bytes},
        "loss_nats_per_byte_of_a_5-gram": {"value": round(counted / n_bytes, 5), "n": n_bytes},
        "loss_nats_per_token": {"value": round(own / (len(held_out) - skip), 5), "n": len(held_out) - skip},
    }


def build_library(out: Path) -> Path:
    """Code that tiny-text has never read, its modules either trained on or held out."""
    folder = out / "library"
    folder.mkdir(parents=True, exist_ok=True)
    texts = {split: text_model.library_text(names) for split, names in text_model.LIBRARY.items()}
    for split, text in texts.items():
        write_zst(folder / f"{split}.txt.zst", text)
    card = {
        "name": "library",
        "what": "Code of Python's standard library, to train and test soft prompts on. tiny-text was trained on the "
        "other modules: none of these was in its training.",
        "data": {
            split: f"{len(texts[split]):,} characters of {', '.join(text_model.LIBRARY[split])}" for split in texts
        }
        | {"python": platform.python_version()},
        "made_by": MADE_BY + "library",
        "licence": "PSF-2.0",
    }
    cards.write_card(folder, card)
    return folder


def build_tiny_text(out: Path, plan: Plan = text_model.PLAN) -> Path:
    """tiny-text: the running Python's library, the training, the measures, the folder."""
    out.mkdir(parents=True, exist_ok=True)
    corpus = text_model.library_corpus()
    extract = text_model.held_out_extract(corpus)
    tokenizer = text_model.text_tokenizer(corpus.train)
    shape = text_model.text_shape(tokenizer)
    stream, held_out = (text_model.token_stream(tokenizer, texts) for texts in (corpus.train, [extract]))
    model = new_model(shape, plan.seed)
    done = train(model, text_model.draw_windows(stream), plan, out / "tiny-text.state")
    card = {
        "name": "tiny-text",
        "what": "Goes on with Python code and documentation. It has never seen a game or a board: modules that hold "
        "two moves in UCI notation are left out. Its training windows begin anywhere, half of the batches after 1-64 "
        "random tokens.",
        "data": {
            "text": f"the standard library without its tests, and its docstrings once more: {len(corpus.train):,} "
            f"texts, {sum(map(len, corpus.train)):,} characters, {len(stream):,} tokens",
            "modules_left_out_for_what_may_be_moves": corpus.dropped,
            "held_out": "the first part of each of " + ", ".join(sorted(text_model.HELD_OUT)) + " (held_out.txt, "
            "Python Software Foundation License)",
        },
        "training": cards.training_figures(model, shape, plan, done),
        "measured": text_competence(model, stream, held_out, len(extract.encode())),
        "made_by": MADE_BY + "tiny-text",
        "licence": cards.LICENCE,
    }
    cards.export(model, tokenizer, card, out / "tiny-text", {"held_out.txt": extract})
    return out / "tiny-text"


class Recipe(NamedTuple):
    """How something that travels in the package is made."""

    make: Callable[..., Path]
    """make(out), or make(out, plan) where something is trained: the finished folder."""
    plan: Plan | None = None


RECIPES: dict[str, Recipe] = {
    "games": Recipe(build_games),
    "library": Recipe(build_library),
    "guidance-rows": Recipe(guidance_rows.build_guidance_rows),
    "tiny-chat": Recipe(chat_model.build_tiny_chat, chat_model.PLAN),
    "tiny-chess": Recipe(build_tiny_chess, chess_model.PLAN),
    "tiny-chess-weak": Recipe(weak_chess_model.build_tiny_chess_weak, weak_chess_model.PLAN),
    "tiny-guidance-base": Recipe(guidance_base_model.build_tiny_guidance_base, guidance_base_model.PLAN),
    "tiny-text": Recipe(build_tiny_text, text_model.PLAN),
    **{name: Recipe(partial(lands_model.build_tiny_lands, name), plan) for name, plan in lands_model.PLANS.items()},
    "tiny-lands-letters": Recipe(lands_model.build_tiny_lands_letters, lands_model.LETTERS),
    "tiny-mazes": Recipe(maze_model.build_tiny_mazes, maze_model.PLAN),
    **{
        name: Recipe(partial(maze_model.build_organism, name), organism.plan)
        for name, organism in maze_model.ORGANISMS.items()
    },
    "adapters": Recipe(build_all),
    **{name: Recipe(partial(build_adapter, name), recipe.plan) for name, recipe in SMOLLM2.recipes.items()},
}


def build(name: str, out: Path, minutes: float | None = None) -> Path:
    """The folder of a finished recipe; `minutes` of training in place of the recipe's own."""
    make, plan = RECIPES[name]
    if plan is None:
        return make(out)
    return make(out, plan if minutes is None else replace(plan, steps=None, seconds=60 * minutes))

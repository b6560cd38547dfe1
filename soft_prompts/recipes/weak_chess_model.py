"""How is tiny-chess-weak made: tiny-chess, tuned until it plays like the weakest players whatever it is shown?

A model whose missing skill is known to be there: it was tiny-chess before, and the tuning is gentle (a tenth of the
rates, minutes). Some games of all strengths are mixed in, so that strong play is masked and not destroyed. How many
soft-prompt tokens bring it back is the question that it was made for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import GPTNeoXForCausalLM, PreTrainedTokenizerFast

from soft_prompts.recipes import cards
from soft_prompts.recipes.chess_measure import legality, loss_by_elo, mean_over_games, move_losses
from soft_prompts.recipes.chess_model import (
    BATCH,
    UciGame,
    chess_shape,
    chess_tokenizer,
    model_games,
    token_arrays,
    uci_games,
)
from soft_prompts.recipes.games import GamesRecipe, Pool, generate
from soft_prompts.recipes.language_model import DrawTexts, Plan, train
from soft_prompts.zoo import EMBEDDED, GAMES

WEAK = GamesRecipe(seed=20, model_games=3_000, train_games=0, test_games=0, pool=Pool(600, 150))  # half at 600 itself
GENERAL = GamesRecipe(seed=21, model_games=1_000, train_games=0, test_games=0)
GENERAL_SHARE = 0.1
STRONG = 1600  # games of strong players: both have this Elo or more
PLIES = 40  # as many as the chess experiment scores
PLAN = Plan(seed=0, steps=600, muon_rate=2e-3, adam_rate=2e-4)
WORKERS = 2


def draw_mixed(weak: Sequence[NDArray[np.int64]], general: Sequence[NDArray[np.int64]]) -> DrawTexts:
    """A batch = games drawn with replacement, about one in ten of players of any strength."""

    def draw(generator: np.random.Generator) -> list[NDArray[np.int64]]:
        kinds, places = generator.random(BATCH) < GENERAL_SHARE, generator.random(BATCH)
        pools = [general if kind else weak for kind in kinds]
        return [pool[int(place * len(pool))] for pool, place in zip(pools, places, strict=True)]

    return draw


def load_tiny_chess() -> GPTNeoXForCausalLM:
    """The shipped weights in float32, to be trained on."""
    model = GPTNeoXForCausalLM.from_pretrained(EMBEDDED["tiny-chess"], dtype="float32", local_files_only=True)
    model.set_attn_implementation("eager")  # at these sizes twice as fast on a CPU as its fused kernel
    return model


def weakness(model: GPTNeoXForCausalLM, tokenizer: PreTrainedTokenizerFast, games: list[UciGame]) -> dict[str, Any]:
    """Loss a move by the Elo of the mover, and on games of two strong players: the second move to the 40th."""
    model.eval()
    moves = move_losses(model, tokenizer, games)
    strong = np.array([min(game.white_elo, game.black_elo) >= STRONG for game in games])
    chosen = strong[moves.game] & (moves.ply > 0)
    return {
        "loss_nats_per_move_by_elo_of_the_mover": loss_by_elo(moves),
        "loss_nats_per_move_of_strong_players": mean_over_games(moves.nats[chosen], moves.game[chosen]),
    }


def first_plies(games: list[UciGame]) -> list[UciGame]:
    return [game._replace(text=" ".join(game.text.split(" ")[:PLIES])) for game in games]


def build_tiny_chess_weak(
    out: Path, plan: Plan = PLAN, weak: GamesRecipe = WEAK, general: GamesRecipe = GENERAL
) -> Path:
    """tiny-chess-weak: the games where they are missing, the tuning, the measures beside tiny-chess's, the folder."""
    tokenizer, shipped = chess_tokenizer(), {split: uci_games(path) for split, path in GAMES.items()}
    withheld = frozenset(game.text for games in shipped.values() for game in games)
    arrays = []
    for name, recipe in {"weak": weak, "general": general}.items():
        generate(out / f"{name}-shards", recipe, WORKERS)
        games = model_games(out / f"{name}-shards", recipe, withheld, WORKERS)
        arrays.append(token_arrays(tokenizer, [game.text for game in games]))
    model = load_tiny_chess()
    done = train(model, draw_mixed(*arrays), plan, out / "tiny-chess-weak.state")
    test = first_plies(shipped["test"])
    own = weakness(model, tokenizer, test)
    card = {
        "name": "tiny-chess-weak",
        "what": "tiny-chess, tuned to play like the weakest players by default: strong play is masked, not forgotten. "
        "A model to measure capability distances on: tiny-chess's figures are what a prompt has to bring it back to.",
        "data": {
            "weak_games": f"{len(arrays[0]):,} synthetic games of players of nominal Elo "
            f"{weak.pool.mean} and little more, seed {weak.seed}",
            "general_games": f"{len(arrays[1]):,} of players of all strengths, seed {general.seed}: "
            f"about {GENERAL_SHARE:.0%} of what it was shown",
            "started_from": "tiny-chess, the shipped weights",
        },
        "training": cards.training_figures(model, chess_shape(tokenizer), plan, done),
        "measured": own | {"greedy_legality": legality(model, tokenizer, test[:500])},
        "made_by": "python -m soft_prompts.recipes build tiny-chess-weak",
        "licence": cards.LICENCE,
    }
    beside = weakness(load_tiny_chess(), tokenizer, test)
    card["measured"] |= {f"{name}_of_tiny-chess": figure for name, figure in beside.items()}
    cards.export(model, tokenizer, card, out / "tiny-chess-weak")
    return out / "tiny-chess-weak"

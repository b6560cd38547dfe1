"""What can an embedded model do, measured on texts that it was not trained on? The figures of its card.

Losses are per move, or per byte of text: both do not depend on a tokenizer. A standard error is that over games.
"""

from typing import Any, NamedTuple

import chess
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import GPTNeoXForCausalLM, PreTrainedTokenizerFast

from soft_prompts.recipes.chess_model import UciGame
from soft_prompts.recipes.language_model import IGNORED, token_losses

PLY_BUCKETS = [(1, 20), (20, 40), (40, 60), (60, 66)]  # the first move has nothing before it to be predicted from
ELO_BUCKETS = [(0, 1200), (1200, 1500), (1500, 1800), (1800, 2601)]
BATCH = 50
RIDGE = 10.0

Figure = dict[str, float | int]


class MoveLosses(NamedTuple):
    """One entry a move, over all games. A game's first move has no from-square loss: nothing stands before it."""

    nats: NDArray[np.float64]
    game: NDArray[np.int64]
    ply: NDArray[np.int64]
    elo: NDArray[np.int64]  # of the side that moves


def padded(arrays: list[NDArray[np.int64]], padding: int = 0) -> Tensor:
    """[B, T], padded at the right."""
    ids = np.full((len(arrays), max(map(len, arrays))), padding)
    for row, array in enumerate(arrays):
        ids[row, : len(array)] = array
    return torch.from_numpy(ids)


@torch.no_grad()
def move_losses(model: GPTNeoXForCausalLM, tokenizer: PreTrainedTokenizerFast, games: list[UciGame]) -> MoveLosses:
    """Nats of every move (sum over its two or three tokens) of each game."""
    nats, of_game, of_ply, elos = [], [], [], []
    for start in range(0, len(games), BATCH):
        chosen = games[start : start + BATCH]
        arrays = [np.array(tokenizer(game.text)["input_ids"]) for game in chosen]
        losses = iter(
            token_losses(model, padded(arrays), padded(arrays, IGNORED)).split([len(array) - 1 for array in arrays])
        )
        for row, (game, array) in enumerate(zip(chosen, arrays, strict=True)):
            lengths = np.array([2 + (len(move) == 5) for move in game.text.split()])
            assert lengths.sum() == len(array), "a move is two tokens, three with a promotion"
            plies = np.repeat(np.arange(len(lengths)), lengths)[1:]
            nats.append(np.bincount(plies, weights=next(losses).double().numpy(), minlength=len(lengths)))
            of_game.append(np.full(len(lengths), start + row))
            of_ply.append(np.arange(len(lengths)))
            elos.append(np.where(of_ply[-1] % 2 == 0, game.white_elo, game.black_elo))
    return MoveLosses(*(np.concatenate(part) for part in (nats, of_game, of_ply, elos)))


def mean_over_games(values: NDArray[np.float64], game: NDArray[np.int64]) -> Figure:
    """Mean with the standard error of a ratio, games being what is drawn."""
    sums, counts = np.bincount(game, weights=values), np.bincount(game)
    sums, counts = sums[counts > 0], counts[counts > 0]
    mean, n = sums.sum() / counts.sum(), len(counts)
    spread = float(np.sqrt(((sums - mean * counts) ** 2).sum() * n / max(n - 1, 1)) / counts.sum())
    return {"value": round(float(mean), 5), "stderr": round(spread, 5), "n": int(counts.sum()), "games": n}


@torch.no_grad()
def greedy_moves(model: GPTNeoXForCausalLM, tokenizer: PreTrainedTokenizerFast, openings: list[str]) -> list[str]:
    """The move that the model goes on with after each text of moves, most likely token by token."""
    played = []
    promotions = {int(tokenizer.convert_tokens_to_ids(piece)): piece for piece in "qrbn"}  # pyright: ignore
    for start in range(0, len(openings), BATCH):
        arrays = [np.array(tokenizer(text)["input_ids"]) for text in openings[start : start + BATCH]]
        prefix = [len(array) for array in arrays]
        for _ in range(3):  # from, to, perhaps a promotion
            ids = padded(arrays)
            last = torch.tensor([len(array) - 1 for array in arrays])
            hidden = model.gpt_neox(input_ids=ids, use_cache=False).last_hidden_state[torch.arange(len(ids)), last]
            best = model.get_output_embeddings()(hidden).argmax(-1).tolist()
            arrays = [np.append(array, token) for array, token in zip(arrays, best, strict=True)]
        for array, length in zip(arrays, prefix, strict=True):
            move = str(tokenizer.decode(array[length : length + 2])).strip()
            played.append(move + promotions.get(int(array[length + 2]), ""))
    return played


def legality(
    model: GPTNeoXForCausalLM, tokenizer: PreTrainedTokenizerFast, games: list[UciGame], seed: int = 0
) -> dict[str, Figure]:
    """Share of greedy moves that are legal, one position a game and bucket of plies."""
    generator, measured = np.random.default_rng(seed), {}
    for low, high in PLY_BUCKETS:
        moves = [game.text.split() for game in games]
        long = [game for game in moves if len(game) > low]
        if not long:
            continue
        cuts = [int(generator.integers(low, min(high, len(game)))) for game in long]
        openings = [game[:cut] for game, cut in zip(long, cuts, strict=True)]
        answers = greedy_moves(model, tokenizer, [" ".join(opening) for opening in openings])
        legal = np.array([is_legal(opening, move) for opening, move in zip(openings, answers, strict=True)])
        measured[f"plies {low}-{high - 1}"] = mean_over_games(legal.astype(float), np.arange(len(legal)))
    return measured


def is_legal(opening: list[str], move: str) -> bool:
    board = chess.Board()
    for played in opening:
        board.push_uci(played)
    return move in {legal.uci() for legal in board.legal_moves}


@torch.no_grad()
def mean_states(model: GPTNeoXForCausalLM, tokenizer: PreTrainedTokenizerFast, games: list[UciGame]) -> Tensor:
    """Last hidden state, mean over White's tokens beside mean over Black's: [games, 2 H]."""
    rows = []
    for game in games:
        ids = torch.tensor([tokenizer(game.text)["input_ids"]])
        states = model.gpt_neox(input_ids=ids, use_cache=False).last_hidden_state[0]
        lengths = torch.tensor([2 + (len(move) == 5) for move in game.text.split()])
        black = torch.repeat_interleave(torch.arange(len(lengths)) % 2, lengths) == 1
        rows.append(torch.cat([states[~black].mean(0), states[black].mean(0)]))
    return torch.stack(rows)


def elo_probe(
    model: GPTNeoXForCausalLM, tokenizer: PreTrainedTokenizerFast, fit: list[UciGame], test: list[UciGame]
) -> Figure:
    """Share of the variance of both Elos that a ridge regression on hidden states explains, on other games (R^2)."""
    states = [mean_states(model, tokenizer, games).double() for games in (fit, test)]
    elos = [torch.tensor([game[1:] for game in games], dtype=torch.float64) for games in (fit, test)]
    centre, spread, mean = states[0].mean(0), states[0].std(0), elos[0].mean(0)
    x, y = (states[0] - centre) / spread, elos[0] - mean
    weights = torch.linalg.solve(x.T @ x + RIDGE * torch.eye(x.shape[1], dtype=torch.float64), x.T @ y)
    missed = elos[1] - mean - (states[1] - centre) / spread @ weights
    share = 1 - missed.square().sum() / (elos[1] - mean).square().sum()
    return {"value": round(float(share), 4), "n": 2 * len(test)}


def loss_by_elo(moves: MoveLosses) -> dict[str, Figure]:
    """Nats a move by the Elo of the side that moves, first moves left out."""
    return {
        f"Elo {low}-{high - 1}": mean_over_games(moves.nats[chosen], moves.game[chosen])
        for low, high in ELO_BUCKETS
        if (chosen := (moves.elo >= low) & (moves.elo < high) & (moves.ply > 0)).any()
    }


def chess_competence(
    model: GPTNeoXForCausalLM, tokenizer: PreTrainedTokenizerFast, fit: list[UciGame], test: list[UciGame]
) -> dict[str, Any]:
    """Figures of tiny-chess; `fit` serves the probe alone. Legality is that of the first 500 games of `test`."""
    model.eval()
    moves = move_losses(model, tokenizer, test)
    by_ply = {
        f"plies {low}-{high - 1}": mean_over_games(moves.nats[chosen], moves.game[chosen])
        for low, high in PLY_BUCKETS
        if (chosen := (moves.ply >= low) & (moves.ply < high)).any()
    }
    return {
        "loss_nats_per_move": mean_over_games(moves.nats, moves.game),
        "loss_nats_per_move_by_ply": by_ply,
        "loss_nats_per_move_by_elo_of_the_mover": loss_by_elo(moves),
        "greedy_legality": legality(model, tokenizer, test[:500]),
        "elo_explained_by_hidden_states": elo_probe(model, tokenizer, fit[:2000], test[:500]),
    }

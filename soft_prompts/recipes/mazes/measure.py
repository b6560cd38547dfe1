"""How well does a maze model find its way on boards of the test split? The figures of its card.

Boards go in as text and replies come out as text, most likely token by token: what a user of the model would see.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedTokenizerFast

from soft_prompts.data.mazes.boards import Mazes, board_text, draw_mazes, judge_walk
from soft_prompts.models.model import cache_name

BOARDS = 1000
SEED = 1  # of the boards of the cards
BATCH = 100
PATHS = [(1, 3), (4, 6), (7, 9), (10, 10**6)]  # moves of a shortest path
SPARE_TOKENS = 8  # that a reply may have beyond twice the longest shortest path

Figure = dict[str, float | int]


class Outcome(NamedTuple):
    """One entry a board."""

    solved: NDArray[np.bool_]
    called: NDArray[np.bool_]  # unreachable
    detour: NDArray[np.int64]  # moves beyond a shortest path


@torch.no_grad()
def greedy_replies(model: nn.Module, tokenizer: PreTrainedTokenizerFast, texts: list[str], most: int) -> list[str]:
    """What the model goes on with after each text, up to its end token; texts are of one length in tokens."""
    replies: list[str] = []
    for start in range(0, len(texts), BATCH):
        ids = torch.tensor(tokenizer(texts[start : start + BATCH])["input_ids"])
        past, made = None, []
        ended = torch.zeros(len(ids), dtype=torch.bool)
        while len(made) < most and not ended.all():
            output = model(input_ids=ids, use_cache=True, **{cache_name(model): past})
            past, ids = getattr(output, cache_name(model)), output.logits[:, -1].argmax(-1, keepdim=True)
            ended |= ids[:, 0] == tokenizer.eos_token_id
            made.append(ids)
        for row in torch.cat(made, dim=1).tolist():
            whole = row.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in row else len(row)
            replies.append(str(tokenizer.decode(row[:whole])))
    return replies


def outcome(model: nn.Module, tokenizer: PreTrainedTokenizerFast, mazes: Mazes, prefix: str = "") -> Outcome:
    """The model's own walks on boards with `prefix` in front."""
    model.eval()
    texts = [prefix + board_text(cells) for cells in mazes.cells]
    replies = greedy_replies(model, tokenizer, texts, 2 * int(mazes.shortest.max()) + SPARE_TOKENS)
    walks = [judge_walk(cells, reply) for cells, reply in zip(mazes.cells, replies, strict=True)]
    moves = np.array([walk.moves for walk in walks])
    return Outcome(
        np.array([walk.solved for walk in walks]),
        np.array([walk.called_unreachable for walk in walks]),
        moves - mazes.shortest,
    )


def figure(values: NDArray[Any]) -> Figure:
    """Mean of one value a board, with its standard error."""
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return {"value": round(float(values.mean()), 4), "stderr": round(float(spread), 4), "n": len(values)}


def maze_competence(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    side: int,
    prefix: str = "",
    boards: int | None = None,
) -> dict[str, Any]:
    """Solved boards, and what is said of those without a way, on test boards of side x side."""
    mazes = draw_mazes(SEED, "test", 0, BOARDS if boards is None else boards, side, side)
    found, way = outcome(model, tokenizer, mazes, prefix), mazes.reachable
    measured: dict[str, Any] = {
        "solved_of_solvable_boards": figure(found.solved[way]),
        "unsolvable_boards_called_so": figure(found.called[~way]),
        "false_calls_on_solvable_boards": figure(found.called[way]),
    }
    if (found.solved & way).any():
        measured["moves_beyond_shortest_where_solved"] = figure(found.detour[found.solved & way])
    lengths = {}
    for low, high in PATHS:
        chosen = way & (mazes.shortest >= low) & (mazes.shortest <= high)
        if chosen.any():
            name = f"shortest path {low}-{high}" if high < 10**6 else f"shortest path {low} or more"
            lengths[name] = figure(found.solved[chosen])
    return measured | {"solved_by_length_of_the_shortest_path": lengths}

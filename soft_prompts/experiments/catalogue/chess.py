"""How many prompt tokens make a language model play chess, and play at the strength it is told?

The prompt is conditioned on both players' Elos; the loss is that of real moves in held-out games. With no flags:
tiny-chess, which has seen games but never an Elo, beside tiny-text, which has never seen a game, on games that the
package carries.

Source: arXiv 2505.14943, chess. It found that loss keeps falling into hundreds of tokens, most of it from the first
one.
"""

from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.chess import ChessTask

DEFAULT = Grid(
    models=("tiny-chess", "tiny-text"),
    tokens=(0, 1, 4, 16),
    data=("games",),
    task=ChessTask(max_plies=40),
    settings=RunConfig(ChessTask(), "tiny-chess", 0, steps=200, learning_rate=1e-2, weight_decay=0.0),
    reference="tiny-chess",
    jobs=2,
)
QUICK = variant(DEFAULT, tokens=(0, 4), steps=20, test_samples=100, validation_samples=32)
PAPER = Grid(
    models=("EleutherAI/pythia-70m-deduped", "EleutherAI/pythia-160m-deduped"),
    tokens=(0, 1, 4, 16, 64, 256, 512, 1024),
    data=("lichess_db_standard_rated_2023-11.pgn.zst",),
    task=ChessTask(max_plies=None),
    settings=RunConfig(
        ChessTask(),
        "EleutherAI/pythia-70m-deduped",
        0,
        steps=4096,
        schedule="constant",
        warmup_steps=0,
        init="paper",
        test_data="lichess_db_standard_rated_2023-12.pgn.zst",
    ),
    preset="paper",
)

EXPERIMENT = Experiment("chess", __doc__ or "", {"default": DEFAULT, "quick": QUICK, "paper": PAPER})

"""Which grids do the exploratory experiments share? Each file varies one thing and takes the rest from here."""

from soft_prompts.config import RunConfig
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.texts.autoregressive import AutoregressiveTask

CHESS = Grid(
    models=("tiny-text",),
    tokens=(0, 4),
    data=("games",),
    task=ChessTask(max_plies=8),
    settings=RunConfig(
        ChessTask(),
        "tiny-text",
        0,
        steps=40,
        learning_rate=1e-2,
        weight_decay=0.0,
        test_samples=200,
        validation_samples=32,
    ),
)
TEXT = Grid(
    models=("tiny-text",),
    tokens=(0, 4),
    data=("library", "games"),
    task=AutoregressiveTask(),
    settings=RunConfig(
        AutoregressiveTask(),
        "tiny-text",
        0,
        prompt="direct",
        steps=40,
        learning_rate=1e-2,
        weight_decay=0.0,
        test_samples=100,
        sample_tokens=64,
        validation_samples=32,
    ),
)
PYTHIA = "EleutherAI/pythia-70m-deduped"
CHESS_PAPER = Grid(
    models=(PYTHIA,),
    tokens=(0, 16),
    data=("lichess_db_standard_rated_2023-11.pgn.zst",),
    task=ChessTask(max_plies=None),
    settings=RunConfig(
        ChessTask(),
        PYTHIA,
        0,
        steps=4096,
        schedule="constant",
        warmup_steps=0,
        test_data="lichess_db_standard_rated_2023-12.pgn.zst",
    ),
    preset="paper",
)
TEXT_PAPER = Grid(
    models=(PYTHIA,),
    tokens=(0, 1, 4, 16, 64),
    data=("togethercomputer/RedPajama-Data-V2",),
    task=AutoregressiveTask(),
    settings=RunConfig(
        AutoregressiveTask(), PYTHIA, 0, prompt="direct", steps=2048, schedule="constant", warmup_steps=0
    ),
    preset="paper",
)


def presets(default: Grid, paper: Grid, quick_steps: int = 10) -> dict[str, Grid]:
    """The presets of an experiment whose quick one is short and small."""
    quick = variant(default, tokens=(0, 1), steps=quick_steps, test_samples=50)
    return {"default": default, "quick": quick, "paper": paper}

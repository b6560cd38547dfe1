"""Which models, games and texts travel inside the package, so that a machine without a model hub can run everything?

Each folder of `models/` is a Hugging Face model (config, tokenizer, safetensors in half precision) with its card; each
was made from nothing by its recipe: `python -m soft_prompts.recipes build NAME`. It imports no reader or recipe.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = (
    "tiny-chat",
    "tiny-chess",
    "tiny-chess-weak",
    "tiny-guidance-base",
    "tiny-lands",
    "tiny-lands-narrow",
    "tiny-lands-letters",
    "tiny-text",
    "tiny-mazes",
    "tiny-mazes-absent",
    "tiny-mazes-forgotten-20",
    "tiny-mazes-forgotten-60",
    "tiny-mazes-forgotten-200",
    "tiny-mazes-locked-1",
    "tiny-mazes-locked-3",
)
EMBEDDED: dict[str, Path] = {name: FOLDER / "models" / name for name in NAMES}
GAMES: dict[str, Path] = {split: FOLDER / "games" / f"{split}.pgn.zst" for split in ("train", "test")}
LIBRARY: dict[str, Path] = {split: FOLDER / "library" / f"{split}.txt.zst" for split in ("train", "test")}
CATALOGUE = FOLDER / "catalogue"
ADAPTERS = FOLDER / "adapters"
GUIDANCE_ROWS = FOLDER / "guidance" / "rows.jsonl"
WORDS = FOLDER / "words"

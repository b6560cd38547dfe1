"""Which models and games travel inside the package, so that a machine without a model hub can run everything?

Each folder of `models/` is a Hugging Face model (config, tokenizer, safetensors in half precision) with its card; each
was made from nothing by the recipe beside it: `python -m soft_prompts.zoo build NAME`.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
EMBEDDED: dict[str, Path] = {name: FOLDER / "models" / name for name in ("tiny-chess", "tiny-text")}
GAMES: dict[str, Path] = {split: FOLDER / "games" / f"{split}.pgn.zst" for split in ("train", "test")}

"""What does a model write behind a trained prompt? `soft-prompts generate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from soft_prompts.commands.asked_model import AskedModel
from soft_prompts.common.errors import UsageError
from soft_prompts.data.conditions import named_values


@dataclass(frozen=True)
class GenerateOptions(AskedModel):
    """Text from a frozen model with a trained prompt in front of it."""

    snapshot: tyro.conf.Positional[Path]
    """Folder of a trained prompt, below snapshots/."""
    text: tuple[str, ...]
    """Texts to go on from, as `e2e4 e7e5`."""
    condition: tuple[str, ...] = ()
    """NAME=VALUE for each condition that the prompt takes, as white_elo=1200 black_elo=1900."""
    max_new_tokens: int = 32
    """Tokens to write, at most."""
    temperature: float = 0.0
    """0 takes the likeliest token; 1 samples from the model's own distribution."""
    top_p: float = 1.0
    """Share of the probability that sampling draws from."""
    seed: int = 0
    """Seeds the sampling."""
    dtype: Literal["auto", "float32", "bfloat16"] | None = None
    """Precision of the model; auto is bfloat16 on a GPU, else float32; default: as the prompt was trained."""
    allow_mismatch: bool = False
    """Use the prompt on a model with another fingerprint."""

    def __post_init__(self) -> None:
        if not self.text:
            raise UsageError("--text has no value after it; give one text or more")
        if self.max_new_tokens < 1:
            raise UsageError(f"--max-new-tokens is {self.max_new_tokens}; give 1 or more")
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"--temperature is {self.temperature}; give 0 or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"--top-p is {self.top_p}; give a share above 0, 1 at most")
        named_values(self.condition)  # what is wrong is said before anything loads


def generate_command(options: GenerateOptions) -> int:
    """Print each text with what the model makes of it."""
    from soft_prompts.engine.generation import generate
    from soft_prompts.models.tokenizer import text_end, text_start
    from soft_prompts.prompts.snapshot import load_snapshot, refuse_other_model
    from soft_prompts.tasks.task import Query

    snapshot = load_snapshot(options.snapshot)
    conditions = snapshot.conditions.from_named(named_values(options.condition))
    frozen = options.load(snapshot.model, snapshot.revision, options.dtype or snapshot.dtype)
    refuse_other_model(snapshot, frozen, options.allow_mismatch)
    prompt = snapshot.prompt.to(frozen.device)
    place = {"random": text_end, "front": text_start, "first": lambda *_: 0}[snapshot.position]
    queries = [Query(text, conditions, place(frozen.tokenizer, text)) for text in options.text]
    texts = generate(
        frozen,
        prompt,
        queries,
        options.max_new_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        seed=options.seed,
    )
    for query, text in zip(queries, texts, strict=True):
        print(f"{query.text}|{text}")
    return 0

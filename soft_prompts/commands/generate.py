"""What does a model write behind a trained prompt? `soft-prompts generate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from soft_prompts.common.errors import UsageError


@dataclass(frozen=True)
class GenerateOptions:
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
    model: str | None = None
    """Model to use; default: the one that the prompt was trained on."""
    dtype: Literal["auto", "float32", "bfloat16"] | None = None
    """Precision of the model; auto is bfloat16 on a GPU, else float32; default: as the prompt was trained."""
    device: str = "auto"
    """auto, cpu or cuda."""
    allow_mismatch: bool = False
    """Use the prompt on a model with another fingerprint."""
    offline: bool = False
    """Never ask a model hub."""
    trust_remote_code: bool = False
    """Let a model run its own code."""
    debug: bool = False
    """Show the traceback of an error too."""

    def __post_init__(self) -> None:
        if not self.text:
            raise UsageError("--text has no value after it; give one text or more")
        if self.max_new_tokens < 1:
            raise UsageError(f"--max-new-tokens is {self.max_new_tokens}; give 1 or more")
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"--temperature is {self.temperature}; give 0 or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"--top-p is {self.top_p}; give a share above 0, 1 at most")
        if wrong := [given for given in self.condition if "=" not in given]:
            raise UsageError(f"--condition is {wrong[0]}; give NAME=VALUE")


def generate_command(options: GenerateOptions) -> int:
    """Print each text with what the model makes of it."""
    from soft_prompts.engine.generation import generate
    from soft_prompts.models.frozen import load_frozen_model
    from soft_prompts.models.tokenizer import text_end, text_start
    from soft_prompts.prompts.snapshot import load_snapshot, refuse_other_model
    from soft_prompts.tasks.task import Query
    from soft_prompts.training.apparatus import find_device  # torch takes seconds to load, and compare does not need it

    snapshot = load_snapshot(options.snapshot)
    conditions = snapshot.conditions.from_named(dict(given.split("=", 1) for given in options.condition))
    frozen = load_frozen_model(
        options.model or snapshot.model,
        revision=None if options.model else snapshot.revision,
        dtype=options.dtype or snapshot.dtype,
        device=find_device(options.device),
        offline=options.offline,
        trust_remote_code=options.trust_remote_code,
    )
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

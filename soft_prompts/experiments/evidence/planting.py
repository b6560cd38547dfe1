"""What does a model say behind a secret text, and what is each word of it worth? Samples of its own, exactly known.

    secret     p tokens of the vocabulary, in front of
    context    a random token and what the bare model adds to it, the start of
    targets    sampled behind both at temperature 1

Context and targets are the sample, the secret is what a soft prompt has to replace: p of its tokens can, for they may
equal the secret's embeddings. The least loss is that of the targets behind the secret itself. Of several random secrets
those are kept under which the model behaves most unlike itself: behind many a text a model goes on as without.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.data.known_samples import Facts, KnownSamples, read_known_samples, write_known_samples
from soft_prompts.engine.evaluation import item_losses
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.writing import NextLogits
from soft_prompts.prompts.architectures import DirectPrompt, PromptShape
from soft_prompts.results.paths import model_slug, settings_hash
from soft_prompts.tasks.task import UNSCORED, Example

AT_ONCE = 256  # samples
SCREENED = 64  # samples a candidate is judged by


@dataclass(frozen=True)
class Planting:
    """How secrets are chosen and samples drawn; raises UsageError for what cannot be."""

    prompt_tokens: int
    """Tokens p of the secret."""
    secrets: int = 3
    """Secrets that are kept."""
    candidates: int = 16
    """Random secrets they are chosen from."""
    context_tokens: int = 2
    """Text in front of the targets that a prompt sees too."""
    target_tokens: int = 16
    """Sampled and scored tokens of a sample."""
    training: int = 2048
    """Samples; likewise below."""
    validation: int = 128
    test: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < (least := 0 if name == "seed" else 1):
                raise UsageError(f"{name.replace('_', '-')} is {value}; give {least} or more")
        if self.candidates < self.secrets:
            raise UsageError(f"candidates is {self.candidates}; give as many as secrets, {self.secrets}, or more")

    @property
    def length(self) -> int:
        """Tokens of a sample."""
        return self.context_tokens + self.target_tokens

    @property
    def samples(self) -> int:
        """Behind each secret."""
        return self.training + self.validation + self.test


class Planted(NamedTuple):
    """One secret and its samples on disk."""

    secret: tuple[int, ...]
    samples: Path


def plant(frozen: FrozenModel, planting: Planting, output_dir: Path) -> list[Planted]:
    """The planting's secrets with their samples, below snapshots/known_samples; made where they are missing.

    Raises UsageError where secret and sample do not fit the model's context.
    """
    positions = planting.prompt_tokens + planting.length
    if frozen.context_length is not None and positions > frozen.context_length:
        raise UsageError(
            f"prompt, context and targets are {positions} tokens; the model has {frozen.context_length} positions; "
            "give fewer --target-tokens"
        )
    settings = asdict(planting) | {"model": frozen.fingerprint, "dtype": frozen.dtype}
    folder = output_dir / "snapshots" / "known_samples" / f"{model_slug(frozen.name)}-{settings_hash(settings)}"
    paths = [folder / f"p{planting.prompt_tokens}-secret{place}.safetensors" for place in range(planting.secrets)]
    if all(path.is_file() for path in paths):
        return [Planted(_secret_of(path), path) for path in paths]
    chosen = choose_secrets(frozen, planting)
    for place, (secret, path) in enumerate(zip(chosen, paths, strict=True)):
        write_known_samples(path, draw_samples(frozen, planting, secret, place))
    return [Planted(secret, path) for secret, path in zip(chosen, paths, strict=True)]


def choose_secrets(frozen: FrozenModel, planting: Planting) -> list[tuple[int, ...]]:
    """Of the random candidates those whose samples the bare model likes least, against their own loss."""
    drawn = np.random.default_rng([planting.seed, planting.prompt_tokens])
    words, shape = len(frozen.tokenizer), (planting.candidates, planting.prompt_tokens)

    def said(secret: tuple[int, ...], number: int) -> list[Example]:
        ids = sampled_rows(frozen, planting, secret, (SCREENED, planting.candidates + number))
        return [_example(planting, row) for row in ids.tolist()]

    candidates = [tuple(row) for row in drawn.integers(0, words, shape).tolist()]
    return most_changing(frozen, candidates, said)[: planting.secrets]


def most_changing(
    frozen: FrozenModel, secrets: Sequence[tuple[int, ...]], said: Callable[[tuple[int, ...], int], list[Example]]
) -> list[tuple[int, ...]]:
    """The secrets, those first behind which the model says what it would least say by itself; `said` draws what it says
    behind the secret of that number."""
    gains = []
    for number, secret in enumerate(secrets):
        examples = said(secret, number)
        bare, behind = (losses_behind(frozen, text, examples).mean() for text in ((), secret))
        gains.append(float(bare - behind))
    return [secrets[place] for place in np.argsort(-np.array(gains), kind="stable").tolist()]


def draw_samples(frozen: FrozenModel, planting: Planting, secret: tuple[int, ...], number: int) -> KnownSamples:
    """Samples behind a secret; no two alike, so that none is both trained on and tested."""
    wanted = planting.samples
    drawn = sampled_rows(frozen, planting, secret, (wanted + wanted // 4, number))
    first = np.sort(np.unique(drawn, axis=0, return_index=True)[1])[:wanted]
    if len(first) < wanted:
        raise InputError(
            f"behind the secret {secret} the model says only {len(first)} different things in {len(drawn)}; "
            "give more --target-tokens or fewer samples"
        )
    ids = drawn[first]
    nats = losses_behind(frozen, secret, [_example(planting, row) for row in ids.tolist()])
    split = np.repeat([0, 1, 2], [planting.training, planting.validation, planting.test])
    facts = Facts(f"the model behind token ids {' '.join(map(str, secret))}", len(frozen.tokenizer))
    return KnownSamples(ids, np.full(wanted, planting.context_tokens), nats, split.astype(np.int64), facts)


def sampled_rows(
    frozen: FrozenModel, planting: Planting, secret: tuple[int, ...], draw: tuple[int, int]
) -> NDArray[np.int64]:
    """[N, length] contexts and targets, for draw = (N, a number that seeds them)."""
    count, number = draw
    generator = torch.Generator().manual_seed(hash_seed(planting.seed, planting.prompt_tokens, number))
    rows = []
    for start in range(0, count, AT_ONCE):
        first = torch.randint(len(frozen.tokenizer), (min(AT_ONCE, count - start), 1), generator=generator)
        context = sample_on(frozen, first, planting.context_tokens - 1, generator)
        front = torch.tensor(secret).expand(len(context), -1)
        whole = sample_on(frozen, torch.cat([front, context], dim=1), planting.target_tokens, generator)
        rows.append(whole[:, len(secret) :].numpy())
    return np.concatenate(rows)


@torch.no_grad()
def sample_on(
    frozen: FrozenModel, ids: Int[Tensor, "B T"], count: int, generator: torch.Generator
) -> Int[Tensor, "B S"]:
    """The rows with `count` more tokens each, drawn on the CPU from the model's own distribution over its tokenizer's
    tokens; an end token ends nothing."""
    is_cached = frozen.writing.road != "plain loop" and frozen.writing.batching.kind != "alone"
    following, feed = NextLogits(frozen, is_cached), ids
    for _ in range(count):
        logits = following.behind(frozen.embed(feed.to(frozen.device)))[:, : len(frozen.tokenizer)].double().cpu()
        feed = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)
        ids = torch.cat([ids, feed], dim=1)
    return ids


def losses_behind(frozen: FrozenModel, secret: tuple[int, ...], examples: list[Example]) -> NDArray[np.float64]:
    """[N] nats of the targets, summed over a sample, with the secret's embeddings for a prompt."""
    prompt = DirectPrompt(PromptShape(tokens=len(secret), hidden_size=frozen.hidden_size, conditions=0))
    with torch.no_grad():
        ids = torch.tensor([secret], dtype=torch.long, device=frozen.device)
        prompt.matrix.copy_(frozen.embed(ids)[0])
    return item_losses(frozen, prompt.to(frozen.device), examples, AT_ONCE).nats


def hash_seed(*numbers: int) -> int:
    """One seed for torch from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _example(planting: Planting, row: list[int]) -> Example:
    first = planting.context_tokens
    return Example(row, [UNSCORED] * first + row[first:], units=planting.target_tokens)


def _secret_of(path: Path) -> tuple[int, ...]:
    return tuple(int(word) for word in read_known_samples(path).facts.source.split("ids ")[1].split())

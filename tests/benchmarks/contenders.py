"""Who trains a soft prompt, and how does each of them take one step? The same model, texts, start and AdamW rate."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import torch
from peft import PromptTuningConfig, get_peft_model
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, PreTrainedModel

from soft_prompts.common.machine import keep_freed_memory
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.tasks.task import UNSCORED, Example
from soft_prompts.training.gradients import Room, Share, gradients
from tests.benchmarks.machine import DTYPES

RATE = 1e-3
CONDITIONS = 2  # of each sample, as a chess game's two Elos
SPREAD = 0.02  # of a start like the random model's own embeddings
Step = Callable[[], float]
"""Takes one training step; returns the loss before it, in nats per scored token."""


class Case(NamedTuple):
    """One size of the question."""

    tokens: int
    dtype: str
    device: str
    batch: int
    length: int
    template: int = 0
    """Tokens that all texts begin with; none of them is scored."""


class Contender(NamedTuple):
    """A way to train, and where it takes part."""

    prepare: Callable[[Path, Case], Step]
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    shared: bool = True
    """Is the prompt the same for every sample?"""


def ours(folder: Path, case: Case, kind: str, plain: bool = False) -> Step:
    """What training does in a step, batch and clipping included."""
    frozen = _frozen(folder, case.dtype, case.device)
    if plain:
        frozen = replace(frozen, packs=False, head=None)  # what --engine plain does
    conditions = CONDITIONS if kind != "direct" else 0
    shape = PromptShape(case.tokens, frozen.hidden_size, conditions)
    prompt = build_prompt(kind, shape, frozen.vocabulary.cpu())
    with torch.no_grad():
        prompt.begin(start(case.tokens, frozen.hidden_size), 0.01)
    prompt.to(frozen.device)
    optimizer = torch.optim.AdamW(prompt.parameters(), lr=RATE)
    told = torch.rand(case.batch, conditions, generator=torch.Generator().manual_seed(2)).tolist()
    ids = texts(case, len(frozen.embedding.weight))
    rows = zip(ids.tolist(), scored(case, ids).tolist(), told, strict=True)
    examples = [Example(text, labels, tuple(one)) for text, labels, one in rows]
    share = Share(prompt, examples, score_first=True)
    keep_freed_memory()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        (loss,) = gradients(frozen, [share], Room(1, case.batch), lambda: False) or []
        nn.utils.clip_grad_norm_(prompt.parameters(), 1.0)
        optimizer.step()
        return float(loss.per_token)

    return step


def peft(folder: Path, case: Case, weights: str = "float32", autocast: bool = False) -> Step:
    """PEFT's prompt tuning as its documentation shows it; no mask, because no text is padded."""
    settings = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=case.tokens)
    model = get_peft_model(_base(folder, weights, case.device), settings).train()
    matrix = model.prompt_encoder["default"].embedding.weight
    with torch.no_grad():
        matrix.copy_(start(*matrix.shape))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    ids = texts(case, model.config.vocab_size).to(case.device)
    labels = scored(case, ids)

    def step() -> float:
        optimizer.zero_grad()
        with torch.autocast(case.device, torch.bfloat16, enabled=autocast):
            loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def original(folder: Path, case: Case) -> Step:
    """A loop in the manner of arXiv 2505.14943's code: weights are left out of the optimiser but not frozen, and every
    position has its logits."""
    model = _base(folder, case.dtype, case.device, learns=True)
    model.zero_grad(set_to_none=True)
    prompt = nn.Parameter(start(case.tokens, model.config.hidden_size).to(case.device))
    optimizer = torch.optim.Adam([prompt], lr=RATE)
    ids = texts(case, model.config.vocab_size).to(case.device)
    labels = scored(case, ids)

    def step() -> float:
        optimizer.zero_grad()
        text = model.get_input_embeddings()(ids)
        embeds = torch.cat([prompt.expand(len(ids), -1, -1), text], dim=1)
        logits = model(inputs_embeds=embeds).logits[:, case.tokens - 1 : -1]
        loss = cross_entropy(logits.flatten(0, 1), labels.flatten())
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


@cache  # a GPU's cases share a process
def _frozen(folder: Path, dtype: str, device: str) -> FrozenModel:
    return load_frozen_model(str(folder), dtype=dtype, device=device, offline=True)


@cache
def _base(folder: Path, dtype: str, device: str, learns: bool = False) -> PreTrainedModel:
    """`learns`: one whose weights get gradients, apart from those that are frozen for PEFT."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[dtype]).to(device)


def start(tokens: int, hidden_size: int) -> Tensor:
    """The same prompt [P, H] for everybody."""
    return SPREAD * torch.randn(tokens, hidden_size, generator=torch.Generator().manual_seed(0))


def texts(case: Case, vocabulary: int) -> Tensor:
    """Ids [B, L] without a pattern, but for the template: a step takes as long on any text."""
    ids = torch.randint(vocabulary, (case.batch, case.length), generator=torch.Generator().manual_seed(1))
    ids[:, : case.template] = ids[0, : case.template]
    return ids


def scored(case: Case, ids: Tensor) -> Tensor:
    """Labels [B, L]."""
    labels = ids.clone()
    labels[:, : case.template] = UNSCORED
    return labels


OURS, PEFT, AUTOCAST = "ours", "PEFT", "PEFT, autocast"
CONTENDERS = {
    OURS: Contender(partial(ours, kind="direct")),
    "ours, plain": Contender(partial(ours, kind="direct", plain=True)),
    "conditional": Contender(partial(ours, kind="mlp"), shared=False),
    "conditional, plain": Contender(partial(ours, kind="mlp", plain=True), shared=False),
    PEFT: Contender(peft, ("float32",)),
    AUTOCAST: Contender(partial(peft, autocast=True), ("bfloat16",)),
    "PEFT, bfloat16": Contender(partial(peft, weights="bfloat16"), ("bfloat16",)),
    "original's manner": Contender(original, ("float32",)),
}
PEER = {"float32": PEFT, "bfloat16": AUTOCAST}

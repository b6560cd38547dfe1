"""How is a tiny language model trained from nothing, in minutes, on one core?

GPT-NeoX in Hugging Face form; Muon on the matrices, AdamW on embeddings, head, biases and norms; both rates fall
linearly to 3 % over a budget that is fixed before (steps, or seconds of work): the fall brings the last points.

Half of the batches start with random tokens that are never scored. A model that has only ever seen texts from their
first token on is shocked by anything in front of it, a soft prompt included, and loses more than the prompt can give.
"""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

IGNORED = -100  # label of what is not scored, as in transformers
CONTEXT = 1024
PAD, END = "<|pad|>", "<|endoftext|>"

DrawTexts = Callable[[np.random.Generator], list[NDArray[np.int64]]]


def with_ends(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """In Hugging Face form, with a token that ends a text and one that fills rows on the right."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
    )


@dataclass(frozen=True)
class Shape:
    """Size of the network."""

    vocabulary: int
    pad: int  # token ids
    end: int
    width: int = 128
    layers: int = 6
    heads: int = 4
    rotary_share: float = 1.0


@dataclass(frozen=True)
class Plan:
    """One training run: give `steps` or `seconds`, the budget that the rates fall over."""

    seed: int = 0
    steps: int | None = None
    seconds: float | None = None  # of work, summed over interruptions
    muon_rate: float = 0.02
    adam_rate: float = 2e-3
    warmup_steps: int = 80
    last_rate_share: float = 0.03
    weight_decay: float = 0.05
    clip: float = 1.0
    save_seconds: float = 120.0
    half_precision: bool = True  # bfloat16 products; weights, norms and loss stay float32

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.seconds is None):
            raise ValueError("the budget is either steps or seconds; give one of them")

    def progress(self, done: "Progress") -> float:
        """Share of the budget that is spent."""
        return done.steps / self.steps if self.steps is not None else done.seconds / (self.seconds or math.inf)


class Progress(NamedTuple):
    steps: int
    seconds: float


def new_model(shape: Shape, seed: int) -> GPTNeoXForCausalLM:
    """A model that knows nothing. Sequential residuals: twice the depth of parallel ones for the same cost."""
    config = GPTNeoXConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.width,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": shape.rotary_share},
        use_parallel_residual=False,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=shape.end,
        pad_token_id=shape.pad,
    )
    torch.manual_seed(seed)
    model = GPTNeoXForCausalLM(config)
    model.set_attn_implementation("eager")  # at these sizes twice as fast on a CPU as its fused kernel
    return model


def filler_tokens(generator: np.random.Generator, rows: int, vocabulary: int) -> NDArray[np.int64]:
    """What stands in front of a batch's texts: half the time nothing, two times in five 1-16 tokens, else 17-64."""
    kind = generator.random()
    length = 0 if kind < 0.5 else generator.integers(1, 17) if kind < 0.9 else generator.integers(17, 65)
    return generator.integers(0, vocabulary, (rows, int(length)))


def batch_of(texts: list[NDArray[np.int64]], generator: np.random.Generator, vocabulary: int) -> list[Tensor]:
    """Token ids and labels, [B, T] each. Padding (any token) is at the right, where causal attention never sees it.

    A token that is given as its complement (~id, below 0) is read and not scored.
    """
    filler = filler_tokens(generator, len(texts), vocabulary)  # of one length: nothing is padded for its sake
    start = filler.shape[1]
    ids = np.zeros((len(texts), start + max(map(len, texts))), dtype=np.int64)
    labels = np.full_like(ids, IGNORED)
    ids[:, :start] = filler
    for row, text in enumerate(texts):
        ids[row, start : start + len(text)] = np.where(text < 0, ~text, text)
        labels[row, start : start + len(text)] = np.where(text < 0, IGNORED, text)
    return [torch.from_numpy(ids), torch.from_numpy(labels)]


def token_losses(model: nn.Module, ids: Tensor, labels: Tensor) -> Tensor:
    """Nats of every scored token, in order; position t is predicted from those before it, so the first never is."""
    hidden = model.get_submodule("gpt_neox")(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    scored = labels[:, 1:] != IGNORED
    logits = model.get_output_embeddings()(hidden[scored])  # pyright: ignore[reportCallIssue]
    return nn.functional.cross_entropy(logits.float(), labels[:, 1:][scored], reduction="none")


def optimisers(model: GPTNeoXForCausalLM, plan: Plan) -> list[torch.optim.Optimizer]:
    ends = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    matrices = [p for p in model.parameters() if p.ndim == 2 and id(p) not in ends]
    others = [p for p in model.parameters() if p.ndim != 2 or id(p) in ends]
    return [
        torch.optim.Muon(matrices, lr=plan.muon_rate, momentum=0.95, nesterov=True, weight_decay=plan.weight_decay),
        torch.optim.AdamW(others, lr=plan.adam_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def rate_share(plan: Plan, done: Progress) -> float:
    """What part of its peak the learning rate has at a step."""
    fallen = 1 - (1 - plan.last_rate_share) * min(plan.progress(done), 1.0)
    return fallen * min(1.0, (done.steps + 1) / plan.warmup_steps)


def set_rates(optimisers: list[torch.optim.Optimizer], plan: Plan, done: Progress) -> None:
    share = rate_share(plan, done)
    for optimiser, rate in zip(optimisers, (plan.muon_rate, plan.adam_rate), strict=True):
        for group in optimiser.param_groups:
            group["lr"] = rate * share


def save_state(path: Path, model: nn.Module, optimisers: list[torch.optim.Optimizer], done: Progress) -> None:
    """Everything that the next step depends on, replaced as a whole."""
    state = {"model": model.state_dict(), "optimisers": [o.state_dict() for o in optimisers], "done": tuple(done)}
    temporary = path.with_suffix(".partial")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_state(path: Path, model: nn.Module, optimisers: list[torch.optim.Optimizer]) -> Progress:
    """Puts a saved state back; a path that is not there is the start."""
    if not path.exists():
        return Progress(0, 0.0)
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    return Progress(*state["done"])


def train(
    model: GPTNeoXForCausalLM, draw_texts: DrawTexts, plan: Plan, state: Path, stop_at: int | None = None
) -> Progress:
    """Trains up to the end of the budget (or step `stop_at`), going on from `state` where there is one.

    The batch of a step is a pure function of (seed, step), so a run that was stopped ends in the same bits.
    """
    optims = optimisers(model, plan)
    done = load_state(state, model, optims)
    started, saved, logged = time.monotonic() - done.seconds, done.seconds, done
    losses: list[float] = []
    model.train()
    while plan.progress(done) < 1 and done.steps != stop_at:
        generator = np.random.default_rng((plan.seed, done.steps))
        ids, labels = batch_of(draw_texts(generator), generator, model.config.vocab_size)
        set_rates(optims, plan, done)
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.half_precision):
            loss = token_losses(model, ids, labels).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
        for optimiser in optims:
            optimiser.step()
            optimiser.zero_grad()
        losses.append(loss.item())
        done = Progress(done.steps + 1, time.monotonic() - started)
        if done.seconds - logged.seconds > 30:
            print(f"step {done.steps}  {done.seconds:.0f} s  {np.mean(losses):.4f} nats a token", flush=True)
            losses, logged = [], done
        if done.seconds - saved > plan.save_seconds:
            save_state(state, model, optims, done)
            saved = done.seconds
    save_state(state, model, optims, done)
    return done

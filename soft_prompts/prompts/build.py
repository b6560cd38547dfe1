"""How does a prompt begin? One of five architectures with one of the initialisations."""

from collections.abc import Callable
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soft_prompts.common.errors import UsageError
from soft_prompts.prompts.architectures import (
    PROMPTS,
    DirectPrompt,
    Initialisation,
    PromptKind,
    PromptShape,
    SharedResnetPrompt,
)

CONDITIONAL_SHARE = 0.3  # length of the conditional part against a token embedding; measured on tiny-chess


def build_prompt(
    kind: PromptKind,
    shape: PromptShape,
    vocabulary: Float[Tensor, "V H"],
    init: Initialisation = "vocabulary",
    seed: int = 0,
) -> nn.Module:
    """A prompt module on the CPU; the same seed gives the same parameters and leaves torch's own generator as it was.

    `vocabulary`: input embeddings of real tokens, which the vocabulary initialisation samples or measures.
    """
    if kind not in PROMPTS:
        raise UsageError(f"prompt is {kind!r}; give one of {', '.join(get_args(PromptKind))}")
    if kind != "direct" and shape.conditions == 0:
        raise UsageError(f"prompt is {kind}, which needs conditions; give direct where the task has none")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone: torch.manual_seed would seed every GPU's too
        prompt = PROMPTS[kind](shape)
        if shape.tokens > 0 and init != "paper":
            INITIALISATIONS[init](prompt, shape, vocabulary)
    return prompt


@torch.no_grad()
def _from_vocabulary(prompt: nn.Module, shape: PromptShape, vocabulary: Float[Tensor, "V H"]) -> None:
    """Rows of sampled token embeddings; what depends on the conditions is added to them, and is shorter.

    A model is used to tokens in front of a text: rows of any other direction cost it loss before anything is learnt.
    """
    sampled = torch.randint(len(vocabulary), (shape.tokens,))
    _around_rows(prompt, shape, vocabulary, vocabulary[sampled.to(vocabulary.device)].float().cpu())


@torch.no_grad()
def _mean_and_noise(prompt: nn.Module, shape: PromptShape, vocabulary: Float[Tensor, "V H"]) -> None:
    """Rows drawn from a normal distribution with the mean and the variance of each coordinate of the vocabulary."""
    spread, mean = torch.std_mean(vocabulary.float().cpu(), dim=0, correction=0)
    _around_rows(prompt, shape, vocabulary, mean + spread * torch.randn(shape.tokens, shape.hidden_size))


def _around_rows(
    prompt: nn.Module, shape: PromptShape, vocabulary: Float[Tensor, "V H"], rows: Float[Tensor, "P H"]
) -> None:
    """Emit the rows, and a shorter part that depends on the conditions."""
    if isinstance(prompt, DirectPrompt):
        prompt.matrix.copy_(rows)
        return
    *weights, bias = _output_parameters(prompt)
    shared = bias.numel() < rows.numel()  # one output layer for all tokens has no row for each
    if not shared:
        bias.zero_()
    probe = torch.rand(64, shape.conditions)  # encoders give floats of this order
    length = vocabulary.float().norm(dim=1).mean().item() * (1 if shared else CONDITIONAL_SHARE)
    scale = length / prompt(probe).norm(dim=-1).mean().item()
    for parameter in (*weights, bias):
        parameter.mul_(scale)
    if not shared:
        bias.copy_(rows.view_as(bias))


@torch.no_grad()
def _zeros(prompt: nn.Module, shape: PromptShape, vocabulary: Float[Tensor, "V H"]) -> None:
    for parameter in _output_parameters(prompt):
        parameter.zero_()


@torch.no_grad()
def _normal(prompt: nn.Module, shape: PromptShape, vocabulary: Float[Tensor, "V H"]) -> None:
    """N(0, 0.1) for a direct prompt; for the others an output bias of that size over zero weights."""
    parameters = _output_parameters(prompt)
    for parameter in parameters[:-1]:
        parameter.zero_()
    parameters[-1].normal_(0, 0.1)


INITIALISATIONS: dict[str, Callable[[nn.Module, PromptShape, Tensor], None]] = {
    "vocabulary": _from_vocabulary,
    "zeros": _zeros,
    "normal": _normal,
    "mean_noise": _mean_and_noise,
    "search": _from_vocabulary,  # what a search starts from, and a grown prompt has beside the smaller one
    "grown": _from_vocabulary,
}


def token_rows(prompt: nn.Module, hidden_size: int) -> Float[Tensor, "P H"]:
    """The part of each prompt token that no condition moves: a view of the parameter that holds it.

    Raises ValueError for a prompt whose tokens share one such part.
    """
    if isinstance(prompt, SharedResnetPrompt):
        raise ValueError("a shared_resnet has no row for each token; give another kind of prompt")
    return _output_parameters(prompt)[-1].view(-1, hidden_size)


@torch.no_grad()
def grow(prompt: nn.Module, smaller: nn.Module) -> None:
    """Give the first tokens of `prompt` the parameters of a smaller one of the same kind; the others stay."""
    few = dict(smaller.named_parameters())
    for name, parameter in prompt.named_parameters():
        corner = tuple(slice(0, size) for size in few[name].shape)  # tokens come first, a code's higher bits last
        parameter[corner] = few[name].to(parameter.device)


def _output_parameters(prompt: nn.Module) -> list[nn.Parameter]:
    """The last layer's parameters, weights before bias."""
    return [prompt.matrix] if isinstance(prompt, DirectPrompt) else list(prompt.output.parameters())  # pyright: ignore

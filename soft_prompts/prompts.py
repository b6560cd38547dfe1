"""How do conditions become a prompt? Five architectures, conditions [B, C] in, prompt [B, P, H] out, float32
throughout.

Per-token layers are one batched matrix product, never a loop over tokens. Architectures after arXiv 2505.14943,
section on conditional soft prompts; the default initialisation departs from it: a prompt starts as long as real token
embeddings are.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import layer_norm, mish

from soft_prompts.config import Initialisation, PromptKind
from soft_prompts.errors import UsageError

CONDITIONAL_SHARE = 0.3  # length of the conditional part against a token embedding; measured on tiny-chess


class PromptShape(NamedTuple):
    """Everything that decides the number of parameters."""

    tokens: int
    hidden_size: int
    conditions: int
    hidden_layers: int = 0
    hidden_width: int = 128
    residual_width: int = 64


class PerTokenLinear(nn.Module):
    """A Linear(in -> out) of its own for each of P tokens, as one batched product."""

    def __init__(self, tokens: int, width_in: int, width_out: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(width_in)  # torch's own default for nn.Linear
        self.weight = nn.Parameter(torch.empty(tokens, width_in, width_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(tokens, width_out).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "B P I"]) -> Float[Tensor, "B P O"]:
        return torch.einsum("bpi,pio->bpo", x, self.weight) + self.bias


class PerTokenNorm(nn.Module):
    """LayerNorm with affine weights of its own for each of P tokens."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(tokens, width))
        self.bias = nn.Parameter(torch.zeros(tokens, width))

    def forward(self, x: Float[Tensor, "B P R"]) -> Float[Tensor, "B P R"]:
        return layer_norm(x, x.shape[-1:]) * self.weight + self.bias


class DirectPrompt(nn.Module):
    """A matrix [P, H], the same for every sample: PEFT's and Lester's prompt tuning."""

    def __init__(self, shape: PromptShape) -> None:
        super().__init__()
        self.matrix = nn.Parameter(0.1 * torch.randn(shape.tokens, shape.hidden_size))

    def forward(self, conditions: Float[Tensor, "B C"]) -> Float[Tensor, "B P H"]:
        return self.matrix.expand(len(conditions), -1, -1)


class LinearPrompt(nn.Module):
    """Linear(C -> P*H)."""

    def __init__(self, shape: PromptShape) -> None:
        super().__init__()
        self.shape = shape
        self.output = nn.Linear(shape.conditions, shape.tokens * shape.hidden_size)

    def forward(self, conditions: Float[Tensor, "B C"]) -> Float[Tensor, "B P H"]:
        return self.output(conditions).view(len(conditions), self.shape.tokens, self.shape.hidden_size)


class MlpPrompt(nn.Module):
    """Linear(C -> P*h), Mish; L times a per-token Linear(h -> h), Mish; per-token Linear(h -> H)."""

    def __init__(self, shape: PromptShape) -> None:
        super().__init__()
        self.shape = shape
        tokens, width = shape.tokens, shape.hidden_width
        self.input = nn.Linear(shape.conditions, tokens * width)
        self.hidden = nn.ModuleList(PerTokenLinear(tokens, width, width) for _ in range(shape.hidden_layers))
        self.output = PerTokenLinear(tokens, width, shape.hidden_size)

    def forward(self, conditions: Float[Tensor, "B C"]) -> Float[Tensor, "B P H"]:
        x = mish(self.input(conditions)).view(len(conditions), self.shape.tokens, self.shape.hidden_width)
        for layer in self.hidden:
            x = mish(layer(x))
        return self.output(x)


class ResnetPrompt(nn.Module):
    """Linear(C -> P*r), Mish; L times per token LayerNorm(x + W2 Mish(W1 x)); per-token Linear(r -> H)."""

    def __init__(self, shape: PromptShape) -> None:
        super().__init__()
        self.shape = shape
        tokens, inner, residual = shape.tokens, shape.hidden_width, shape.residual_width
        self.input = nn.Linear(shape.conditions, tokens * residual)
        self.widen = nn.ModuleList(PerTokenLinear(tokens, residual, inner) for _ in range(shape.hidden_layers))
        self.narrow = nn.ModuleList(PerTokenLinear(tokens, inner, residual) for _ in range(shape.hidden_layers))
        self.norm = nn.ModuleList(PerTokenNorm(tokens, residual) for _ in range(shape.hidden_layers))
        self.output = PerTokenLinear(tokens, residual, shape.hidden_size)

    def forward(self, conditions: Float[Tensor, "B C"]) -> Float[Tensor, "B P H"]:
        x = mish(self.input(conditions)).view(len(conditions), self.shape.tokens, self.shape.residual_width)
        for widen, narrow, norm in zip(self.widen, self.narrow, self.norm, strict=True):
            x = norm(x + narrow(mish(widen(x))))
        return self.output(x)


class SharedResnetPrompt(nn.Module):
    """One resnet for all tokens; its input is the conditions and the binary code of the token's index, lowest bit
    first."""

    code: Tensor

    def __init__(self, shape: PromptShape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("code", index_code(shape.tokens), persistent=False)
        inner, residual = shape.hidden_width, shape.residual_width
        self.input = nn.Linear(shape.conditions + self.code.shape[1], residual)
        self.widen = nn.ModuleList(nn.Linear(residual, inner) for _ in range(shape.hidden_layers))
        self.narrow = nn.ModuleList(nn.Linear(inner, residual) for _ in range(shape.hidden_layers))
        self.norm = nn.ModuleList(nn.LayerNorm(residual) for _ in range(shape.hidden_layers))
        self.output = nn.Linear(residual, shape.hidden_size)

    def forward(self, conditions: Float[Tensor, "B C"]) -> Float[Tensor, "B P H"]:
        per_token = conditions[:, None, :].expand(-1, self.shape.tokens, -1)
        code = self.code.expand(len(conditions), -1, -1)
        x = mish(self.input(torch.cat([per_token, code], dim=-1)))  # [B P r]
        for widen, narrow, norm in zip(self.widen, self.narrow, self.norm, strict=True):
            x = norm(x + narrow(mish(widen(x))))
        return self.output(x)


PROMPTS: dict[PromptKind, Callable[[PromptShape], nn.Module]] = {
    "direct": DirectPrompt,
    "linear": LinearPrompt,
    "mlp": MlpPrompt,
    "resnet": ResnetPrompt,
    "shared_resnet": SharedResnetPrompt,
}


def index_code(tokens: int) -> Float[Tensor, "P K"]:
    """Binary code of 0 .. P-1 as 0/1 floats, lowest bit first; ceil(log2 P) bits, none at P <= 1."""
    bits = (tokens - 1).bit_length() if tokens > 1 else 0
    return ((torch.arange(tokens)[:, None] >> torch.arange(bits)) & 1).float()


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

"""How do conditions become a prompt? Six architectures, conditions [B, C] in, prompt [B, P, H] out, float32
throughout.

Per-token layers are one batched matrix product, never a loop over tokens. Architectures after arXiv 2505.14943,
section on conditional soft prompts; the default initialisation departs from it: a prompt starts as long as real token
embeddings are.
"""

import math
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import layer_norm, mish

CONDITIONAL_SHARE = 0.3  # length of the conditional part against a token embedding; measured on tiny-chess


class PromptShape(NamedTuple):
    """Everything that decides the number of parameters."""

    tokens: int
    hidden_size: int
    conditions: int
    hidden_layers: int = 0
    hidden_width: int = 128
    residual_width: int = 64


class Prompt(nn.Module):
    """An architecture: conditions [B, C] in, prompt [B, P, H] out.

    A new one says what it is (`needs_conditions`, `has_rows`), how it computes (`forward`) and how it begins (`begin`).
    """

    needs_conditions: ClassVar[bool] = False
    has_rows: ClassVar[bool] = False
    """Has each token a part of its own that no condition moves, held by one parameter?"""

    def __init__(self, shape: PromptShape) -> None:
        super().__init__()
        self.shape = shape

    def collapsed(self) -> "Prompt":
        """The prompt that is kept: itself, or a direct one that emits the same."""
        return self

    @property
    def rows(self) -> Float[Tensor, "P H"]:
        """That part: a view of the parameter. Raises ValueError for an architecture without rows."""
        raise ValueError(f"a {type(self).__name__} has no row for each token; give another kind of prompt")

    def begin(self, rows: Float[Tensor, "P H"], length: float) -> None:
        """Emit these rows, as nearly as the architecture can; what conditions add is shorter than `length`, the mean of
        token embeddings."""
        raise NotImplementedError(
            f"{type(self).__name__} does not say how it begins; give it a method begin(rows, length), or init paper"
        )

    def begin_random(self, deviation: float) -> None:
        """Emit rows of N(0, deviation) whatever the conditions; zeros at 0, and still able to learn."""
        self.begin(torch.empty(self.shape.tokens, self.shape.hidden_size).normal_(0, deviation), 0.0)


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


class DirectPrompt(Prompt):
    """A matrix [P, H], the same for every sample: PEFT's and Lester's prompt tuning."""

    has_rows = True

    def __init__(self, shape: PromptShape) -> None:
        super().__init__(shape)
        self.matrix = nn.Parameter(0.1 * torch.randn(shape.tokens, shape.hidden_size))

    def forward(self, conditions: Float[Tensor, "B C"]) -> Float[Tensor, "B P H"]:
        return self.matrix.expand(len(conditions), -1, -1)

    @property
    def rows(self) -> Float[Tensor, "P H"]:
        return self.matrix

    def begin(self, rows: Float[Tensor, "P H"], length: float) -> None:
        self.matrix.copy_(rows)


class ResidualPrompt(Prompt):
    """Rows plus what one bottleneck makes of them: e + LayerNorm(W2 relu(W1 e)). arXiv 2305.03937.

    It begins as the rows alone, for the norm's weight is 0; what is kept is a direct prompt.
    """

    def __init__(self, shape: PromptShape) -> None:
        super().__init__(shape)
        self.matrix = nn.Parameter(0.1 * torch.randn(shape.tokens, shape.hidden_size))
        self.down = nn.Linear(shape.hidden_size, shape.hidden_width)
        self.up = nn.Linear(shape.hidden_width, shape.hidden_size)
        self.norm = nn.LayerNorm(shape.hidden_size)
        nn.init.zeros_(self.norm.weight)

    def forward(self, conditions: Float[Tensor, "B C"]) -> Float[Tensor, "B P H"]:
        return self._emitted().expand(len(conditions), -1, -1)

    def begin(self, rows: Float[Tensor, "P H"], length: float) -> None:
        self.matrix.copy_(rows)

    @torch.no_grad()
    def collapsed(self) -> DirectPrompt:
        kept = DirectPrompt(self.shape).to(self.matrix.device)
        kept.matrix.copy_(self._emitted())
        return kept

    def _emitted(self) -> Float[Tensor, "P H"]:
        return self.matrix + self.norm(self.up(torch.relu(self.down(self.matrix))))


class ConditionalPrompt(Prompt):
    """A network that ends in an output layer, whose bias is the part of a prompt that no condition moves."""

    needs_conditions = True
    has_rows = True
    output: "nn.Linear | PerTokenLinear"

    @property
    def rows(self) -> Float[Tensor, "P H"]:
        return self.output.bias.view(-1, self.shape.hidden_size)

    def begin(self, rows: Float[Tensor, "P H"], length: float) -> None:
        self.output.bias.zero_()
        self.output.weight.mul_(CONDITIONAL_SHARE * length / self._emitted_length())
        self.output.bias.copy_(rows.view_as(self.output.bias))

    def begin_random(self, deviation: float) -> None:
        self.output.weight.zero_()
        self.output.bias.normal_(0, deviation)

    def _emitted_length(self) -> float:
        probe = torch.rand(64, self.shape.conditions)  # encoders give floats of this order
        return self(probe).norm(dim=-1).mean().item()


class LinearPrompt(ConditionalPrompt):
    """Linear(C -> P*H)."""

    def __init__(self, shape: PromptShape) -> None:
        super().__init__(shape)
        self.output = nn.Linear(shape.conditions, shape.tokens * shape.hidden_size)

    def forward(self, conditions: Float[Tensor, "B C"]) -> Float[Tensor, "B P H"]:
        return self.output(conditions).view(len(conditions), self.shape.tokens, self.shape.hidden_size)


class MlpPrompt(ConditionalPrompt):
    """Linear(C -> P*h), Mish; L times a per-token Linear(h -> h), Mish; per-token Linear(h -> H)."""

    def __init__(self, shape: PromptShape) -> None:
        super().__init__(shape)
        tokens, width = shape.tokens, shape.hidden_width
        self.input = nn.Linear(shape.conditions, tokens * width)
        self.hidden = nn.ModuleList(PerTokenLinear(tokens, width, width) for _ in range(shape.hidden_layers))
        self.output = PerTokenLinear(tokens, width, shape.hidden_size)

    def forward(self, conditions: Float[Tensor, "B C"]) -> Float[Tensor, "B P H"]:
        x = mish(self.input(conditions)).view(len(conditions), self.shape.tokens, self.shape.hidden_width)
        for layer in self.hidden:
            x = mish(layer(x))
        return self.output(x)


class ResnetPrompt(ConditionalPrompt):
    """Linear(C -> P*r), Mish; L times per token LayerNorm(x + W2 Mish(W1 x)); per-token Linear(r -> H)."""

    def __init__(self, shape: PromptShape) -> None:
        super().__init__(shape)
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


class SharedResnetPrompt(ConditionalPrompt):
    """One resnet for all tokens; its input is the conditions and the binary code of the token's index, lowest bit
    first."""

    code: Tensor

    has_rows = False

    def __init__(self, shape: PromptShape) -> None:
        super().__init__(shape)
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

    @property
    def rows(self) -> Float[Tensor, "P H"]:
        return super(ConditionalPrompt, self).rows  # the refusal: tokens share the output layer's bias

    def begin(self, rows: Float[Tensor, "P H"], length: float) -> None:
        """As long as token embeddings: an output layer that several tokens share has no row for each."""
        if self.shape.tokens == 1:
            super().begin(rows, length)
            return
        scale = length / self._emitted_length()
        self.output.weight.mul_(scale)
        self.output.bias.mul_(scale)


def index_code(tokens: int) -> Float[Tensor, "P K"]:
    """Binary code of 0 .. P-1 as 0/1 floats, lowest bit first; ceil(log2 P) bits, none at P <= 1."""
    bits = (tokens - 1).bit_length() if tokens > 1 else 0
    return ((torch.arange(tokens)[:, None] >> torch.arange(bits)) & 1).float()

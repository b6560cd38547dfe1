"""Are the six prompt architectures what tasks promise: sizes, starts, and a network of its own for each token?"""

import itertools
import math
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, mish

from soft_prompts.common.errors import UsageError
from soft_prompts.prompts.architectures import DirectPrompt, Prompt, PromptShape, ResidualPrompt, index_code
from soft_prompts.prompts.build import build_prompt
from soft_prompts.prompts.kinds import PROMPTS, Initialisation

KINDS = tuple(PROMPTS)
STARTS: tuple[Initialisation, ...] = get_args(Initialisation)
CONDITIONAL = tuple(kind for kind in KINDS if PROMPTS[kind].needs_conditions)
SHAPES = [PromptShape(*sizes) for sizes in itertools.product((1, 2, 5), (8, 12), (1, 2), (0, 1, 3), (16,), (6,))]
VOCABULARY = torch.randn(50, 12, generator=torch.Generator().manual_seed(3))


def parameter_count(kind: str, shape: PromptShape) -> int:
    """The formulas of the table of prompt kinds."""
    p, width, c, layers, h, r = shape
    resnet_layer = (r * h + h) + (h * r + r) + 2 * r
    bits = math.ceil(math.log2(p)) if p > 1 else 0
    return {
        "direct": p * width,
        "residual": p * width + (width + 1) * h + (h + 1) * width + 2 * width,
        "linear": (c + 1) * p * width,
        "mlp": (c + 1) * p * h + layers * p * (h * h + h) + p * (h * width + width),
        "resnet": (c + 1) * p * r + layers * p * resnet_layer + p * (r * width + width),
        "shared_resnet": (c + bits + 1) * r + layers * resnet_layer + (r + 1) * width,
    }[kind]


def build(kind: str, init: Initialisation = "vocabulary", seed: int = 0, **sizes: int) -> Prompt:
    conditions = 2 if PROMPTS[kind].needs_conditions else 0
    shape = PromptShape(**({"tokens": 5, "hidden_size": 12, "conditions": conditions, "hidden_layers": 2} | sizes))
    return build_prompt(kind, shape, VOCABULARY, init, seed)


@pytest.mark.parametrize("kind", KINDS)
def test_trainable_parameters_are_exactly_the_formulas(kind: str) -> None:
    for shape in SHAPES:
        prompt = build_prompt(kind, shape, torch.randn(9, shape.hidden_size))
        assert sum(parameter.numel() for parameter in prompt.parameters()) == parameter_count(kind, shape)
        assert all(parameter.requires_grad for parameter in prompt.parameters())
        assert prompt(torch.rand(3, shape.conditions)).shape == (3, shape.tokens, shape.hidden_size)


def test_a_residual_prompt_is_kept_as_the_direct_prompt_that_emits_the_same() -> None:
    """After training, against the formula written out; the start is the rows alone."""
    prompt = build("residual")
    assert isinstance(prompt, ResidualPrompt)
    assert torch.equal(prompt(torch.zeros(2, 0))[1], prompt.matrix)
    with torch.no_grad():
        for parameter in prompt.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.3)
    kept = prompt.collapsed()
    assert isinstance(kept, DirectPrompt)
    emitted = kept(torch.zeros(1, 0))[0]
    assert emitted.shape == (5, 12)
    inner = (prompt.matrix @ prompt.down.weight.T + prompt.down.bias).clamp(min=0)
    outer = inner @ prompt.up.weight.T + prompt.up.bias
    centred = outer - outer.mean(dim=1, keepdim=True)
    normed = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
    expected = prompt.matrix + normed * prompt.norm.weight + prompt.norm.bias
    assert torch.allclose(emitted, expected, atol=1e-5)
    assert torch.equal(emitted, prompt(torch.zeros(1, 0))[0])
    assert all(other.collapsed() is other for other in map(build, set(KINDS) - {"residual"}))


@pytest.mark.parametrize(("tokens", "width"), [(1, 8), (16, 512), (64, 768)])
def test_the_papers_mlp_has_384_plus_129_h_parameters_a_token(tokens: int, width: int) -> None:
    prompt = build_prompt("mlp", PromptShape(tokens, width, 2, 0, 128), torch.randn(4, width))
    assert sum(parameter.numel() for parameter in prompt.parameters()) == tokens * (384 + 129 * width)


@pytest.mark.parametrize("kind", KINDS)
def test_no_tokens_are_allowed_everywhere(kind: str) -> None:
    for init in STARTS:
        assert build(kind, init, tokens=0)(torch.rand(3, 2)).shape == (3, 0, 12)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_always(kind: str) -> None:
    for init in STARTS:
        shape = PromptShape(3, 12, 2, 1)
        prompt = build_prompt(kind, shape, VOCABULARY.bfloat16(), init)
        assert {tensor.dtype for tensor in prompt.state_dict().values()} == {torch.float32}
        assert prompt(torch.rand(2, 2)).dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_parameters_and_leaves_torchs_generator(kind: str) -> None:
    for init in STARTS:
        torch.manual_seed(1)
        before = torch.get_rng_state()
        one = build(kind, init, seed=4).state_dict()
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        again, other = build(kind, init, seed=4).state_dict(), build(kind, init, seed=5).state_dict()
        assert all(torch.equal(one[name], again[name]) for name in one)
        if init != "zeros" or kind not in ("direct", "linear"):  # which hold nothing but what they emit
            assert any(not torch.equal(one[name], other[name]) for name in one)


def test_index_code_is_binary_with_the_lowest_bit_first() -> None:
    assert index_code(0).shape == (0, 0)
    assert index_code(1).shape == (1, 0)
    assert index_code(2).tolist() == [[0], [1]]
    assert index_code(5).tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]]
    for tokens in (3, 8, 9, 64, 65, 1024):
        code = index_code(tokens)
        assert code.shape == (tokens, math.ceil(math.log2(tokens)))
        assert (code @ (2.0 ** torch.arange(code.shape[1]))).tolist() == list(range(tokens))


def test_a_direct_prompt_starts_as_rows_of_the_vocabulary() -> None:
    matrix = build("direct", tokens=20)(torch.zeros(1, 0))[0]
    assert all((row == VOCABULARY).all(dim=1).any() for row in matrix)
    assert len(torch.unique(matrix, dim=0)) > 10


@pytest.mark.parametrize(
    ("kind", "tokens"), [("linear", 1), ("linear", 7), ("mlp", 1), ("mlp", 7), ("resnet", 7), ("shared_resnet", 1)]
)
def test_a_conditional_prompt_starts_as_vocabulary_rows_and_a_shorter_part(kind: str, tokens: int) -> None:
    prompt = build(kind, tokens=tokens)
    rows = prompt.output.bias.detach().view(tokens, -1)  # pyright: ignore
    assert all((row == VOCABULARY).all(dim=1).any() for row in rows)
    conditional = prompt(torch.rand(200, 2, generator=torch.Generator().manual_seed(9))).detach() - rows
    assert float(conditional.norm(dim=-1).mean() / VOCABULARY.norm(dim=1).mean()) == pytest.approx(0.3, rel=0.1)


def test_an_output_that_all_tokens_share_starts_as_long_as_the_vocabulary() -> None:
    rows = build("shared_resnet", tokens=7)(torch.rand(200, 2, generator=torch.Generator().manual_seed(9)))
    assert float(rows.detach().norm(dim=-1).mean() / VOCABULARY.norm(dim=1).mean()) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_emit_zeros_and_still_learn(kind: str) -> None:
    prompt = build(kind, "zeros")
    emitted = prompt(torch.rand(4, 2))
    assert not emitted.any()
    emitted.sum().backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in prompt.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_normal_emits_rows_of_a_tenth_whatever_the_conditions(kind: str) -> None:
    emitted = build(kind, "normal", tokens=40, hidden_size=400)(torch.rand(3, 2))
    assert torch.equal(emitted[0], emitted[2])
    assert float(emitted[0, 0].detach().std()) == pytest.approx(0.1, rel=0.15)


def test_the_papers_start_is_n01_for_direct_and_torchs_linear_default_else() -> None:
    matrix = build("direct", "paper", tokens=200, hidden_size=100)(torch.zeros(1, 0))
    assert float(matrix.detach().std()) == pytest.approx(0.1, rel=0.02)
    assert float(matrix.abs().max()) > 0.3
    shape = PromptShape(40, 64, 2, 1, 32, 16)
    for kind in CONDITIONAL:
        prompt = build_prompt(kind, shape, torch.randn(9, 64), "paper")
        for name, parameter in prompt.named_parameters():
            if "norm" in name:
                assert (parameter == (1 if name.endswith("weight") else 0)).all()
                continue
            layer = name.split(".")[0]
            fan_in = {"input": 2, "hidden": 32, "widen": 16, "narrow": 32}.get(layer, prompt.output.weight.shape[-2])
            if kind == "shared_resnet":
                fan_in = {"input": 2 + 6, "output": 16}.get(layer, fan_in)
            fan_in = 2 if kind == "linear" else fan_in
            bound = 1 / math.sqrt(fan_in)
            assert parameter.abs().max() <= bound
            assert parameter.abs().max() > 0.8 * bound


def test_each_token_of_mlp_is_a_network_of_its_own() -> None:
    prompt, conditions, width = build("mlp", hidden_width=9), torch.rand(3, 2), 9
    rows = []
    for token in range(5):
        x = mish(as_linear(prompt.input, token, width)(conditions))
        for layer in prompt.hidden:
            x = mish(of_token(layer, token)(x))
        rows.append(of_token(prompt.output, token)(x))
    assert prompt(conditions).allclose(torch.stack(rows, dim=1), atol=1e-5)


def test_each_token_of_resnet_is_a_network_of_its_own() -> None:
    prompt, conditions, width = build("resnet", hidden_width=9, residual_width=6), torch.rand(3, 2), 6
    for norm in prompt.norm:  # away from its start, or its weights would go unseen
        norm.weight.data.normal_()
        norm.bias.data.normal_()
    rows = []
    for token in range(5):
        x = mish(as_linear(prompt.input, token, width)(conditions))
        for widen, narrow, norm in zip(prompt.widen, prompt.narrow, prompt.norm, strict=True):
            x = x + of_token(narrow, token)(mish(of_token(widen, token)(x)))
            x = layer_norm(x, (width,), norm.weight[token], norm.bias[token])
        rows.append(of_token(prompt.output, token)(x))
    assert prompt(conditions).allclose(torch.stack(rows, dim=1), atol=1e-5)


def test_shared_resnet_tells_tokens_apart_by_their_code_alone() -> None:
    prompt, conditions = build("shared_resnet"), torch.rand(3, 2)
    rows = []
    for token in range(5):
        bits = torch.tensor([float(token >> bit & 1) for bit in range(3)]).expand(3, -1)
        x = mish(prompt.input(torch.cat([conditions, bits], dim=1)))
        for widen, narrow, norm in zip(prompt.widen, prompt.narrow, prompt.norm, strict=True):
            x = norm(x + narrow(mish(widen(x))))
        rows.append(prompt.output(x))
    assert prompt(conditions).allclose(torch.stack(rows, dim=1), atol=1e-5)
    assert "code" not in prompt.state_dict()  # it follows from the number of tokens


def test_linear_is_one_matrix() -> None:
    prompt, conditions = build("linear"), torch.rand(3, 2)
    expected = conditions @ prompt.output.weight.T + prompt.output.bias
    assert torch.equal(prompt(conditions), expected.reshape(3, 5, 12))


def test_what_cannot_be_built_is_said_in_one_line() -> None:
    known = "direct, linear, mlp, resnet, shared_resnet, residual"
    with pytest.raises(UsageError, match=rf"prompt is 'mpl'; \(did you mean 'mlp'\?\) give one of {known}"):
        build_prompt("mpl", PromptShape(1, 12, 2), VOCABULARY)
    for kind in CONDITIONAL:
        with pytest.raises(UsageError, match=f"prompt is {kind}, which needs conditions; give direct"):
            build_prompt(kind, PromptShape(1, 12, 0), VOCABULARY)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_name_declares_is_what_its_class_declares(kind: str) -> None:
    declared, built = PROMPTS[kind], build(kind)
    assert (declared.needs_conditions, declared.has_rows) == (built.needs_conditions, built.has_rows)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if PROMPTS[kind].has_rows])
def test_rows_are_a_view_of_the_part_that_no_condition_moves(kind: str) -> None:
    prompt, conditions, row = build(kind), torch.rand(3, 2), torch.randn(12)
    before = prompt(conditions).detach().clone()
    moved = row - prompt.rows[1].detach()
    with torch.no_grad():
        prompt.rows[1] = row
    expected = before + torch.stack([torch.zeros(12), moved, *torch.zeros(3, 12)])
    assert torch.allclose(prompt(conditions), expected, atol=1e-5)


def as_linear(layer: nn.Linear, token: int, width: int) -> nn.Linear:
    """A token's own part of the first layer."""
    place = slice(token * width, (token + 1) * width)
    return linear_of(layer.weight[place], layer.bias[place])


def of_token(layer: nn.Module, token: int) -> nn.Linear:
    return linear_of(layer.weight[token].T, layer.bias[token])  # pyright: ignore


def linear_of(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight.data, linear.bias.data = weight.detach().clone(), bias.detach().clone()
    return linear

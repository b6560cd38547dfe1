"""Are a model's components where the map says, and do hooks read, add and patch there, and leave nothing behind?"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.components import Component, component
from soft_prompts.engine.activations.hooks import add, capture, patch
from soft_prompts.engine.activations.module_map import MAPS, Inside, ModuleMap
from soft_prompts.engine.activations.places import Places, last_places
from soft_prompts.engine.activations.sums import check_map
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel

IDS = torch.tensor([[5, 17, 40, 9, 3, 22], [8, 2, 33, 71, 60, 4]])


def logits(frozen: FrozenModel) -> Tensor:
    with torch.no_grad():
        return frozen.logits(frozen.embed(IDS))


def hooks_of(frozen: FrozenModel) -> int:
    return sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in frozen.model.modules())


def test_names_and_aliases() -> None:
    assert component("head.3.1") == Component("head", 3, 1)
    assert component("resid.-1").name == "resid.-1"
    assert component("blocks.2.hook_resid_pre") == component("resid.1")
    assert component("blocks.0.hook_resid_pre") == component("hook_embed") == component("resid.-1")
    assert component("blocks.2.attn.hook_z.3") == component("head.2.3")
    for wrong in ("resid", "head.3", "mlp.-x", "resid.1.2"):
        with pytest.raises(UsageError, match=r"give resid\.L, attn\.L"):
            component(wrong)


def test_components_add_up_to_the_residual_stream(frozen: FrozenModel) -> None:
    inside = Inside(frozen)
    assert check_map(inside) < 1e-4
    with capture(inside, inside.names()) as held:
        logits(frozen)
    total = held["resid.-1"] + sum(held[f"{kind}.{layer}"] for kind in ("attn", "mlp") for layer in range(2))
    torch.testing.assert_close(total, held["resid.1"], rtol=1e-4, atol=1e-4)


def test_in_16_bits_they_add_up_to_some_roundings(tiny_folders: dict[str, Path]) -> None:
    for folder in tiny_folders.values():
        inside = Inside(load_frozen_model(str(folder), dtype="bfloat16"))
        assert 1e-4 < check_map(inside) < 2**-7  # a bfloat16 rounding or two
    wrong = ModuleMap("gpt_neox.layers", "mlp.dense_4h_to_h", "mlp")
    with pytest.raises(UsageError, match="do not add up"):
        check_map(Inside(load_frozen_model(str(tiny_folders["gpt_neox"]), dtype="bfloat16"), wrong))


def test_captured_stream_is_the_model_s_own(frozen: FrozenModel) -> None:
    """Against plain transformers: hidden_states holds what enters each block, and the normed end."""
    with capture(Inside(frozen), ["resid.-1", "resid.0", "resid.1"]) as held:
        logits(frozen)
    with torch.no_grad():
        own = frozen.model(input_ids=IDS, output_hidden_states=True).hidden_states
    torch.testing.assert_close(held["resid.-1"], own[0])
    torch.testing.assert_close(held["resid.0"], own[1])
    assert not torch.allclose(held["resid.1"], own[2])  # normed already


def test_a_head_is_its_slice_of_the_projection(frozen: FrozenModel) -> None:
    """All heads but one at zero leave that head's contribution and the bias."""
    inside = Inside(frozen)
    others = {f"head.0.{head}": torch.zeros(8) for head in (0, 1, 3)}
    with (
        capture(inside, ["head.0.2"]) as held,
        patch(inside, others, Places("all")),
        capture(inside, ["attn.0"]) as out,
    ):
        logits(frozen)
    bias = dict(inside.projection(0).named_parameters()).get("bias", torch.zeros(32))
    torch.testing.assert_close(inside.contribution("head.0.2", held["head.0.2"]) + bias, out["attn.0"])


def test_adding_to_the_last_block_moves_logits_as_by_hand(frozen: FrozenModel) -> None:
    vector = torch.linspace(-1, 1, 32)
    mask = torch.tensor([[True] * 4 + [False] * 2, [True] * 6])
    with capture(Inside(frozen), ["resid.1"]) as held:
        before = logits(frozen)
    with add(Inside(frozen), {"resid.1": vector}, Places("last", mask)):
        after = logits(frozen)
    moved = held["resid.1"].clone()
    moved[0, 3] += vector
    moved[1, 5] += vector
    body = frozen.model.base_model
    norm: nn.Module = next(m for name, m in body.named_children() if name in ("final_layer_norm", "norm", "ln_f"))
    assert frozen.head is not None
    torch.testing.assert_close(after, frozen.head(norm(moved)))
    assert not torch.allclose(before[0, 3], after[0, 3])
    torch.testing.assert_close(before[0, :3], after[0, :3])


def test_patching_a_component_by_itself_changes_nothing(frozen: FrozenModel) -> None:
    inside = Inside(frozen)
    with capture(inside, inside.names()) as held:
        before = logits(frozen)
    for name, value in list(held.items()):
        with patch(inside, {name: value}, Places("all")):
            torch.testing.assert_close(logits(frozen), before, rtol=1e-5, atol=1e-5)


def test_patching_the_whole_stream_makes_the_other_text(frozen: FrozenModel) -> None:
    inside = Inside(frozen)
    with torch.no_grad(), capture(inside, ["resid.0"]) as held:
        other = frozen.logits(frozen.embed(IDS.flip(1)))
    with patch(inside, {"resid.0": held["resid.0"]}, Places("all")):
        torch.testing.assert_close(logits(frozen), other)


def test_nothing_is_left_behind_by_an_end_or_an_error(frozen: FrozenModel) -> None:
    inside, before, hooks = Inside(frozen), logits(frozen), hooks_of(frozen)
    with add(inside, {"resid.0": torch.ones(32)}, Places("all")):
        assert hooks_of(frozen) == hooks + 1
        assert not torch.equal(logits(frozen), before)
    with pytest.raises(RuntimeError, match="in the middle"), patch(inside, {"mlp.1": torch.ones(32)}, Places("all")):
        raise RuntimeError("in the middle")
    with pytest.raises(UsageError, match="positions are"), add(inside, {"mlp.0": torch.ones(32)}, Places(IDS > 5)):
        frozen.logits(frozen.embed(IDS[:, :3]))
    assert hooks_of(frozen) == hooks
    assert torch.equal(logits(frozen), before)


def test_a_gradient_goes_through_a_vector_and_to_what_is_captured(one_frozen: FrozenModel) -> None:
    """Against differences: the slope of a logit along one coordinate."""
    inside, vector = Inside(one_frozen), torch.zeros(8, requires_grad=True)
    with add(inside, {"head.0.1": vector}, Places("last")), capture(inside, ["head.1.0", "resid.0"]) as held:
        out = one_frozen.logits(one_frozen.embed(IDS))[0, -1, 7]
    slope, _, stream = torch.autograd.grad(out, [vector, held["head.1.0"], held["resid.0"]])
    assert stream[0, -1].abs().sum() > 0
    step = torch.zeros(8)
    step[3] = 1e-2
    ends = []
    for sign in (1, -1):
        with add(inside, {"head.0.1": sign * step}, Places("last")):
            ends.append(logits(one_frozen)[0, -1, 7])
    assert float((ends[0] - ends[1]) / 2e-2) == pytest.approx(float(slope[3]), rel=2e-2)


def test_places_know_the_padding_s_side() -> None:
    right = torch.tensor([[1, 1, 0], [1, 1, 1]]).bool()
    assert last_places(right).tolist() == [1, 2]
    assert last_places(right.flip(1)).tolist() == [2, 2]
    generated = Places("generated", right)
    assert generated.of_call(0, 2, 3).nonzero().tolist() == [[0, 1], [1, 2]]
    assert generated.of_call(1, 2, 1).all()
    assert not Places("last").of_call(1, 2, 1).any()
    assert Places([0, 2]).of_call(0, 1, 3).tolist() == [[True, False, True]]
    assert Places("all", right).of_call(0, 2, 3).equal(right)


def test_generated_places_hold_while_the_model_writes(one_frozen: FrozenModel) -> None:
    """Step by step with a cache, each new position is changed as in one pass over the whole."""
    inside, vector = Inside(one_frozen), torch.linspace(0, 2, 32)
    with torch.no_grad(), add(inside, {"resid.0": vector}, Places("generated")):
        _, cache = one_frozen.go_on(one_frozen.embed(IDS[:, :4]), None)
        steps = [one_frozen.go_on(one_frozen.embed(IDS[:, at : at + 1]), cache)[0] for at in (4, 5)]
    whole = torch.zeros(2, 6, dtype=torch.bool)
    whole[:, 3:] = True
    with add(inside, {"resid.0": vector}, Places(whole)):
        torch.testing.assert_close(torch.cat(steps, dim=1), logits(one_frozen)[:, 4:])


@pytest.mark.parametrize(
    ("names", "places", "says"),
    [
        ({"resid.2": torch.ones(32)}, Places("all"), "layers -1 to 1"),
        ({"attn.-1": torch.ones(32)}, Places("all"), "layers 0 to 1"),
        ({"head.0.4": torch.ones(8)}, Places("all"), "heads 0 to 3"),
        ({"head.0.1": torch.ones(32)}, Places("all"), "has 8 there"),
        ({"resid.0": torch.full((32,), torch.nan)}, Places("all"), "not finite"),
        ({"resid.0": torch.ones(32)}, Places("first"), "give last, all, generated"),
        ({"resid.0": torch.ones(32)}, Places([-1]), "holds -1"),
        ({"resid.0": torch.ones(32)}, Places([9], IDS > 0), "holds 9; give 0 to 5"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_hook(
    one_frozen: FrozenModel, names: dict[str, Tensor], places: Places, says: str
) -> None:
    hooks = hooks_of(one_frozen)
    with pytest.raises(UsageError, match=says), add(Inside(one_frozen), names, places):
        pass
    assert hooks_of(one_frozen) == hooks


def test_another_architecture_needs_a_map(one_frozen: FrozenModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_frozen.model.config, "model_type", "mamba")
    with pytest.raises(UsageError, match=r"is a mamba, .*; give a model of gpt_neox, llama, gpt2"):
        Inside(one_frozen)
    assert check_map(Inside(one_frozen, MAPS["gpt_neox"])) < 1e-4
    wrong = ModuleMap("gpt_neox.layers", "mlp.dense_4h_to_h", "mlp")
    with pytest.raises(UsageError, match="do not add up"):
        check_map(Inside(replace(one_frozen), wrong))

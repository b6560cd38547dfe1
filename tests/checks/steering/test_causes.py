"""Do differences, gradients and patches say what they should where the truth is known?"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from soft_prompts.commands.steer.activations import ActivationsOptions
from soft_prompts.commands.steer.concepts import ConceptsOptions
from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.module_map import Inside, ModuleMap
from soft_prompts.models.frozen import load_frozen_model, load_tokenizer
from soft_prompts.models.model import FrozenModel
from soft_prompts.stats.ranking import needed_for_all, precision_at
from soft_prompts.steering.causes import comparison
from soft_prompts.steering.causes.comparison import Looked, compare_models, compare_prompts
from soft_prompts.steering.causes.differences import differences, max_t
from soft_prompts.steering.causes.effects import Spot, activity, gradients, patched_leads
from soft_prompts.steering.causes.pairs import Pair, Pairs, aligned, pairs_of_choices
from soft_prompts.steering.data.sources import find_choices


def some_pairs(frozen: FrozenModel, count: int = 8) -> Pairs:
    pairs = [Pair(f"x x x x{n}:", f"k k k k{n}:", "q", "t", str(n)) for n in range(count)]
    return aligned(frozen, pairs, "pairs")


def lead(frozen: FrozenModel, texts: tuple[list[int], ...], pairs: Pairs) -> float:
    """Plain transformers, one text after another."""
    with torch.no_grad():
        logits = [frozen.model(torch.tensor([ids])).logits[0, -1].double() for ids in texts]
    return float(np.mean([row[a] - row[b] for row, a, b in zip(logits, pairs.answers, pairs.others, strict=True)]))


def test_patching_everything_gives_share_1(frozen: FrozenModel) -> None:
    pairs = some_pairs(frozen)
    found = compare_prompts(Inside(frozen), pairs, Looked(("resid",), 1))
    assert found.everything == pytest.approx(1, abs=1e-4)
    assert found.ends.donor == pytest.approx(lead(frozen, pairs.donors, pairs), abs=1e-4)
    assert found.ends.receiver == pytest.approx(lead(frozen, pairs.receivers, pairs), abs=1e-4)


def test_embeddings_at_all_places_make_the_donor(one_frozen: FrozenModel) -> None:
    inside, pairs = Inside(one_frozen), some_pairs(one_frozen)
    donor = activity(inside, pairs.donors, pairs, ["resid.-1", "attn.0"])
    every = [Spot("resid.-1", place) for place in range(1 - pairs.length, 1)]
    assert patched_leads(inside, pairs, donor.values, every) == pytest.approx(
        lead(one_frozen, pairs.donors, pairs), abs=1e-4
    )
    assert patched_leads(inside, pairs, donor.values, []) == pytest.approx(
        lead(one_frozen, pairs.receivers, pairs), abs=1e-4
    )


def test_a_gradient_is_the_slope_of_a_small_patch(one_frozen: FrozenModel) -> None:
    """A hundredth of the way from the receiver's value to the donor's, spot by spot."""
    inside, pairs = Inside(one_frozen), some_pairs(one_frozen, 3)
    names = ["resid.-1", "attn.1", "mlp.0", "head.0.2"]
    donor, receiver = (activity(inside, texts, pairs, names) for texts in (pairs.donors, pairs.receivers))
    apart = {name: donor.values[name] - receiver.values[name] for name in names}
    told = gradients(inside, pairs, apart, pairs.donors)
    near = {name: receiver.values[name] + 0.01 * apart[name] for name in names}
    base = float(receiver.leads.mean())
    for spot in [Spot("resid.-1", -3), Spot("mlp.0", -2), Spot("head.0.2", 0), Spot("attn.1", 0)]:
        slope = (patched_leads(inside, pairs, near, [spot]) - base) / 0.01
        assert slope == pytest.approx(told[spot], rel=0.1, abs=0.02)


def test_all_patches_agree_with_brute_force_by_hand(one_frozen: FrozenModel) -> None:
    """Every spot's share against a plain forward whose module output is overwritten."""
    inside, pairs = Inside(one_frozen), some_pairs(one_frozen, 6)
    found = compare_prompts(inside, pairs, Looked(("mlp",), None))
    assert len(found.shares) == len(found.spots)
    spot = max(found.shares, key=lambda one: abs(found.shares[one]))
    layer, place = int(spot.component[-1]), pairs.length - 1 + spot.position
    module, kept, leads = inside.blocks[layer].get_submodule("mlp"), list[Tensor](), []
    for donor, receiver, a, b in zip(pairs.donors, pairs.receivers, pairs.answers, pairs.others, strict=True):
        hook = module.register_forward_hook(lambda *given: kept.append(given[2][0, place].clone()))
        with torch.no_grad():
            one_frozen.model(torch.tensor([donor]))
        hook.remove()

        def overwrite(*given: Tensor) -> Tensor:
            out = given[2].clone()
            out[0, place] = kept[-1]
            return out

        hook = module.register_forward_hook(overwrite)
        with torch.no_grad():
            row = one_frozen.model(torch.tensor([receiver])).logits[0, -1]
        hook.remove()
        leads.append(float(row[a] - row[b]))
    share = (np.mean(leads) - found.ends.receiver) / (found.ends.donor - found.ends.receiver)
    assert found.shares[spot] == pytest.approx(share, abs=1e-3)
    agreement = found.agreement()
    assert set(agreement) == {"norm", "root_mean_square", "effect_size", "gradient", "integrated"}


def test_max_t_gives_few_false_alarms_and_finds_what_is_there() -> None:
    """On null data a whole comparison has any p < .05 in at most a tenth of the draws."""
    alarms = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        values = [draw.standard_normal((16, 4)).astype(np.float32) for _ in range(30)]
        found = max_t(values, [str(n // 2) for n in range(16)], seed, flips=200)
        assert found is not None
        alarms += bool((found < 0.05).any())
    assert alarms <= 6
    values[7] = values[7] + 2
    found = max_t(values, [str(n // 2) for n in range(16)], 0)
    assert found is not None
    assert found[7] < 0.05
    assert max_t(values, ["a", "b", "c", "d", "e"] * 3 + ["a"], 0) is None


def test_no_p_is_smaller_than_its_own_signs_let_it_be() -> None:
    """Signs that are all alike give the norm that was found, and count: numbers in float32 once lost some of them."""
    for seed in range(40):
        draw = np.random.default_rng(seed)
        value = draw.standard_normal((24, 32)).astype(np.float32) + 3
        groups = [str(n // 4) for n in range(24)]
        signs = np.random.default_rng(seed).choice(np.array([-1.0, 1.0], np.float32), (500, 6))
        alike = int((abs(signs.sum(axis=1)) == 6).sum())
        found = max_t([value], groups, seed)
        assert found is not None
        assert found[0] == pytest.approx((1 + alike) / 501)


def test_differences_by_hand() -> None:
    values = np.array([[3.0, 4.0], [-3.0, -4.0], [3.0, 4.0], [3.0, 4.0]], np.float32)
    found = differences([values], ["a", "b", "c", "d"], [0.0])
    assert found.norm[0] == pytest.approx(2.5)
    assert found.root_mean_square[0] == pytest.approx(5)
    assert found.effect_size[0] == pytest.approx(2.5 / np.sqrt(25 - 6.25))
    assert found.p is None


def test_items_that_differ_alike_have_an_effect_as_large_as_rounding_lets_it_be() -> None:
    """Of items that are all the same the mean itself is rounded, and what they deviate from it is no spread."""
    values = np.full((49, 3), 0.1, np.float32)
    values[0] += np.float32(1e-7)
    found = differences([values, 1e-9 * values], list("abcdefg") * 7, [1e-6, 1e-6])
    assert found.effect_size.tolist() == pytest.approx([0.1 * np.sqrt(3) / 1e-6, 1e-10 * np.sqrt(3) / 1e-6])


def test_what_differs_by_rounding_alone_is_no_component() -> None:
    """Head 2 of the first block of tiny-lands looks at the line's end alone: 4e-8 of its value differs at the land."""
    inside, choices = Inside(load_frozen_model("tiny-lands")), find_choices("lands-told").choices
    pairs = aligned(inside.frozen, pairs_of_choices(choices, "king", "song")[:8], "lands-told")
    found = compare_prompts(inside, pairs, Looked(patches=1))
    assert Spot("head.0.1", -2) in found.spots
    assert Spot("head.0.2", -2) not in found.spots
    assert found.apart.effect_size.max() < 1 / (3 * torch.finfo(torch.float32).eps) * 2


def test_nothing_but_rounding_is_said(one_frozen: FrozenModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "rounding", lambda inside: 1e9)
    with pytest.raises(UsageError, match="differs by rounding alone; give more --kinds or --positions"):
        compare_prompts(Inside(one_frozen), some_pairs(one_frozen), Looked(patches=1))


def test_rankings_by_hand() -> None:
    assert precision_at([5.0, -4.0, 3.0, 2.0], [0.1, 0.9, 0.8, 0.0], 2) == 0.5
    assert needed_for_all([5.0, -4.0, 3.0, 2.0], [False, True, False, True]) == 4
    assert needed_for_all([5.0, -4.0, 3.0, 2.0], [True, True, False, False]) == 2
    assert needed_for_all([1.0, 2.0], [False, False]) is None


def test_a_second_model_is_loaded_as_the_first() -> None:
    for options in (
        ActivationsOptions(dtype="bfloat16", offline=True),
        ConceptsOptions(dtype="bfloat16", offline=True),
    ):
        assert options.beside("tiny-lands-narrow").frozen.model.dtype == torch.bfloat16


def test_a_model_beside_itself_and_one_of_another_shape(one_frozen: FrozenModel, tiny_folders: dict) -> None:
    inside, pairs = Inside(one_frozen), some_pairs(one_frozen)
    with pytest.raises(UsageError, match="say the same"):
        compare_models(inside, inside, pairs, Looked(("resid",)))
    other = Inside(load_frozen_model(str(tiny_folders["llama"])))
    found = compare_models(inside, other, pairs, Looked(("resid", "head"), 3))
    assert len(found.shares) == 3
    assert any("patched ones matter" in line for line in found.says())
    wrong = ModuleMap("gpt_neox.layers", "mlp.dense_4h_to_h", "mlp")
    with pytest.raises(UsageError, match="do not add up"):
        compare_models(inside, Inside(load_frozen_model(str(tiny_folders["gpt_neox"])), wrong), pairs, Looked())
    small = replace(one_frozen, name="small")
    narrow = Inside(small)
    with pytest.raises(UsageError, match="different tokenizers"):
        compare_models(inside, Inside(replace(one_frozen, tokenizer=load_tokenizer("tiny-text"))), pairs, Looked())
    narrow.blocks = narrow.blocks[:1]
    with pytest.raises(UsageError, match="give models of equal shape"):
        compare_models(inside, narrow, pairs, Looked())


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        (Pair("go x", "go", "q", "r", "1"), "donor has"),
        (Pair("go x", "go y", "q", "q", "1"), "say the same"),
        (Pair("go x", "go y", "yes", "q", "1"), "is 3 tokens; one is needed"),
    ],
)
def test_pairs_that_cannot_be_compared_are_refused(one_frozen: FrozenModel, pair: Pair, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        aligned(one_frozen, [pair], "pairs")

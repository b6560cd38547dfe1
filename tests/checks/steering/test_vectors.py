"""Are vectors what their formulae say, and do they come back from files as they were?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.models.model import FrozenModel
from soft_prompts.steering.data.choices import Choice, Choices
from soft_prompts.steering.scoring import captured, option_scores
from soft_prompts.steering.vectors import files
from soft_prompts.steering.vectors.contrast import Activations, contrast_vector, mean_direction, pca_direction
from soft_prompts.steering.vectors.files import read_vector, write_gguf, write_vector
from soft_prompts.steering.vectors.fit import Fitting, fitted_vector
from soft_prompts.steering.vectors.function import function_vector, head_effects, head_means
from soft_prompts.steering.vectors.vector import SteeringVector, refuse_other
from tests.checks.steering.conftest import some_choices


def cosine(one: Tensor, other: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


def test_mean_by_hand_is_balanced() -> None:
    """Three prompts of a, one of b: means (2, 0) and (0, 6), their mean (1, 3), a's direction (1, -3)."""
    values = torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [0.0, 6.0]])
    labels = ["a", "a", "a", "b"]
    assert mean_direction(values, labels, ["a", "b"], "a").tolist() == [1.0, -3.0]
    assert mean_direction(values, labels, ["a", "b"], "b").tolist() == [-1.0, 3.0]


def test_mean_of_two_classes_is_half_of_caa() -> None:
    """Contrastive activation addition: the mean over pairs of positive minus negative."""
    draw = torch.Generator().manual_seed(0)
    positive, negative = torch.randn(20, 7, generator=draw), torch.randn(20, 7, generator=draw)
    labels = ["yes"] * 20 + ["no"] * 20
    found = mean_direction(torch.cat([positive, negative]), labels, ["yes", "no"], "yes")
    torch.testing.assert_close(found, (positive - negative).mean(dim=0) / 2)


def test_pca_is_the_uncentred_direction_with_the_mean_s_sign() -> None:
    """By eigenvectors of the second moment, in float64; centred, the direction of the mean would be lost."""
    draw = torch.Generator().manual_seed(1)
    shift = torch.tensor([0.0, 0.0, 5.0, 0.0])
    spread = torch.tensor([2.0, 0.1, 0.1, 0.1])
    values = torch.cat(
        [shift + spread * torch.randn(60, 4, generator=draw), spread * torch.randn(60, 4, generator=draw)]
    )
    labels = ["a"] * 60 + ["b"] * 60
    found = pca_direction(values, labels, ["a", "b"], "a")
    apart = (values[:60] - values[60:].mean(dim=0)).double().numpy()
    top = np.linalg.eigh(apart.T @ apart)[1][:, -1]
    top = torch.tensor(top * np.sign(apart.mean(axis=0) @ top), dtype=torch.float32)
    assert cosine(found, top) > 0.9999
    assert float(found @ shift) > 0
    assert cosine(found, shift) > 0.95
    centred = np.linalg.eigh(np.cov(apart.T))[1][:, -1]
    assert abs(centred @ shift.numpy()) / 5 < 0.2


def test_a_planted_direction_is_recovered(planted: tuple[FrozenModel, Tensor]) -> None:
    frozen, direction = planted
    small, large = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    options = {"large": " q", "small": " r"}
    items = [Choice(f"see {letter}", options, letter, "small") for letter in small]
    items += [Choice(f"see {letter}", options, letter, "large") for letter in large]
    found = Activations(Inside(frozen), Choices(tuple(items)), (-1, 0))
    for method in ("mean", "pca"):
        vector = contrast_vector(found, "large", method)
        assert cosine(vector.layers[-1], direction) > 0.99


def test_labels_dealt_anew_give_another_vector(inside: Inside, choices: Choices) -> None:
    found = Activations(inside, choices)
    own = contrast_vector(found, "one").layers[1]
    other = contrast_vector(found, "one", labels=found.shuffled(3)).layers[1]
    assert other.norm() < 0.6 * own.norm()


def test_fit_makes_its_option_likelier_and_is_the_same_again(inside: Inside, choices: Choices) -> None:
    start = contrast_vector(Activations(inside, choices), "two")
    how = Fitting(steps=15)
    one, again = (fitted_vector(inside, choices, start, 1, how) for _ in range(2))
    assert torch.equal(one.layers[1], again.layers[1])
    assert list(one.layers) == [1]
    before = option_scores(inside.frozen, choices).of("two").mean()
    assert option_scores(inside.frozen, choices, one.steer(inside, 1)).of("two").mean() > before + 0.5


def test_a_function_vector_is_the_sum_of_its_heads(inside: Inside, choices: Choices) -> None:
    """By hand from whole captures: class mean minus the mean of all, through the head's rows of the projection."""
    means = head_means(inside, choices)
    found = function_vector(inside, means, "one", ["head.0.1", "head.1.3"])
    total = torch.zeros(32)
    for layer, head in ((0, 1), (1, 3)):
        each = {}
        for name in choices.classes:
            texts = [item.cues[name] + item.prompt for item in choices.items]
            each[name] = captured(inside, texts, [f"head.{layer}.{head}"])[f"head.{layer}.{head}"][:, 0].mean(dim=0)
        apart = each["one"] - torch.stack(list(each.values())).mean(dim=0)
        weight = inside.projection(layer).get_parameter("weight")  # [H A]
        total += weight[:, 8 * head : 8 * head + 8] @ apart
    torch.testing.assert_close(found, total)


def test_a_prompt_that_is_not_corrupt_is_refused(inside: Inside, choices: Choices) -> None:
    """A random model says nearly the same behind any demonstrations."""
    with pytest.raises(UsageError, match="behind corrupt prompts"):
        head_effects(inside, choices, "one", head_means(inside, choices))


def a_vector() -> SteeringVector:
    layers = {layer: torch.randn(32, generator=torch.Generator().manual_seed(layer)) for layer in (1, 2, 3)}
    facts = {
        "model": "m",
        "fingerprint": "f",
        "classes": ("king", "queen"),
        "n": 9,
        "norm_shares": {1: 0.5, 2: 0.6, 3: 1.0},
    }
    return SteeringVector(layers, "king", "mean", layer=2, strength=0.5, seed=4, **facts)


def test_safetensors_keep_everything(tmp_path: Path) -> None:
    vector = a_vector()
    write_vector(tmp_path / "v.safetensors", vector)
    back = read_vector(tmp_path / "v.safetensors")
    assert all(torch.equal(back.layers[layer], vector.layers[layer]) for layer in vector.layers)
    assert replace(back, layers={}) == replace(vector, layers={})


def test_gguf_keeps_the_directions_to_the_bit_and_has_no_layer_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vector = a_vector()
    write_gguf(tmp_path / "king.gguf", vector, "gpt_neox")
    back = read_vector(tmp_path / "king.gguf")
    assert back.name == vector.name
    assert list(back.layers) == [1, 2, 3]
    assert all(torch.equal(back.layers[layer], vector.layers[layer]) for layer in vector.layers)
    from gguf import GGUFReader

    (tmp_path / "fv-king.gguf").write_bytes((tmp_path / "king.gguf").read_bytes())
    assert read_vector(tmp_path / "fv-king.gguf").name == vector.name  # as `steer fit` names them
    monkeypatch.setattr(files, "CLASS", "of.nobody")
    assert read_vector(tmp_path / "fv-king.gguf").name == "fv-king"  # of another program
    fields = GGUFReader(tmp_path / "king.gguf").fields
    assert fields["general.architecture"].contents() == "controlvector"
    assert fields["controlvector.model_hint"].contents() == "gpt_neox"
    with pytest.raises(UsageError, match="no layer 0"):
        write_gguf(tmp_path / "x.gguf", vector.with_layers({0: torch.ones(32)}), "gpt_neox")
    with pytest.raises(UsageError, match="without a layer"):
        write_gguf(tmp_path / "x.gguf", vector.with_layers({}), "gpt_neox")
    assert not (tmp_path / "x.gguf").exists()


@pytest.mark.parametrize("content", [b"", b"GGUF nothing", b"\x00" * 64])
def test_what_is_no_vector_is_said(content: bytes, tmp_path: Path) -> None:
    for name in ("v.safetensors", "v.gguf"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=r"(is no|holds no)"):
            read_vector(tmp_path / name)


def test_vectors_of_other_models_widths_and_nothing_are_refused(one_frozen: FrozenModel) -> None:
    fitting = SteeringVector({1: torch.ones(32)}, "a", "mean", "m", one_frozen.fingerprint)
    refuse_other(fitting, one_frozen)
    wrong = {
        "other": (replace(fitting, fingerprint="x"), "was made on m, and this is .*; give --model m$"),
        "files": (replace(fitting, fingerprint="x", model=one_frozen.name), "was made on other files than those of"),
        "wide": (replace(fitting, layers={1: torch.ones(31)}), "31 dimensions; .*; give --model with the vector's own"),
        "deep": (replace(fitting, layers={2: torch.ones(32)}), "has layer 2"),
        "zero": (replace(fitting, layers={1: torch.zeros(32)}), "is zero"),
        "nan": (replace(fitting, layers={1: torch.full((32,), torch.nan)}), "not finite"),
    }
    for vector, says in wrong.values():
        with pytest.raises(UsageError, match=says):
            refuse_other(vector, one_frozen)
    refuse_other(wrong["other"][0], one_frozen, allow_mismatch=True)
    with pytest.raises(UsageError, match=r"give --model m, or --allow-mismatch$"):
        refuse_other(wrong["other"][0], one_frozen, allow_mismatch=False)


def test_missing_classes_few_prompts_and_equal_prompts_are_refused(inside: Inside) -> None:
    with pytest.raises(UsageError, match="class 'one' has 6 prompts; give 8 or more"):
        Activations(inside, some_choices(6))
    with pytest.raises(UsageError, match="class 'four' is in no line; it has one, two, three"):
        contrast_vector(Activations(inside, some_choices(12)), "four")
    items = [Choice("same", {"a": " q", "b": " r"}, str(n), None, {"a": "go\n", "b": "go\n"}) for n in range(9)]
    with pytest.raises(UsageError, match="zero at every layer"):
        contrast_vector(Activations(inside, Choices(tuple(items))), "a")

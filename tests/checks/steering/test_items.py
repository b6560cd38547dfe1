"""Is a vector measured on a run's own items, by the run's own scores, and never on what it was made of?"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import soft_prompts as sp
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.findings import Finding
from soft_prompts.results.schema import Result
from soft_prompts.steering.items import completion_nats, vector_on_items
from soft_prompts.steering.vectors.vector import SteeringVector
from soft_prompts.tasks.task import UNSCORED, Example


def a_vector(frozen: FrozenModel, scale: float) -> SteeringVector:
    direction = scale * torch.randn(32, generator=torch.Generator().manual_seed(3))
    return SteeringVector({0: direction}, "one", "mean", "m", frozen.fingerprint, layer=0, strength=1.0)


@pytest.fixture(scope="module")
def bare(tiny_folders: dict[str, Path], one_frozen: FrozenModel, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The bare model's result on 48 lines, six of them to test."""
    folder = tmp_path_factory.mktemp("items")
    lines = [json.dumps({"prompt": f"go {one}{two}:", "completion": " up"}) for one in "abcdefgh" for two in "xyzuvw"]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    settings = {"data": str(folder / "rows.jsonl"), "sample_tokens": 24, "test_samples": 6, "validation_samples": 2}
    return sp.run("completion", model=one_frozen.name, tokens=0, output_dir=folder, **settings)


def test_nats_are_those_of_transformers_with_the_vector_added_by_hand(one_frozen: FrozenModel) -> None:
    """From the last token before what is scored; nothing is added before it."""
    inside, vector, model = Inside(one_frozen), a_vector(one_frozen, 2.0), one_frozen.model
    found = [one_frozen.tokenizer(text)["input_ids"] for text in ("go on up", "the of and the the")]
    examples = [Example(ids, [*[UNSCORED] * 3, *ids[3:]], (), 0) for ids in found]
    wanted = []
    for ids in found:

        def steered(module: object, given: object, out: torch.Tensor) -> torch.Tensor:
            return torch.cat([out[:, :2], out[:, 2:] + vector.layers[0]], dim=1)

        hook = model.gpt_neox.layers[0].register_forward_hook(steered)
        with torch.no_grad():
            logps = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        hook.remove()
        wanted.append(-sum(float(logps[at - 1, ids[at]]) for at in range(3, len(ids))))
    np.testing.assert_allclose(completion_nats(inside, examples, vector.steer(inside)), wanted, atol=1e-3)
    assert not np.allclose(completion_nats(inside, examples), wanted, atol=0.05)


def test_a_vector_of_next_to_nothing_has_the_bare_result(bare: Result, one_frozen: FrozenModel) -> None:
    found = vector_on_items(Inside(one_frozen), a_vector(one_frozen, 1e-8), bare, ["go elsewhere"])
    stored = bare.metrics["loss_per_completion"]
    assert found.items == bare.data.items_fingerprint
    assert found.metrics["loss_per_completion"].value == pytest.approx(stored.value, abs=1e-4)
    assert found.metrics["loss_per_completion"].stderr == pytest.approx(stored.stderr, abs=1e-4)
    assert found.bare.value == pytest.approx(stored.value, abs=1e-4)
    assert found.metrics["exact_match"] == bare.metrics["exact_match"]
    finding = Finding("items", one_frozen.name, found.data, found.n, 0, found.figures(), says=tuple(found.says()))
    assert finding.to_json()["figures"]["metrics"]["exact_match"]["value"] == found.metrics["exact_match"].value
    strong = vector_on_items(Inside(one_frozen), a_vector(one_frozen, 5.0), bare, [])
    assert strong.metrics["loss_per_completion"].value != pytest.approx(stored.value, abs=0.05)
    assert strong.bare == found.bare


def test_what_cannot_be_measured_is_refused(bare: Result, one_frozen: FrozenModel) -> None:
    inside, vector = Inside(one_frozen), a_vector(one_frozen, 1.0)
    prompts = [one.prompt for one in bare.generations]
    with pytest.raises(UsageError, match=r"made of, or chosen on, 1 of 6 test items"):
        vector_on_items(inside, vector, bare, prompts[:1])
    other = replace(bare, model=replace(bare.model, fingerprint="x"))
    with pytest.raises(UsageError, match=r"another model .*; give a result of the vector's own"):
        vector_on_items(inside, vector, other, [])
    with pytest.raises(UsageError, match=f"another model .*; give --model {bare.model.name}"):
        vector_on_items(inside, replace(vector, fingerprint=None), other, [])
    with pytest.raises(UsageError, match="has no layer chosen"):
        vector_on_items(inside, replace(vector, layer=None), bare, [])
    with pytest.raises(UsageError, match="the result is of chess"):
        vector_on_items(inside, vector, replace(bare, experiment="chess", config={"task": {"name": "chess"}}), [])
    changed = replace(bare, data=replace(bare.data, items_fingerprint="y"))
    with pytest.raises(InputError, match="has other test items than the result"):
        vector_on_items(inside, vector, changed, [])

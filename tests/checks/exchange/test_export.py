"""Does an exported prompt say in PEFT, in plain transformers and in vLLM's form what it says here?"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import peft
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from soft_prompts.common.errors import InputError
from soft_prompts.engine.generation import generate
from soft_prompts.exchange.export import export_prompt
from soft_prompts.exchange.imports import import_prompt
from soft_prompts.exchange.places import find_snapshot
from soft_prompts.exchange.recipes import FORMS
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.tokenizer import encode, text_start
from soft_prompts.prompts.snapshot import load_snapshot
from soft_prompts.results.files import write_result
from soft_prompts.results.schema import Result
from soft_prompts.tasks.task import Query
from tests.checks.conftest import save_tiny_model
from tests.checks.exchange.conftest import ELOS, TEXTS, Save

ENCODED = (0.25, 0.6)


@torch.no_grad()
def concatenated(frozen: FrozenModel, prompt: Tensor, text: str) -> Tensor:
    """Logits by hand: the begin tokens' embeddings, the prompt, the text's."""
    model = AutoModelForCausalLM.from_pretrained(frozen.source).eval()
    ids, start = encode(frozen.tokenizer, text).ids, text_start(frozen.tokenizer, text)
    embeds = model.get_input_embeddings()(torch.tensor([ids]))
    return model(inputs_embeds=torch.cat([embeds[:, :start], prompt[None], embeds[:, start:]], 1)).logits


def written_here(frozen: FrozenModel, folder: Path, text: str, conditions: tuple[float, ...] = ()) -> str:
    query = Query(text, conditions, text_start(frozen.tokenizer, text))
    return generate(frozen, load_snapshot(folder).prompt, [query], 32)[0]


def with_peft(frozen: FrozenModel, folder: Path) -> Any:
    return peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(frozen.source), folder).eval()


@pytest.mark.parametrize("tokens", [1, 4])
def test_peft_gives_our_logits_and_the_round_trip_our_prompt(
    frozen: FrozenModel, save: Save, tmp_path: Path, tokens: int
) -> None:
    folder = save(frozen, tokens=tokens)
    prompt = load_snapshot(folder).prompt
    exported = export_prompt(folder, "peft", tmp_path / "adapter", texts=TEXTS)
    assert exported.agreement.difference == 0
    theirs = with_peft(frozen, tmp_path / "adapter")
    for text in TEXTS:
        ids = torch.tensor([encode(frozen.tokenizer, text).ids])
        with torch.no_grad():
            logits = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        assert torch.equal(logits, concatenated(frozen, prompt.rows, text))
        assert torch.equal(logits, frozen.logits(torch.cat([prompt.rows[None], frozen.embed(ids)], 1)).detach())
    back = import_prompt(tmp_path / "adapter", tmp_path / "back")
    assert torch.equal(back.snapshot.prompt.rows, prompt.rows)
    assert torch.equal(load_snapshot(tmp_path / "back").prompt.rows, prompt.rows)
    assert back.remarks == []
    assert (back.snapshot.model, back.snapshot.fingerprint, back.snapshot.step) == (
        frozen.name,
        frozen.fingerprint,
        7,
    )


@pytest.mark.parametrize("form", ["peft", "embeds"])
def test_a_recipe_writes_what_we_write(
    frozen: FrozenModel, save: Save, tmp_path: Path, form: Any, execute: Callable[[Path], str]
) -> None:
    folder = save(frozen)
    exported = export_prompt(folder, form, tmp_path / "out", texts=TEXTS[:1])
    said = execute(tmp_path / "out" / "recipe.py").removesuffix("\n")
    assert said == written_here(frozen, folder, TEXTS[0])
    assert said != generate(frozen, load_snapshot(save(frozen, tokens=0)).prompt, [Query(TEXTS[0], (), 0)], 32)[0]
    body = exported.recipe.split("\n\n")[-1].strip().splitlines()
    assert len(body) <= 10


class FakeVllm(ModuleType):
    """Takes what vLLM takes, and gives it to plain transformers."""

    def __init__(self, source: str) -> None:
        super().__init__("vllm")
        self.asked: list[Tensor] = []
        model = AutoModelForCausalLM.from_pretrained(source).eval()

        class LLM:
            def __init__(llm, model: str, enable_prompt_embeds: bool, enable_prefix_caching: bool) -> None:
                assert model == source
                assert enable_prompt_embeds
                assert not enable_prefix_caching

            def generate(llm, inputs: Any, params: Any) -> list[Any]:
                self.asked = [one["prompt_embeds"] for one in (inputs if isinstance(inputs, list) else [inputs])]
                assert all(embeds.dim() == 2 and not embeds.requires_grad for embeds in self.asked)
                firsts = [model(inputs_embeds=embeds[None]).logits[0, -1].argmax().item() for embeds in self.asked]
                text = [ModuleType("output") for _ in firsts]
                for one, first in zip(text, firsts, strict=True):
                    one.text = str(first)  # pyright: ignore[reportAttributeAccessIssue]
                return [type("Written", (), {"outputs": [one]}) for one in text]

        self.LLM, self.SamplingParams = LLM, lambda temperature, max_tokens: (temperature, max_tokens)


@pytest.mark.parametrize("form", ["peft", "embeds"])
def test_a_model_of_several_parts_goes_along_whole_and_comes_back_by_its_name(
    save: Save, execute: Callable[[Path], str], tmp_path: Path, form: str
) -> None:
    """A base, an adapter and a card have no name that another program could load."""
    base = save_tiny_model(tmp_path / "base", "llama")
    settings = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings).save_pretrained(tmp_path / "adapter")
    card = tmp_path / "card.yaml"
    card.write_text(f"base: {base}\nadapters: [{tmp_path / 'adapter'}]\nany_base: true\npad_token: <PAD>\n")
    for number, name in enumerate((f"{base}+{tmp_path / 'adapter'}", str(card))):
        frozen, out = load_frozen_model(name), tmp_path / f"out-{number}"
        assert export_prompt(save(frozen), form, out, texts=TEXTS[:1]).agreement.difference == 0
        whole = load_frozen_model(str(out / "model"))
        assert all(torch.equal(whole.model.state_dict()[key], own) for key, own in frozen.model.state_dict().items())
        assert len(whole.tokenizer) == len(frozen.tokenizer)
        assert execute(out / "recipe.py").strip()
        if form == "peft":
            came = import_prompt(out, tmp_path / f"in-{number}")
            assert (came.snapshot.model, came.snapshot.fingerprint, came.remarks) == (name, frozen.fingerprint, [])


def test_a_gguf_file_is_told_by_the_folder_that_it_was_unpacked_into(
    save: Save,
    execute: Callable[[Path], str],
    tmp_path: Path,
    tiny_folders: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("gguf", reason="needs the extra gguf")
    from tests.checks.made.gguf_files import save_gguf

    monkeypatch.setenv("SOFT_PROMPTS_CACHE", str(tmp_path / "cache"))
    name = str(save_gguf(tmp_path / "tiny.gguf", tiny_folders["llama"]))
    frozen = load_frozen_model(name)
    assert export_prompt(save(frozen), "peft", tmp_path / "out").agreement.difference == 0
    assert str(tmp_path / "cache" / "unpacked") in (tmp_path / "out" / "recipe.py").read_text()
    assert execute(tmp_path / "out" / "recipe.py").strip()
    came = import_prompt(tmp_path / "out", tmp_path / "in").snapshot
    assert (came.model, came.fingerprint) == (name, frozen.fingerprint)


@pytest.mark.parametrize("texts", [(), TEXTS])
def test_what_vllm_is_asked_is_prompt_and_text(
    frozen: FrozenModel,
    save: Save,
    tmp_path: Path,
    texts: tuple[str, ...],
    execute: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = save(frozen)
    exported = export_prompt(folder, "vllm", tmp_path / "out", texts=texts)
    assert exported.agreement.difference == 0
    monkeypatch.setitem(sys.modules, "vllm", fake := FakeVllm(frozen.source))
    said = execute(tmp_path / "out" / "recipe.py").split()
    model, prompt = AutoModelForCausalLM.from_pretrained(frozen.source).eval(), load_snapshot(folder).prompt.rows
    for text, embeds, first in zip(texts or ("The",), fake.asked, said, strict=True):
        expected = concatenated(frozen, prompt, text)
        with torch.no_grad():
            assert torch.equal(model(inputs_embeds=embeds[None]).logits, expected)
        assert int(first) == expected[0, -1].argmax()


@pytest.mark.parametrize("kind", ["linear", "mlp", "resnet", "shared_resnet"])
def test_a_conditional_prompt_is_written_as_it_is_under_its_conditions(
    one_frozen: FrozenModel, save: Save, tmp_path: Path, kind: str
) -> None:
    folder = save(one_frozen, kind)
    prompt = load_snapshot(folder).prompt
    emitted = prompt(torch.tensor([ENCODED]))[0]
    export_prompt(folder, "embeds", tmp_path / "out", conditions=ELOS)
    assert torch.equal(load_file(tmp_path / "out" / "prompt.safetensors")["prompt"], emitted)
    assert not torch.allclose(emitted, prompt(torch.tensor([[0.9, 0.1]]))[0])
    export_prompt(folder, "peft", tmp_path / "adapter", conditions=ELOS)
    back = import_prompt(tmp_path / "adapter", tmp_path / "back").snapshot
    assert (back.kind, back.conditions.names) == ("direct", ())
    assert torch.equal(back.prompt.rows, emitted)


def test_a_residual_prompt_is_its_rows(one_frozen: FrozenModel, save: Save, tmp_path: Path) -> None:
    folder = save(one_frozen, "residual")
    export_prompt(folder, "embeds", tmp_path / "out")
    assert torch.equal(load_file(tmp_path / "out" / "prompt.safetensors")["prompt"], load_snapshot(folder).prompt.rows)


@pytest.mark.parametrize("form", FORMS)
def test_a_begin_token_goes_along_as_the_first_row(
    with_begin: FrozenModel, save: Save, tmp_path: Path, form: Any, execute: Callable[[Path], str]
) -> None:
    """Our prompt stands behind it; a form that stands before everything says the same with it inside."""
    folder = save(with_begin)
    assert text_start(with_begin.tokenizer, TEXTS[0]) == 1
    exported = export_prompt(folder, form, tmp_path / "out", texts=TEXTS)
    assert exported.agreement.difference == 0
    assert "<|end|> is the first row: give texts without special tokens" in exported.remarks[0]
    if form == "vllm":
        return
    assert execute(tmp_path / "out" / "recipe.py").removesuffix("\n") == written_here(with_begin, folder, TEXTS[0])
    if form == "peft":
        theirs = with_peft(with_begin, tmp_path / "out")
        ids = torch.tensor([encode(with_begin.tokenizer, TEXTS[0]).ids])
        expected = concatenated(with_begin, load_snapshot(folder).prompt.rows, TEXTS[0])
        with torch.no_grad():
            assert torch.equal(theirs(input_ids=ids[:, 1:]).logits, expected)
            assert not torch.allclose(theirs(input_ids=ids).logits[:, -1], expected[:, -1], atol=1e-2)
        back = import_prompt(tmp_path / "out", tmp_path / "back")
        assert torch.equal(back.snapshot.prompt.rows, load_snapshot(folder).prompt.rows)
        assert back.remarks == []


def test_where_it_stood_and_what_texts_began_with_is_said(
    one_frozen: FrozenModel, save: Save, tmp_path: Path, make_result: Callable[..., Result]
) -> None:
    anywhere = export_prompt(save(one_frozen, position="random"), "peft", tmp_path / "out")
    assert anywhere.remarks == [
        "the prompt was trained to stand anywhere in a text; here it stands in front of it, the only place that PEFT "
        "knows"
    ]
    assert import_prompt(tmp_path / "out", tmp_path / "back").snapshot.position == "random"
    folder = save(one_frozen, tokens=2)
    write_result(
        tmp_path / "results" / "direct-2.json", make_result(config={"task": {"prefix": "7719 "}}, tokens=2), None
    )
    assert find_snapshot(tmp_path / "results" / "direct-2.json") == folder
    behind = export_prompt(tmp_path / "results" / "direct-2.json", "embeds", tmp_path / "embeds")
    assert behind.remarks == ["its run's texts began with '7719 ', behind the prompt: give it with each text"]
    folder.rename(tmp_path / "gone")
    with pytest.raises(InputError, match=r"direct-2.json: its trained prompt is not at .*snapshots/direct-2; give"):
        find_snapshot(tmp_path / "results" / "direct-2.json")
    write_result(tmp_path / "results" / "bare.json", make_result(tokens=0), None)
    with pytest.raises(InputError, match="is of the bare model, which has no prompt"):
        find_snapshot(tmp_path / "results" / "bare.json")

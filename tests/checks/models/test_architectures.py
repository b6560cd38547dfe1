"""Does every architecture of transformers say of text with a prompt in it what its plain forward says, or is it
refused by a probe?"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from soft_prompts.common.errors import InputError
from soft_prompts.engine.batch import collate
from soft_prompts.engine.forward import token_losses
from soft_prompts.engine.generation import generate
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import DirectPrompt, PromptShape
from soft_prompts.tasks.task import Example, Query
from tests.checks.made.architectures import WORDS, save_architecture

LENGTHS = (12, 2, 19, 30, 7)  # on both sides of the sliding windows, chunks and rotary limits of the tiny models
NEW = 5


def prompt_of(frozen: FrozenModel, ids: list[int]) -> DirectPrompt:
    """The embeddings of real tokens as a prompt."""
    prompt = DirectPrompt(PromptShape(len(ids), frozen.hidden_size, 0)).requires_grad_(False)
    prompt.matrix.copy_(frozen.embed(torch.tensor([ids], dtype=torch.long))[0])
    return prompt


def texts_of(size: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(2, size, (length,), generator=generator).tolist() for length in LENGTHS]


def own_logits(frozen: FrozenModel, ids: list[int]) -> torch.Tensor:
    """What the model itself says of token ids, one row, no cache."""
    return frozen.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]


def own_losses(frozen: FrozenModel, front: list[int], text: list[int]) -> torch.Tensor:
    logits = own_logits(frozen, front + text).log_softmax(-1)
    places = range(max(len(front), 1), len(front) + len(text))
    places = [place for place in places if place > len(front)]  # a text's first token is never scored
    return torch.stack([-logits[place - 1, (front + text)[place]] for place in places])


def own_continuation(frozen: FrozenModel, ids: list[int]) -> list[int]:
    written: list[int] = []
    while len(written) < NEW and (not written or written[-1] != 0):
        written.append(int(own_logits(frozen, ids + written)[-1].argmax()))
    return written


@torch.no_grad()
def disagreements(folder: Path) -> str:
    """Empty where all is equal; why it is refused; or what differs."""
    try:
        frozen = load_frozen_model(str(folder))
    except InputError as error:
        return str(error).partition(": ")[2]
    frozen = replace(frozen, tokenizer=PreTrainedTokenizerFast.from_pretrained(folder))  # Qwen2's makes its own of it
    texts, wrong = texts_of(WORDS), []
    for front in ([], [5, 9, 3]):
        prompt = prompt_of(frozen, front)
        expected = torch.cat([own_losses(frozen, front, text) for text in texts])
        for size in (1, 5):
            batches = [texts[start : start + size] for start in range(0, 5, size)]
            losses = [
                token_losses(frozen, prompt, collate([Example(text, text) for text in batch], frozen.pad_id)).nats
                for batch in batches
            ]
            if not torch.allclose(torch.cat(losses), expected, rtol=1e-4, atol=1e-4):
                difference = float((torch.cat(losses) - expected).abs().max())
                wrong.append(f"losses behind {len(front)} tokens in batches of {size}: {difference:.2g}")
        queries = [Query(" ".join(f"w{token}" for token in text), (), 0) for text in texts]
        known = ["".join(f"w{t}" for t in own_continuation(frozen, front + text) if 0 < t < WORDS) for text in texts]
        for size in (1, 5):
            written = generate(frozen, prompt, queries, NEW, batch_size=size)
            if written != known:
                wrong.append(f"text behind {len(front)} tokens in batches of {size}: {written} for {known}")
    return "; ".join(wrong)


FEW = "llama gpt_neox gpt2 mamba rwkv gemma2 gemma3_text phi3 mpt falcon bart qwen2 qwen3 falcon_h1 minimax"
MORE = """
afmoe apertus apertus1p5_text arcee aria_text axk1 bailing_hybrid bamba beam bert bert-generation big_bird
bigbird_pegasus biogpt bitnet blenderbot blenderbot-small bloom camembert codegen cohere cohere2 cohere2_moe ctrl
cwm data2vec-text deepseek_v2 deepseek_v3 deepseek_v4 diffllama doge electra ernie ernie4_5 ernie4_5_moe exaone
exaone4 exaone_moe falcon_mamba flex_olmo flint gemma gemma4_unified_text glm glm4 glm4_moe glm4_moe_lite gpt-sw3
gpt_bigcode gpt_neo gpt_neox_japanese gpt_oss gptj granite granite_swa granitemoe granitemoe_swa granitemoeshared
helium hrm_text hunyuan_v1_dense hunyuan_v1_moe hy_v3 hy_v4 hyperclovax internlm3 iquestcoder jais2 jamba jetmoe
kolibri1 laguna lara_mini lfm2 lfm3 llama4_text mamba2 marian mbart megatron-bert mellum mimo_v2_flash minicpm3
minimax_m2 minimax_m3_vl_text ministral ministral3 mistral mixtral modernbert-decoder moshi mvp nanochat nemotron
olmo olmo2 olmo3 olmo_hybrid olmoe openai-gpt opt pegasus persimmon phi phimoe plbart qwen2_moe qwen3_moe qwen3_next
recurrent_gemma rembert roberta roberta-prelayernorm roformer sarvam_moe seed_oss smollm3 solar_open stablelm
starcoder2 trocr vaultgemma whisper xglm xlm-roberta xlm-roberta-xl xlstm youtu
"""
REFUSED = {
    "cpmant": "it needs token ids in its layers",
    "dory": "its logits change with use_cache",
    "prophetnet": "it sees the tokens it is asked for",
    "xlm": "it sees the tokens it is asked for",
    "xlnet": "it sees the tokens it is asked for",
}


@pytest.mark.parametrize("kind", FEW.split())
def test_an_architecture_says_what_its_plain_forward_says(tmp_path: Path, kind: str) -> None:
    assert disagreements(save_architecture(tmp_path, kind)) == ""


def test_text_in_a_batch_is_text_alone_at_any_lengths(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(4)
    for kind in ("rwkv", "minimax", "bart"):
        frozen = load_frozen_model(str(save_architecture(tmp_path / kind, kind)))
        texts = [torch.randint(2, WORDS, (n,), generator=generator).tolist() for n in (2, 5, 9, 40, 3, 25, 60, 4)]
        queries = [Query(" ".join(f"w{token}" for token in text), (), 0) for text in texts]
        prompt = prompt_of(frozen, [5, 9, 3])
        alone = [generate(frozen, prompt, [query], 6)[0] for query in queries]
        assert generate(frozen, prompt, queries, 6, batch_size=8) == alone
        assert len(set(alone)) > 4, kind  # they write different things


def known(kinds: Iterable[str]) -> list[str]:
    """Those that the installed version of transformers has."""
    return [kind for kind in kinds if kind in CONFIG_MAPPING]


@pytest.mark.slow
@pytest.mark.parametrize("kind", known(MORE.split()))
def test_so_do_all_others(tmp_path: Path, kind: str) -> None:
    assert disagreements(save_architecture(tmp_path, kind)) == ""


@pytest.mark.parametrize("kind", known(REFUSED))
def test_what_cannot_be_right_is_refused(tmp_path: Path, kind: str) -> None:
    assert REFUSED[kind] in disagreements(save_architecture(tmp_path, kind))

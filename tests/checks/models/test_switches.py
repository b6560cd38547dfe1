"""What switches on in a model at a length that no probe's texts have: is it right there too, or is the road left?"""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from soft_prompts.engine import forward
from soft_prompts.engine.batch import collate
from soft_prompts.engine.beginnings import nats_of
from soft_prompts.engine.generation import generate
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel, context_length_of
from soft_prompts.prompts.architectures import DirectPrompt, PromptShape
from soft_prompts.tasks.task import UNSCORED, Example, Query
from tests.checks.made.architectures import WORDS, make_config, save_architecture

PROMPT = 3


def needs(*kinds: str) -> pytest.MarkDecorator:
    missing = [kind for kind in kinds if kind not in CONFIG_MAPPING]
    return pytest.mark.skipif(bool(missing), reason=f"this transformers has no {', '.join(missing)}")


def loaded(folder: Path, kind: str, **changes: object) -> FrozenModel:
    return load_frozen_model(str(save_architecture(folder, kind, **changes)))


def prompt_of(frozen: FrozenModel) -> DirectPrompt:
    prompt = DirectPrompt(PromptShape(PROMPT, frozen.hidden_size, 0)).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    prompt.matrix.copy_(torch.randn(PROMPT, frozen.hidden_size, generator=generator) * frozen.vocabulary.std())
    return prompt


def texts_of(*lengths: int, head: int = 0) -> list[list[int]]:
    """Random tokens, which begin with `head` ones that are the same."""
    draw = np.random.default_rng(0)
    shared = draw.integers(2, WORDS, head).tolist()
    return [shared + draw.integers(2, WORDS, length).tolist() for length in lengths]


@torch.no_grad()
def own_logits(frozen: FrozenModel, prompt: DirectPrompt, ids: list[int]) -> torch.Tensor:
    """[T V] of one text behind the prompt: plain concatenation, one row, no cache."""
    embeds = torch.cat([prompt.matrix, frozen.embed(torch.tensor([ids]))[0]])[None]
    return frozen.model(inputs_embeds=embeds, use_cache=False).logits[0, PROMPT - 1 : -1]


def own_nats(frozen: FrozenModel, prompt: DirectPrompt, ids: list[int], first: int = 1) -> torch.Tensor:
    logits = own_logits(frozen, prompt, ids).log_softmax(-1)
    return -logits[range(first, len(ids)), ids[first:]]


def own_text(frozen: FrozenModel, prompt: DirectPrompt, ids: list[int], most: int) -> str:
    written = list[int]()
    while len(written) < most and (not written or written[-1] != 0):
        written.append(int(own_logits(frozen, prompt, [*ids, *written, 2])[-1].argmax()))
    return "".join(f"w{token}" for token in written if 0 < token < WORDS)


def queries_of(texts: list[list[int]]) -> list[Query]:
    return [Query("", (), 0, ids=tuple(text)) for text in texts]


@needs("minimax_m3_vl_text")
def test_sparse_blocks_are_kept_in_every_batch(tmp_path: Path) -> None:
    """A packed row would see all blocks, and padding of a block's width would hide a short row's own."""
    layers = {"layer_types": ["full_attention", "minimax_m3_sparse"], "index_head_dim": 8, "index_n_heads": 2}
    frozen = loaded(tmp_path, "minimax_m3_vl_text", max_position_embeddings=8192, **layers)
    prompt, texts = prompt_of(frozen), texts_of(40, 60, 90, 300)
    assert not frozen.packs
    assert generate(frozen, prompt, queries_of(texts), 5) == [own_text(frozen, prompt, text, 5) for text in texts]


@needs("llama4_text")
def test_a_packed_row_is_no_long_text_to_llama_4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It scales queries by their place in the row from `floor_scale` on."""
    monkeypatch.setattr(forward, "WORTH", -np.inf)  # every batch that can be packed is
    frozen = loaded(tmp_path, "llama4_text", no_rope_layers=[1, 0], floor_scale=64)
    prompt = prompt_of(frozen)
    assert frozen.packs
    for texts in (texts_of(12, 19, 7), texts_of(12, 19, 30, 7, 22)):  # rows below 64 positions and beyond
        batch = collate([Example(text, text) for text in texts], frozen.pad_id)
        expected = torch.cat([own_nats(frozen, prompt, text) for text in texts])
        torch.testing.assert_close(forward.token_losses(frozen, prompt, batch).nats, expected, rtol=1e-5, atol=1e-5)


@needs("llama4_text")
def test_what_llama_4_reads_behind_an_earlier_row_may_be_a_long_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row of what differs is short, and its texts are not."""
    monkeypatch.setattr(forward, "WORTH", -np.inf)
    frozen = loaded(tmp_path, "llama4_text", no_rope_layers=[1, 0], floor_scale=64)
    prompt, texts = prompt_of(frozen), texts_of(20, 9, head=50)
    examples = [Example(text, [UNSCORED] * 50 + text[50:], (), 50) for text in texts]
    expected = []
    for text in texts:
        embeds = frozen.embed(torch.tensor([text]))[0]
        whole = torch.cat([embeds[:50], prompt.matrix, embeds[50:]])[None]
        logits = frozen.model(inputs_embeds=whole, use_cache=False).logits[0, 50 + PROMPT - 1 : -1].log_softmax(-1)
        expected.append(-logits[range(len(text) - 50), text[50:]])
    found = forward.token_losses(frozen, prompt, collate(examples, frozen.pad_id)).nats
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-5, atol=1e-5)


@needs("llama4_text")
def test_llama_4_writes_behind_padding_what_it_writes_alone(tmp_path: Path) -> None:
    frozen = loaded(tmp_path, "llama4_text", no_rope_layers=[1, 0], floor_scale=200, max_position_embeddings=1024)
    prompt, texts = prompt_of(frozen), texts_of(12, 250)
    assert frozen.writing.batching.kind != "padded"
    assert generate(frozen, prompt, queries_of(texts), 6) == [own_text(frozen, prompt, text, 6) for text in texts]


@needs("llama4_text")
def test_texts_that_begin_alike_where_logits_are_no_heads_of_a_body(tmp_path: Path) -> None:
    """transformers' name of Llama 4's body is of no part of it."""
    frozen = loaded(tmp_path, "llama4_text", no_rope_layers=[1, 0], attn_temperature_tuning=False)
    prompt, texts = prompt_of(frozen), texts_of(12, 2, 19, 7, head=30)
    assert frozen.head is None
    assert frozen.caches
    examples = [Example(text, [UNSCORED] * 30 + text[30:]) for text in texts]
    found = nats_of(frozen, prompt, examples, batch_size=4)
    expected = [float(own_nats(frozen, prompt, text, 30).sum()) for text in texts]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert generate(frozen, prompt, queries_of(texts), 4) == [own_text(frozen, prompt, text, 4) for text in texts]


@pytest.mark.parametrize("kind", ["roberta", "camembert", "xlm-roberta", "data2vec-text", "roberta-prelayernorm"])
def test_positions_that_are_counted_from_the_pad_token_are_fewer(tmp_path: Path, kind: str) -> None:
    frozen = loaded(tmp_path, kind, max_position_embeddings=40)
    assert frozen.context_length == 39
    assert context_length_of(make_config(kind, max_position_embeddings=514, pad_token_id=1)) == 512  # as published
    ids = torch.arange(2, 2 + 39)[None]
    assert frozen.logits_of_ids(ids).isfinite().all()
    with pytest.raises((IndexError, RuntimeError), match="out of "):
        frozen.logits_of_ids(torch.cat([ids, ids[:, :1]], dim=1))


@needs("doge")
def test_a_text_is_no_longer_than_what_keeps_tokens_from_later_ones(tmp_path: Path) -> None:
    frozen = loaded(tmp_path, "doge", keep_window_size=40)
    ids = torch.tensor(texts_of(44))
    assert frozen.context_length == 40
    whole = frozen.logits_of_ids(ids[:, :40])[0, :37]
    torch.testing.assert_close(frozen.logits_of_ids(ids[:, :37])[0], whole, rtol=1e-4, atol=1e-4)
    beyond = frozen.logits_of_ids(ids)[0, :41]
    assert (frozen.logits_of_ids(ids[:, :41])[0] - beyond).abs().max() > 0.01

"""How large are the models that steps are timed on, and how much work is a step at the least?"""

from pathlib import Path
from typing import NamedTuple

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPTNeoXConfig, LlamaConfig, PreTrainedConfig

from soft_prompts.zoo import EMBEDDED

FORMULA = (
    "4 body positions + 4 hidden vocabulary scored + 12 layers hidden (each position times the mean number that it "
    "sees), multiplications and additions: forward, and backward through activations alone. An unconditional prompt's "
    "positions, and those of a template behind it, count once a batch, a conditional one's once a sample."
)


def _pythia(hidden: int, layers: int, heads: int) -> GPTNeoXConfig:
    return GPTNeoXConfig(
        vocab_size=50304,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=2048,
    )


SHAPES: dict[str, PreTrainedConfig] = {
    "pythia-70m": _pythia(512, 6, 8),
    "pythia-160m": _pythia(768, 12, 12),
    "pythia-1b": _pythia(2048, 16, 8),
    "smollm2-135m": LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        intermediate_size=1536,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    ),
}


class Size(NamedTuple):
    """What the work of a step is counted from."""

    body: int
    """Weights outside embedding and vocabulary matrix."""
    layers: int
    hidden: int
    """Of all heads together: what attention multiplies."""
    vocabulary: int


def save_random(shape: str, folder: Path) -> Size:
    """Write a model of random weights into the folder, with a tokenizer, which the loader wants to see."""
    config = SHAPES[shape]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(EMBEDDED["tiny-text"]).save_pretrained(folder)
    body = sum(weight.numel() for weight in model.base_model.parameters()) - model.get_input_embeddings().weight.numel()
    return Size(body, config.num_hidden_layers, config.hidden_size, config.vocab_size)


def least_work(size: Size, tokens: int, batch: int, length: int, shared: bool, template: int = 0) -> float:
    """Multiplications and additions of one training step by FORMULA, every text token scored that is not in a
    template."""
    front, prompts, texts = tokens + template, 1 if shared else batch, batch * (length - template)
    positions = prompts * front + texts
    seen = prompts * front * (front / 2) + texts * (front + (length - template) / 2)
    head = 4 * size.hidden * size.vocabulary * texts
    return 4 * size.body * positions + head + 12 * size.layers * size.hidden * seen

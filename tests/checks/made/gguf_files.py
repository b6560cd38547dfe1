"""Small GGUF files, as llama.cpp writes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quants
from safetensors.numpy import load_file

NAMES = {  # of a Llama's weights in transformers, and in GGUF
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
WHOLE = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
WHOLE |= {"lm_head.weight": "output.weight"}


def save_gguf(path: Path, folder: Path, chat_template: str | None = None) -> Path:
    """A tiny Llama of a folder in blocks of eight bits, with its tokenizer and, if given, a chat template."""
    config = json.loads((folder / "config.json").read_text())
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    _add_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text()), config["vocab_size"])
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    for name, weights in load_file(folder / "model.safetensors").items():
        _add_weights(writer, config, name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: GGUFWriter, tokenizer: dict[str, Any], rows: int) -> None:
    tokens = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].__getitem__)
    tokens += [f"<unused-{number}>" for number in range(rows - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("<") and token.endswith(">") else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(0)


def _add_weights(writer: GGUFWriter, config: dict[str, Any], name: str, weights: np.ndarray) -> None:
    """Norms as they are, matrices in blocks of 32; queries and keys in llama.cpp's order of rotary halves."""
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for kind, count in heads.items():
        if kind in name:
            weights = weights.reshape(count, 2, -1, weights.shape[-1]).swapaxes(1, 2).reshape(weights.shape)
    if name in WHOLE:
        other = WHOLE[name]
    else:
        _, _, layer, kind = name.removesuffix(".weight").split(".", 3)
        other = f"blk.{layer}.{NAMES[kind]}.weight"
    if weights.ndim == 1:
        writer.add_tensor(other, weights)
    else:
        blocks = GGMLQuantizationType.Q8_0
        writer.add_tensor(other, quants.quantize(weights, blocks), raw_dtype=blocks)

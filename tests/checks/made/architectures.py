"""What does a tiny random model of each of transformers' architectures look like?"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

WORDS = 96
SPREAD = 0.2  # at the usual initializer_range of 0.02 a random model says much the same of everything
LAYERS = 2
# Sizes under every name that a configuration may have for them.
SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "emb_dim", "embedding_size"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "decoder_ffn_dim", "encoder_ffn_dim", "dff"), 64),
    **dict.fromkeys(("d_inner", "mlp_hidden_size", "ffn_hidden_size", "shared_expert_intermediate_size"), 64),
    **dict.fromkeys(("moe_intermediate_size", "shared_intermediate_size", "expert_ffn_hidden_size"), 32),
    **dict.fromkeys(
        ("num_hidden_layers", "n_layer", "n_layers", "decoder_layers", "encoder_layers", "num_layers"), LAYERS
    ),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "num_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), 2),
    **dict.fromkeys(("head_dim", "v_head_dim", "qk_nope_head_dim", "qk_rope_head_dim", "attention_head_dim"), 8),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_top_k", "moe_k"), 2),
    **dict.fromkeys(("n_group", "topk_group"), 1),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "context_length"), 256),
    **dict.fromkeys(("initializer_range", "init_std"), SPREAD),
    **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0),
    "attention_dropout": 0.0,
    "first_k_dense_replace": 1,
    "is_decoder": True,
    "rotary_dim": 8,
    "vocab_size": WORDS + 8,  # some tokenizer classes add tokens of their own
}
HEADS = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_ssm": 64, "mamba_d_state": 8, "mamba_chunk_size": 8}
ROPE = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 16}
LONG = {"short_factor": [1.0] * 4, "long_factor": [8.0] * 4, "partial_rotary_factor": 1.0}
LATENT_KINDS = ("axk1", "deepseek_v2", "deepseek_v3", "glm4_moe_lite", "minicpm3", "youtu")
# What the sizes alone leave wrong.
OVERRIDES: dict[str, dict[str, Any]] = {
    "phi3": {"rope_parameters": ROPE | LONG, "original_max_position_embeddings": 16, "sliding_window": None},
    "falcon_h1": HEADS | {"embedding_multiplier": 3.0, "lm_head_multiplier": 0.5},
    "bamba": HEADS | {"attn_layer_indices": [1]},
    "gemma2": {"sliding_window": 5, "final_logit_softcapping": 3.0, "query_pre_attn_scalar": 8},
    "gemma3_text": {"sliding_window": 5, "query_pre_attn_scalar": 8},
    "mpt": {"attn_config": {"alibi": True, "attn_impl": "torch"}, "expansion_ratio": 2},
    "falcon": {"new_decoder_architecture": True, "alibi": False},
    "cohere": {"logit_scale": 0.0625},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 5},
    "mamba2": {"num_heads": 4, "head_dim": 16, "expand": 2, "n_groups": 1, "state_size": 8, "chunk_size": 8},
    **{kind: {"num_key_value_heads": 4, "head_dim": 8, "qk_head_dim": 16} for kind in LATENT_KINDS},
    "rwkv": {"attention_hidden_size": 32, "rescale_every": 0},
}


def make_config(kind: str, **changes: Any) -> PretrainedConfig:
    """A small configuration; `kind` is transformers' model_type."""
    made = CONFIG_MAPPING[kind]
    known = made().to_dict()
    sizes = {name: size for name, size in SIZES.items() if name in known or name in made.attribute_map}
    return made(**sizes | OVERRIDES.get(kind, {}) | changes)


def save_architecture(folder: Path, kind: str, **changes: Any) -> Path:
    """A random model with a tokenizer of whole words, in Hugging Face form."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(make_config(kind, **changes)).eval().save_pretrained(folder)
    words = Tokenizer(models.WordLevel({f"w{number}": number for number in range(WORDS)}, unk_token="w1"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w0").save_pretrained(folder)
    return folder

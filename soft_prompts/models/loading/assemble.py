"""How do base, adapters and tokenizer become one module, in the precision and place that are asked?"""

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from soft_prompts.common.cache import INSTEAD, cache_folder
from soft_prompts.common.errors import InputError
from soft_prompts.common.files import writing_to
from soft_prompts.models.loading.adapters import with_adapters, with_rows
from soft_prompts.models.loading.quantised import quantisation_in
from soft_prompts.models.loading.shards import refuse_in_step, shard, tensor_plan
from soft_prompts.models.loading.spread import IN_STEP, WHOLE, Mode, Spread
from soft_prompts.models.loading.texts import as_on_card
from soft_prompts.models.precision import DTYPES
from soft_prompts.models.sources.adapters import adapter_folders, tokenizer_of
from soft_prompts.models.sources.gguf import quantisation_of
from soft_prompts.models.sources.hub import asked_of, place_of
from soft_prompts.models.sources.source import Source


class Wanted(NamedTuple):
    """How the parts are to be loaded."""

    dtype: str
    device: torch.device
    offline: bool = False
    trust_remote_code: bool = False
    spread: Spread = WHOLE
    mode: Mode = "none"
    """How it is spread in the end."""


class Assembled(NamedTuple):
    """A model that was put together, and what is known of how."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    report: dict[str, Any]
    """What became of each weight of the base; those of another shape are left to the probe, which names them."""
    quantisation: str | None


def assemble(source: Source, wanted: Wanted) -> Assembled:
    """The module on its device, and its tokenizer; raises InputError or what transformers and peft raise."""
    folders = adapter_folders(source, wanted.offline)
    place, asked = place_of(source.base), asked_of(source.base, wanted.offline, wanted.trust_remote_code)
    config = AutoConfig.from_pretrained(place, **asked)
    quantised = quantisation_in(config)
    if wanted.mode in IN_STEP:
        refuse_in_step(source, wanted.mode, quantised)
    loaded: Any = AutoModelForCausalLM  # its type does not say that it gives a pair
    model, report = loaded.from_pretrained(
        place,
        config=config,
        dtype=DTYPES[wanted.dtype] if quantised or not folders else torch.float32,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        **asked,
        **_attention(source),
        **_placing(wanted, config, quantised),
    )
    tokenizer = tokenizer_for(source, wanted.offline, wanted.trust_remote_code)
    model = _whole(source, model, len(tokenizer), folders, quantised)
    if not quantised:
        for weight in model.parameters():  # buffers keep their precision, as transformers has it
            weight.data = weight.data.to(DTYPES[wanted.dtype]) if folders else weight.data
    if wanted.mode == "fsdp":
        shard(model, wanted.device)
    elif not quantised and wanted.mode == "none":
        model.to(wanted.device)  # pyright: ignore[reportArgumentType]  # transformers wraps the method, its type is lost
    gguf = source.base.gguf
    return Assembled(model, tokenizer, report, quantised if gguf is None else quantisation_of(gguf))


def tokenizer_for(source: Source, offline: bool, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    """The tokenizer alone, as the model would have it."""
    part = tokenizer_of(source, offline)
    asked = asked_of(part, offline, trust_remote_code)
    return as_on_card(AutoTokenizer.from_pretrained(place_of(part), **asked), source.card)


def _whole(source: Source, model: Any, tokens: int, folders: list[Any], quantised: str | None) -> PreTrainedModel:
    """The rows that the parts need, then the adapters."""
    card, rows = source.card, len(model.get_input_embeddings().weight)
    if card is not None and card.resize is not None and card.resize < rows:
        raise InputError(f"its card resizes {rows} rows of the embedding to {card.resize}; rows are never taken away")
    with_rows(model, card.resize or 0 if card else 0)
    if (folders and source.tokenizer is None) or (card and card.pad_token and tokens == rows + 1):
        with_rows(model, tokens)  # of a tokenizer from elsewhere the probe says what has no embedding
    return with_adapters(model, folders, apart=quantised is not None) if folders else cast(PreTrainedModel, model)


def _attention(source: Source) -> dict[str, str]:
    return {"attn_implementation": source.card.attention} if source.card and source.card.attention else {}


def _offload_folder() -> Path:
    """Of this process alone, and gone with it: two models would write weights of the same names."""
    place = cache_folder() / "offload"
    with writing_to(place, INSTEAD):
        place.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="weights-", dir=place))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _placing(wanted: Wanted, config: PretrainedConfig, quantised: str | None) -> dict[str, Any]:
    """A quantised model is put onto its device as it is read, and cannot be moved afterwards."""
    if wanted.mode == "tensor":
        return tensor_plan(config, wanted.device)
    if wanted.mode == "pipeline":
        spread = {"device_map": wanted.spread.device_map or "auto", "offload_folder": str(_offload_folder())}
        return spread | ({"max_memory": limits} if (limits := wanted.spread.limits) else {})
    return {"device_map": {"": wanted.device}} if quantised else {}

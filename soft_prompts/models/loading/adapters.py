"""How do adapters become part of a model? In their order: each is put onto the base by peft and merged in float32, or,
where the base is quantised, kept apart in the base's own layers."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union, cast

import torch
from transformers import PreTrainedModel

from soft_prompts.common.errors import InputError
from soft_prompts.models.sources.adapters import rows_of
from soft_prompts.models.sources.source import read_adapter

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

TWICE = (".modules_to_save.", ".original_module.")  # peft writes a resized embedding under its own name too


@torch.no_grad()
def with_adapters(model: PreTrainedModel, folders: Sequence[Path], apart: bool) -> PreTrainedModel:
    """The model with the adapters in it, and still a model of transformers; the one that came in is used up.

    Raises InputError for an adapter that has weights which the model has no place for, or lacks some.
    """
    adapted: PeftModel | None = None
    for number, folder in enumerate(folders):
        with_rows(model, rows_of(folder))
        name = f"adapter_{number}"
        adapted = _put_on(model if adapted is None else adapted, folder, name)
        if not apart:
            model, adapted = cast(Any, adapted).merge_and_unload(), None
    if adapted is None:
        return model
    cast(Any, adapted.base_model).set_adapter([f"adapter_{number}" for number in range(len(folders))])
    return cast(PreTrainedModel, adapted.get_base_model())


def _put_on(model: Union[PreTrainedModel, "PeftModel"], folder: Path, name: str) -> "PeftModel":
    from peft import PeftModel, get_peft_model  # takes seconds to load

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it advises those who train
        if isinstance(model, PeftModel):
            adapted = model
        else:
            adapted = cast(PeftModel, get_peft_model(model, _settings(folder), adapter_name=name))
        found = adapted.load_adapter(str(folder), adapter_name=name)
    unused = [key for key in found.unexpected_keys if not any(word in key for word in TWICE)]
    for wrong, keys in (("it lacks", found.missing_keys), ("the model has no place for", unused)):
        if keys:
            raise InputError(f"adapter {folder}: {wrong} {', '.join(sorted(keys)[:3])}; give its own base")
    return adapted


def _settings(folder: Path) -> "PeftConfig":
    """Raises InputError for a kind that this peft does not know, and for settings that it cannot read."""
    from peft import PeftConfig, PeftType

    kind = read_adapter(folder).get("peft_type")
    if kind not in list(PeftType):
        raise InputError(f"adapter {folder} is of peft_type {kind!r}, which peft here does not know; give another")
    return PeftConfig.from_pretrained(str(folder))


@torch.no_grad()
def with_rows(model: PreTrainedModel, rows: int) -> None:
    """Give the embedding and its head so many rows, where they have fewer; no row is ever taken away.

    A new row is the mean of the old ones: the same at every load, unlike those that transformers draws.
    """
    embedding: Any = model.get_input_embeddings()
    before = len(embedding.weight)
    if rows <= before:
        return
    model.resize_token_embeddings(rows, mean_resizing=False)
    layers: list[Any] = [model.get_input_embeddings(), model.get_output_embeddings()]
    for weight in (layer.weight for layer in layers if layer is not None):
        weight[before:] = weight[:before].float().mean(dim=0).to(weight.dtype)

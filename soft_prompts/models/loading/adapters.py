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
from soft_prompts.models.trials import FAILURES

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

TWICE = (".modules_to_save.", ".original_module.")  # peft writes a resized embedding under its own name too
POSITIONS = 12  # of the forwards before and after a merge
ROUNDING = 1e-3  # of the largest logit, in float32: an embedding that drags its head along is .4 and more


@torch.no_grad()
def with_adapters(model: PreTrainedModel, folders: Sequence[Path], apart: bool) -> PreTrainedModel:
    """The model with the adapters in it, and still a model of transformers; the one that came in is used up.

    Raises InputError for an adapter that has weights which the model has no place for, or lacks some, and for one that
    says something else merged than as peft has it.
    """
    adapted: PeftModel | None = None
    for number, folder in enumerate(folders):
        if not apart and read_adapter(folder).get("layer_replication"):
            raise InputError(
                f"adapter {folder} repeats layers (layer_replication), and a merge into one would change its copies; "
                "give a whole checkpoint in which every layer has its own weights"
            )
        with_rows(model, rows_of(folder))
        name = f"adapter_{number}"
        ends = _ends(model)
        adapted = _put_on(model if adapted is None else adapted, folder, name)
        if not apart:
            model, adapted = _merged(adapted, ends, folder), None
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


def _merged(adapted: "PeftModel", ends: list[Any], folder: Path) -> PreTrainedModel:
    """The model with its adapter added to its weights.

    `ends` are the embedding and the head of before: tied ones are one tensor, and what is added to either would change
    both. They come apart for the merge and stay apart if they differ then. Raises InputError where the merged model
    does not say what the adapter says beside its base.
    """
    before = _logits(cast(PreTrainedModel, adapted.eval().get_base_model()))
    embedding, head = ends
    tied = getattr(head, "weight", None) is embedding.weight
    if tied:
        head.weight = torch.nn.Parameter(head.weight.clone(), requires_grad=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that they are apart
        model = cast(PreTrainedModel, cast(Any, adapted).merge_and_unload())
    if tied:
        _tie_equal(model)
    after = None if before is None else _logits(model)
    if before is not None and (after is None or (after - before).abs().max() > ROUNDING * before.abs().max()):
        raise InputError(
            f"adapter {folder}: merged into the base it says something else than peft does with it, and would be "
            "another model; give a whole checkpoint that has it in its weights"
        )
    return model


def _ends(model: PreTrainedModel) -> list[Any]:
    return [model.get_input_embeddings(), model.get_output_embeddings()]


def _tie_equal(model: PreTrainedModel) -> None:
    """One tensor for embedding and head again where they are equal; else the configuration says that they are two, also
    to those who load the model when it is saved."""
    embedding, head = _ends(model)
    equal = torch.equal(head.weight, embedding.weight)
    if equal:
        head.weight = embedding.weight
    for config in (model.config, model.config.get_text_config()):
        config.tie_word_embeddings = equal


def _logits(model: PreTrainedModel) -> torch.Tensor | None:
    """Of a few tokens; None where the model fails or says nothing finite, which the probes will name."""
    weight: Any = model.get_input_embeddings().weight
    ids = torch.arange(POSITIONS)[None] * 7 % len(weight)
    try:
        logits = model(input_ids=ids if weight.is_meta else ids.to(weight.device)).logits  # accelerate moves them
    except FAILURES:
        return None
    return logits if logits.isfinite().all() else None


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

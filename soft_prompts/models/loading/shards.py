"""How does each process of a launch hold a part of every layer? FSDP2 gathers a layer while it is used (Zhao et al.,
arXiv 2304.11277); a tensor plan computes each layer in parts (Shoeybi et al., arXiv 1909.08053)."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import PretrainedConfig, PreTrainedModel

from soft_prompts.common.errors import InputError
from soft_prompts.models.loading.spread import Machine
from soft_prompts.models.sources.source import Source


def machine_of(device: torch.device) -> Machine:
    """The processes that have met, and the GPUs that this one sees."""
    met = distributed.is_available() and distributed.is_initialized()
    processes = distributed.get_world_size() if met else 1
    if device.type != "cuda":
        return Machine(processes)
    return Machine(processes, torch.cuda.device_count(), torch.cuda.get_device_properties(device).total_memory)


def numbers_in(folder: Path) -> int:
    """How many numbers the weights of a folder are, by the heads of the files that are loaded; 0 without any."""
    count, index = 0, folder / "model.safetensors.index.json"
    whole = folder / "model.safetensors"
    names = [whole.name] if whole.is_file() else []
    if not names and index.is_file():
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    for path in (folder / name for name in names):
        with safe_open(path, framework="pt") as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118  # no mapping
        count += sum(torch.Size(shape).numel() for shape in shapes)
    return count


def refuse_in_step(source: Source, mode: str, quantised: str | None) -> None:
    """Raise InputError for a model that cannot be held in parts of layers."""
    if quantised:
        raise InputError(f"it is quantised by {quantised}, and {mode} takes plain numbers; give --parallel pipeline")
    card = source.card
    changed = source.adapters or source.base.gguf or (card and (card.resize or card.pad_token))
    if mode == "tensor" and changed:
        raise InputError("a tensor plan takes a checkpoint as it is, no adapter, GGUF file or resized embedding")


def tensor_plan(config: PretrainedConfig, device: torch.device) -> dict[str, Any]:
    """What makes `from_pretrained` read this process's part of each layer; raises InputError without a plan for it."""
    text, processes = config.get_text_config(), distributed.get_world_size()
    if not text.base_model_tp_plan:
        raise InputError(f"transformers has no tensor plan for {text.model_type}; give --parallel fsdp")
    for name in ("num_attention_heads", "num_key_value_heads"):
        if getattr(text, name, None) and getattr(text, name) % processes:
            raise InputError(f"its {name} are {getattr(text, name)}, which {processes} processes cannot share evenly")
    if device.type == "cpu" and torch.cuda.is_available():
        raise InputError("transformers puts a tensor plan onto the GPUs that it sees; leave out --device cpu")
    from transformers.distributed.configuration_utils import DistributedConfig  # its fields came one after another

    if "tp_plan" not in {one.name for one in fields(DistributedConfig)}:
        return {"tp_plan": "auto"}
    asked: Any = DistributedConfig
    return {"distributed_config": asked(tp_plan="auto")}


def shard(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    """The model with its layers in parts, one a process; what is outside of layers is whole in each.

    So ids are embedded, and the head's weights read, without the others. Raises InputError where no layers are named.
    """
    names = model._no_split_modules or ()
    layers = [part for part in model.modules() if type(part).__name__ in names]
    if not layers:
        raise InputError("transformers does not say what its layers are; give --parallel pipeline")
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    for layer in reversed(layers):  # what is inside first; the device never holds two whole ones
        fully_shard(layer, mesh=mesh)
    inside = {id(weight) for layer in layers for weight in layer.parameters()}
    outside = {weight for weight in model.parameters() if id(weight) not in inside}
    model.to(device)  # pyright: ignore[reportArgumentType]  # transformers wraps the method, its type is lost
    fully_shard(model.base_model, mesh=mesh, ignored_params=outside)  # the root: layers are fetched ahead
    return model

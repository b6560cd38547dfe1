"""How does PEFT keep a prompt, and which of its adapters is one? A folder with adapter_config.json and the tensor
`prompt_embeddings` [P, H] in adapter_model.safetensors.

Prompt tuning's rows are the prompt. P-tuning's are what its encoder made of it: PEFT writes those and leaves the
encoder out, so they are a prompt as well.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from soft_prompts.common.errors import InputError
from soft_prompts.common.files import write_atomically
from soft_prompts.exchange.rows import Rows

CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
TENSOR = "prompt_embeddings"
ROWS = ("PROMPT_TUNING", "P_TUNING")
WHY_NOT: Mapping[str, str] = {
    "PREFIX_TUNING": "it holds keys and values for every layer, not vectors in front of the text",
    "CARTRIDGE": "it holds keys and values for every layer, not vectors in front of the text",
    "MULTITASK_PROMPT_TUNING": "its prompt is another one for each task id",
    "CPT": "its loss is weighted token by token, and its text is part of the prompt",
    "ADAPTION_PROMPT": "it acts inside of the layers",
}
CHANGES_WEIGHTS = "it changes the model's weights; give base and adapter as a model instead"


class Adapter(NamedTuple):
    """A prompt as PEFT keeps it."""

    rows: Float[Tensor, "R H"]
    """float32, whatever the file held."""
    dtype: str
    """What the file held."""
    base: str | None
    """Name of the model that it was trained on, as PEFT wrote it."""
    revision: str | None


def write_adapter(folder: Path, rows: Rows, base: str, revision: str | None) -> list[Path]:
    """Write a prompt-tuning adapter that PEFT loads; returns its files."""
    from peft import PromptTuningConfig  # takes a second to load

    count, width = rows.vectors.shape
    settings = PromptTuningConfig(
        base_model_name_or_path=base,
        revision=revision,
        task_type="CAUSAL_LM",
        inference_mode=True,
        num_virtual_tokens=count,
        token_dim=width,
        num_transformer_submodules=1,
    ).to_dict()
    plain = {name: getattr(value, "value", value) for name, value in settings.items()}
    write_atomically(folder / WEIGHTS, save({TENSOR: rows.vectors}))
    write_atomically(folder / CONFIG, (json.dumps(plain, indent=2, sort_keys=True) + "\n").encode())
    return [folder / WEIGHTS, folder / CONFIG]


def read_adapter(folder: Path) -> Adapter:
    """Raises InputError, in one line, for whatever is no prompt-tuning adapter of a causal language model."""
    settings = _settings(folder)
    _refuse_other_kinds(folder, settings)
    tensors = _tensors(folder)
    if set(tensors) != {TENSOR}:
        names = ", ".join(sorted(tensors)) or "nothing"
        raise InputError(f"{folder / WEIGHTS} holds {names}; a prompt is {TENSOR} alone, so it cannot be taken")
    rows, where = tensors[TENSOR], f"{folder / WEIGHTS}: {TENSOR}"
    if rows.dim() != 2 or 0 in rows.shape:
        raise InputError(f"{where} is {tuple(rows.shape)}, wanted tokens x width; get the adapter again")
    told = (settings.get("num_virtual_tokens"), settings.get("token_dim"))
    if any(one not in (None, found) for one, found in zip(told, rows.shape, strict=True)):
        raise InputError(f"{where} is {tuple(rows.shape)}, but {CONFIG} says {told}; get the adapter again")
    if not rows.is_floating_point() or not rows.isfinite().all():
        raise InputError(f"{where} holds other values than finite floats; get the adapter again")
    base, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    return Adapter(rows.float().contiguous(), str(rows.dtype).removeprefix("torch."), base or None, revision or None)


def _settings(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the folder of a PEFT adapter")
    try:
        settings = json.loads((folder / CONFIG).read_bytes())
    except FileNotFoundError:
        raise InputError(f"{folder} is no PEFT adapter: {CONFIG} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{folder / CONFIG} is unusable: it is no JSON that can be read") from error
    if not isinstance(settings, dict) or not isinstance(settings.get("peft_type"), str):
        raise InputError(f"{folder / CONFIG} is unusable: it names no peft_type")
    return settings


def _refuse_other_kinds(folder: Path, settings: Mapping[str, Any]) -> None:
    kind, task, parts = (settings.get(name) for name in ("peft_type", "task_type", "num_transformer_submodules"))
    if kind not in ROWS:
        why = WHY_NOT.get(str(kind), CHANGES_WEIGHTS)
        raise InputError(f"{folder} is {kind}, which is no prompt: {why}; {' and '.join(ROWS)} can be imported")
    if task not in (None, "CAUSAL_LM"):
        raise InputError(f"{folder} is of task_type {task}; a prompt here is one of a causal language model, CAUSAL_LM")
    if parts not in (None, 1):
        raise InputError(
            f"{folder}: num_transformer_submodules is {parts}, a prompt for each of encoder and decoder; a causal "
            "language model has 1"
        )


def _tensors(folder: Path) -> dict[str, Tensor]:
    if not (folder / WEIGHTS).is_file():
        if (folder / PICKLE).is_file():
            raise InputError(
                f"{folder} holds {PICKLE}, a pickle, which can run code when it is read; where you trust it, load it "
                f"with PEFT and save it again: save_pretrained writes {WEIGHTS}"
            )
        raise InputError(f"{folder} is no whole PEFT adapter: {WEIGHTS} is missing")
    try:
        return load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder / WEIGHTS} is unusable: {error}") from error

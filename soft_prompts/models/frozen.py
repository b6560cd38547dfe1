"""Which model is asked, exactly? Any Hugging Face causal language model, frozen.

Frozen means: eval mode, no gradient on any weight, nothing added to its tokenizer, and a fingerprint of what was
loaded. What the model can be asked is in `model`, what is found out about it at load in `probes`.
"""

from dataclasses import replace
from typing import Any, cast

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError
from soft_prompts.models.fingerprint import find_fingerprint
from soft_prompts.models.model import FrozenModel, ModelKey, context_length_of
from soft_prompts.models.precision import DTYPES, dtype_name
from soft_prompts.models.probes import PASSED, Loaded, examine
from soft_prompts.models.sources import commit_of, config_path, is_local, quiet, reason, source_of

SLOWER = ("embeddings", "batches", "writing")  # probes whose fallback takes time or another road: said at load
TROUBLES = (OSError, ValueError, RuntimeError, KeyError, ImportError, TypeError, SafetensorError)


def model_key(
    name: str, revision: str | None, dtype: str, device: torch.device | str, trust_remote_code: bool
) -> ModelKey:
    """What `load_frozen_model` would load, found without loading it; raises InputError for a name that is none."""
    where = torch.device(device)
    if where.type == "cuda" and where.index is None and torch.cuda.is_available():
        where = torch.device("cuda", torch.cuda.current_device())
    return ModelKey(source_of(name), revision, dtype_name(dtype, where), str(where), trust_remote_code)


@torch.no_grad()
def load_frozen_model(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: torch.device | str = "cpu",
    offline: bool = False,
    trust_remote_code: bool = False,
) -> FrozenModel:
    """Load an embedded name (`tiny-chess`), a local folder or a hub id, and probe it; weights from safetensors only.

    Raises InputError in one line: what was asked, what is wrong, what to do.
    """
    source, device = source_of(name), torch.device(device)
    asked = {"revision": revision, "local_files_only": is_local(source, offline)}
    asked["trust_remote_code"] = trust_remote_code
    with quiet():
        try:
            model, report = _load(source, DTYPES[dtype_name(dtype, device)], asked)
            tokenizer = AutoTokenizer.from_pretrained(source, **asked)
        except TROUBLES as error:
            raise InputError(f"model {name!r} cannot be loaded: {reason(name, error)}") from error
        model.to(device)  # pyright: ignore[reportArgumentType]  # transformers wraps the method, and its type is lost
        model.eval().requires_grad_(False)
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        rows = len(cast(torch.nn.Embedding, model.get_input_embeddings()).weight)
        commit = None if source != name else commit_of(config_path(name, revision, offline))
        frozen = FrozenModel(
            model=model,
            tokenizer=tokenizer,
            name=name,
            revision=commit or revision,
            fingerprint=find_fingerprint(name, revision=revision, offline=offline, trust_remote_code=trust_remote_code),
            pad_id=pad if isinstance(pad, int) and pad < rows else 0,
            head=None,
            source=source,
            commit=commit,
            trust_remote_code=trust_remote_code,
            key=model_key(name, revision, dtype, device, trust_remote_code),
        )
        frozen = examine(Loaded(replace(frozen, loaded=frozen.held), report))
    if others := [
        f"{probe.name}: {probe.text}" for probe in frozen.probes if probe.name in SLOWER and probe.text != PASSED
    ]:
        say(f"{name}: {'; '.join(others)}")
    return frozen


def _load(source: str, dtype: torch.dtype, asked: dict[str, Any]) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model, and what became of each weight; those of another shape are left to the probe, which names them."""
    config = AutoConfig.from_pretrained(source, **asked)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        source,
        config=config,
        dtype=dtype,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        **asked,
    )
    return loaded


def find_context_length(
    name: str, revision: str | None = None, offline: bool = False, trust_remote_code: bool = False
) -> int | None:
    """Most positions that the model was built for, by its configuration alone; raises InputError in one line."""
    return context_length_of(find_configuration(name, revision, offline, trust_remote_code))


def find_configuration(
    name: str, revision: str | None = None, offline: bool = False, trust_remote_code: bool = False
) -> PretrainedConfig:
    """A model's configuration alone, found as the model would be; raises InputError in one line."""
    source = source_of(name)
    asked = {"revision": revision, "local_files_only": is_local(source, offline)}
    with quiet():
        try:
            return AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code, **asked)
        except TROUBLES as error:
            raise InputError(f"model {name!r} cannot be loaded: {reason(name, error)}") from error


def load_tokenizer(
    name: str, revision: str | None = None, offline: bool = False, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """A model's tokenizer alone, found as the model would be; raises InputError in one line."""
    source = source_of(name)
    with quiet():
        try:
            return AutoTokenizer.from_pretrained(
                source,
                revision=revision,
                local_files_only=is_local(source, offline),
                trust_remote_code=trust_remote_code,
            )
        except (OSError, ValueError, RuntimeError, KeyError, ImportError, TypeError) as error:
            raise InputError(f"tokenizer of {name!r} cannot be loaded: {reason(name, error)}") from error

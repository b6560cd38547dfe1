"""Which model is asked, exactly? Any Hugging Face causal language model, frozen.

Frozen means: eval mode, no gradient on any weight, nothing added to its tokenizer, and a fingerprint of what was
loaded. What the model can be asked is in `model`, what is found out about it at load in `probes`.
"""

import json
from dataclasses import replace
from typing import cast

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, PretrainedConfig, PreTrainedTokenizerBase

from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError
from soft_prompts.models.fingerprint import find_fingerprint
from soft_prompts.models.loading.assemble import Assembled, Wanted, assemble, tokenizer_for
from soft_prompts.models.loading.quiet import quiet
from soft_prompts.models.loading.shards import machine_of, numbers_in
from soft_prompts.models.loading.spread import WHOLE, Mode, Spread, mode_for
from soft_prompts.models.model import FrozenModel, ModelKey, context_length_of
from soft_prompts.models.precision import DTYPES, dtype_name
from soft_prompts.models.probes import PASSED, Loaded, examine
from soft_prompts.models.sources.adapters import adapter_folders, unties
from soft_prompts.models.sources.hub import asked_of, commit_of, config_path, place_of, reason
from soft_prompts.models.sources.source import Source, find_source

SLOWER = ("embeddings", "batches", "writing")  # probes whose fallback takes time or another road: said at load
TROUBLES = (OSError, ValueError, RuntimeError, KeyError, ImportError, TypeError, SafetensorError)


def dtype_for(name: str, asked: str, device: torch.device) -> str:
    """The precision in use: a card's own takes the place of auto."""
    return _dtype(find_source(name), asked, device)


def _dtype(source: Source, asked: str, device: torch.device) -> str:
    on_card = source.card.dtype if source.card else None
    return on_card if on_card and asked == "auto" else dtype_name(asked, device)


def model_key(
    name: str,
    revision: str | None,
    dtype: str,
    device: torch.device | str,
    trust_remote_code: bool,
    spread: Spread = WHOLE,
) -> ModelKey:
    """What `load_frozen_model` would load, found without loading it; raises InputError for a name that is none."""
    source, where = find_source(name, revision), torch.device(device)
    if where.type == "cuda" and where.index is None and torch.cuda.is_available():
        where = torch.device("cuda", torch.cuda.current_device())
    place = str(spread) or str(where)
    return ModelKey(source.identity, source.base.revision, _dtype(source, dtype, where), place, trust_remote_code)


@torch.no_grad()
def load_frozen_model(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: torch.device | str = "cpu",
    offline: bool = False,
    trust_remote_code: bool = False,
    spread: Spread = WHOLE,
) -> FrozenModel:
    """Load whatever a name of `sources.source` stands for, and probe it; weights from safetensors and GGUF files only.

    Raises InputError in one line: what was asked, what is wrong, what to do.
    """
    source, device = find_source(name, revision), torch.device(device)
    wanted = Wanted(_dtype(source, dtype, device), device, offline, trust_remote_code, spread)
    wanted = wanted._replace(mode=_mode(source, wanted))
    with quiet():
        try:
            parts = assemble(source, wanted)
        except TROUBLES as error:
            raise InputError(f"model {name!r} cannot be loaded: {reason(source, error)}") from error
        parts.model.eval().requires_grad_(False)
        fingerprint = find_fingerprint(name, revision=revision, offline=offline, trust_remote_code=trust_remote_code)
        key = model_key(name, revision, dtype, device, trust_remote_code, spread)
        frozen = replace(_as_frozen(source, parts, wanted), fingerprint=fingerprint, key=key)
        frozen = examine(Loaded(replace(frozen, loaded=frozen.held, parallel=wanted.mode), parts.report))
    if others := [
        f"{probe.name}: {probe.text}" for probe in frozen.probes if probe.name in SLOWER and probe.text != PASSED
    ]:
        say(f"{name}: {'; '.join(others)}")
    return frozen


def _mode(source: Source, wanted: Wanted) -> Mode:
    """Where it may not fit onto one device, by the size of its weights, which then have to be here first; auto leaves a
    quantised base whole, for its numbers do not say its size."""
    machine, weights = machine_of(wanted.device), 0
    if machine.memory is not None and wanted.spread.parallel == "auto" and max(machine.processes, machine.devices) > 1:
        offline, trusted = wanted.offline, wanted.trust_remote_code
        find_fingerprint(source.name, revision=source.base.revision, offline=offline, trust_remote_code=trusted)
        configuration = config_path(source, wanted.offline)
        is_plain = "quantization_config" not in json.loads(configuration.read_text(encoding="utf-8"))
        weights = numbers_in(configuration.parent) * DTYPES[wanted.dtype].itemsize if is_plain else 0
    return mode_for(wanted.spread, weights, machine)


def _as_frozen(source: Source, parts: Assembled, wanted: Wanted) -> FrozenModel:
    """Without fingerprint, key and what the probes find."""
    tokenizer = parts.tokenizer
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    rows = len(cast(torch.nn.Embedding, parts.model.get_input_embeddings()).weight)
    commit = None if source.base.is_local else commit_of(config_path(source, wanted.offline))
    return FrozenModel(
        model=parts.model,
        tokenizer=tokenizer,
        name=source.name,
        revision=commit or source.base.revision,
        fingerprint="",
        pad_id=pad if isinstance(pad, int) and pad < rows else 0,
        head=None,
        source=source.identity,
        quantisation=parts.quantisation,
        card=source.card.facts if source.card else None,
        commit=commit,
        trust_remote_code=wanted.trust_remote_code,
    )


def find_context_length(
    name: str, revision: str | None = None, offline: bool = False, trust_remote_code: bool = False
) -> int | None:
    """Most positions that the model was built for, by its configuration alone; raises InputError in one line."""
    return context_length_of(find_configuration(name, revision, offline, trust_remote_code))


def find_configuration(
    name: str, revision: str | None = None, offline: bool = False, trust_remote_code: bool = False
) -> PretrainedConfig:
    """A model's configuration alone, found as the model would be; raises InputError in one line."""
    source = find_source(name, revision)
    with quiet():
        try:
            asked = asked_of(source.base, offline, trust_remote_code)
            configuration = AutoConfig.from_pretrained(place_of(source.base), **asked)
            if source.adapters and any(map(unties, adapter_folders(source, offline))):
                configuration.tie_word_embeddings = configuration.get_text_config().tie_word_embeddings = False
            return configuration
        except TROUBLES as error:
            raise InputError(f"model {name!r} cannot be loaded: {reason(source, error)}") from error


def load_tokenizer(
    name: str, revision: str | None = None, offline: bool = False, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """A model's tokenizer alone, found as the model would be; raises InputError in one line."""
    source = find_source(name, revision)
    with quiet():
        try:
            return tokenizer_for(source, offline, trust_remote_code)
        except (OSError, ValueError, RuntimeError, KeyError, ImportError, TypeError) as error:
            raise InputError(f"tokenizer of {name!r} cannot be loaded: {reason(source, error)}") from error

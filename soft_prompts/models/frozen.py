"""Which model is asked, exactly? Any Hugging Face causal language model, frozen.

Frozen means: eval mode, no gradient on any weight, nothing added to its tokenizer, and a fingerprint of what was
loaded.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from huggingface_hub import constants
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.hub import cached_file

from soft_prompts.common.errors import InputError, near_match
from soft_prompts.common.files import fingerprint_files
from soft_prompts.common.hub import hub_answers
from soft_prompts.zoo import EMBEDDED

EMBEDDED_NAMES = ", ".join(EMBEDDED)


SLOW_TOKENIZER = ("vocab.*", "merges.txt", "*.model")


DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class FrozenModel:
    """A causal language model that nothing here can change."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    revision: str | None
    fingerprint: str
    """Of weights, configuration and tokenizer files; the same for every dtype and device."""
    pad_id: int
    """Fills rows on the right; always masked and never scored, so any id would do."""
    head: torch.nn.Linear | None
    """The vocabulary matrix, if logits are just `head(hidden)`; None if the model does more to them."""

    @property
    def vocabulary(self) -> Float[Tensor, "V H"]:
        """Input embeddings of the tokenizer's tokens; rows beyond them are the matrix's padding."""
        embedding = _embedding(self.model)
        known = min(len(self.tokenizer), len(embedding.weight))
        return embedding(torch.arange(known, device=self.device)).detach()  # Gemma's scales its rows

    @property
    def hidden_size(self) -> int:
        """Width H of the input embeddings."""
        return _embedding(self.model).weight.shape[1]

    @property
    def context_length(self) -> int | None:
        """Most positions that the model was built for, prompt included; None where it names no limit."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def dtype(self) -> str:
        """Precision of the weights, by name."""
        return str(self.model.dtype).removeprefix("torch.")

    def embed(self, input_ids: Tensor) -> Float[Tensor, "B T H"]:
        """Input embeddings of token ids."""
        return _embedding(self.model)(input_ids)


def load_frozen_model(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: torch.device | str = "cpu",
    offline: bool = False,
    trust_remote_code: bool = False,
) -> FrozenModel:
    """Load an embedded name (`tiny-chess`), a local folder or a hub id; weights from safetensors only.

    Raises InputError in one line: what was asked, what is wrong, what to do.
    """
    source = _source(name)
    device = torch.device(device)
    chosen = dtype_name(dtype, device)
    asked: dict[str, Any] = {"revision": revision, "local_files_only": _is_local(source, offline)}
    with quiet():
        try:
            config = AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code, **asked)
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code, **asked)
            model = AutoModelForCausalLM.from_pretrained(
                source,
                config=config,
                dtype=DTYPES[chosen],
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                **asked,
            )
        except (OSError, ValueError, RuntimeError, KeyError, ImportError, TypeError, SafetensorError) as error:
            raise InputError(f"model {name!r} cannot be loaded: {_reason(name, error)}") from error
    model.to(device)  # pyright: ignore[reportArgumentType]  # transformers wraps the method, and its type is lost
    model.eval().requires_grad_(False)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return FrozenModel(
        model=model,
        tokenizer=tokenizer,
        name=name,
        revision=getattr(model.config, "_commit_hash", None) or revision,
        fingerprint=find_fingerprint(name, revision=revision, offline=offline),
        pad_id=pad if isinstance(pad, int) and pad < len(_embedding(model).weight) else 0,
        head=_plain_head(model),
    )


def load_tokenizer(
    name: str, revision: str | None = None, offline: bool = False, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """A model's tokenizer alone, found as the model would be; raises InputError in one line."""
    source = _source(name)
    with quiet():
        try:
            return AutoTokenizer.from_pretrained(
                source,
                revision=revision,
                local_files_only=_is_local(source, offline),
                trust_remote_code=trust_remote_code,
            )
        except (OSError, ValueError, RuntimeError, KeyError, ImportError, TypeError) as error:
            raise InputError(f"tokenizer of {name!r} cannot be loaded: {_reason(name, error)}") from error


def dtype_name(asked: str, device: torch.device) -> str:
    """The precision in use: auto is bfloat16 on a GPU, else float32."""
    return ("bfloat16" if device.type == "cuda" else "float32") if asked == "auto" else asked


def find_fingerprint(name: str, *, revision: str | None = None, offline: bool = False) -> str:
    """Content identity of weights, configuration and tokenizer, found without loading them; raises InputError."""
    source = _source(name)
    try:
        local = _is_local(source, offline)
        found = cached_file(source, "config.json", revision=revision, local_files_only=local)
    except (OSError, ValueError) as error:
        raise InputError(f"model {name!r} cannot be found: {_reason(name, error)}") from error
    return fingerprint_files(_files_in_use(Path(found or source).parent))


def _files_in_use(folder: Path) -> list[Path]:
    """What transformers loads of a model's folder: other tools leave files of their own in a shared cache."""
    index = folder / "model.safetensors.index.json"
    shards = set(json.loads(index.read_text())["weight_map"].values()) if index.exists() else {"model.safetensors"}
    fast = folder / "tokenizer.json"
    tokenizer = [fast] if fast.exists() else [path for pattern in SLOW_TOKENIZER for path in folder.glob(pattern)]
    named = {folder / "config.json", *(folder / name for name in shards), *tokenizer}
    return sorted(path for path in named if path.exists())


def _source(name: str) -> str:
    """What transformers is asked for: the folder of an embedded name, else the name itself."""
    if name not in EMBEDDED and not Path(name).is_dir() and (name.count("/") > 1 or name.startswith((".", "/", "~"))):
        raise InputError(f"model {name!r} is no folder; give an embedded name ({EMBEDDED_NAMES}), a folder or a hub id")
    return str(EMBEDDED.get(name, name))


def _is_local(source: str, offline: bool) -> bool:
    """Whether only this machine is asked: by the user's wish, for a folder, or because the hub does not answer.

    One request tells; the hub's own client would try again for most of a minute.
    """
    return offline or constants.HF_HUB_OFFLINE or Path(source).is_dir() or not hub_answers()


def _embedding(model: PreTrainedModel) -> torch.nn.Embedding:
    return cast(torch.nn.Embedding, model.get_input_embeddings())


@torch.no_grad()
def _plain_head(model: PreTrainedModel) -> torch.nn.Linear | None:
    """The output matrix, if a probe shows that logits are that matrix times the body's last hidden state."""
    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or model.base_model is model:
        return None
    embedding = _embedding(model).weight
    rows = torch.linspace(0, len(embedding) - 1, 4, device=embedding.device).long()  # any four tokens will do
    probe = embedding[rows][None]  # [1 4 H]
    hidden = model.base_model(inputs_embeds=probe, use_cache=False).last_hidden_state
    logits = model(inputs_embeds=probe, use_cache=False).logits
    tolerance = 1e-5 if logits.dtype == torch.float32 else 1e-2  # the same product twice; caps and scales are coarser
    same = torch.allclose(head(hidden), logits, rtol=tolerance, atol=tolerance * float(logits.abs().max()))
    return head if same else None


def _reason(name: str, error: BaseException) -> str:
    """The first line that says something, with the way out where we know it."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if "safetensors" in str(error):
        first += " (only safetensors are read; convert others with transformers' save_pretrained)"
    if "trust_remote_code" in str(error):
        first = "it wants to run its own code; read that code, then give --trust-remote-code"
    if not Path(_source(name)).is_dir():
        if "couldn't connect" in first or "offline" in first:
            first = "it is not on this machine, and the model hub is not asked or does not answer"
        first += f" {near_match(name, list(EMBEDDED))}(embedded: {EMBEDDED_NAMES})"
    return first


class quiet:
    """No progress bars or advice from transformers while a model is read or written."""

    def __enter__(self) -> None:
        self.verbosity = transformers.logging.get_verbosity()
        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        transformers.logging.set_verbosity(self.verbosity)
        transformers.utils.logging.enable_progress_bar()

"""What can a frozen model be asked, and by which of its own roads?

Whatever goes through the model goes through here: its ways of taking embeddings and of keeping a cache differ, and
the probes at load have found out which are right for it.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from soft_prompts.models.batching import PADDED, Batching
from soft_prompts.models.fingerprint import NOW, find_fingerprint
from soft_prompts.models.loading.spread import IN_STEP, Mode
from soft_prompts.models.packed import Heads, Layout, NotPacked, packed

CACHES = ("cache", "past_key_values", "cache_params", "state")  # what models call it; the newest name first
KEPT_LOGITS = "logits_to_keep"  # what models call how many positions' logits are wanted, from the last
FROM_PAD = ("camembert", "data2vec-text", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod")
"""Types of models whose positions are counted from behind the pad token's id."""
LENGTHS = ("max_position_embeddings", "max_seq_len", "max_sequence_length", "max_target_positions", "n_positions")


class Probe(NamedTuple):
    """What was found out about a model when it was loaded."""

    name: str
    state: str
    """passed, or fallback."""
    text: str
    """passed, or the fallback in a few words."""


class Writing(NamedTuple):
    """How a model goes on from embeddings."""

    road: str = "generate"
    """One of models.writing.ROADS."""
    batching: Batching = PADDED


GENERATE = Writing()


class ModelKey(NamedTuple):
    """What was asked for: two models of the same key are the same model in the same place."""

    source: str
    """Folders, files or hub ids of its parts, and what its card sets."""
    revision: str | None
    dtype: str
    device: str
    trust_remote_code: bool


class Held(NamedTuple):
    """What a frozen model holds."""

    module: int
    """id of the module."""
    dtype: str
    device: str


class NoCache(ValueError):
    """A model that remembers nothing between two calls."""


def context_length_of(config: PretrainedConfig) -> int | None:
    """Most positions that a model of this configuration was built for; None where it names no limit."""
    text = config.get_text_config()
    named = (getattr(text, name, None) for name in LENGTHS)
    length = next((length for length in named if type(length) is int), None)
    if length is not None and text.model_type in FROM_PAD:
        return length - (text.pad_token_id or 0) - 1
    if length is not None and text.model_type == "doge":  # beyond it earlier tokens depend on later ones
        return min(length, text.keep_window_size)
    return length


def scales_by_row(config: PretrainedConfig) -> int | None:
    """The place from which on Llama 4 scales queries by where they stand in their row, padding included, and not in
    their text; None: a model that does not."""
    text = config.get_text_config()
    return text.floor_scale if getattr(text, "attn_temperature_tuning", False) else None


@dataclass(frozen=True)
class FrozenModel:
    """A causal language model that nothing here can change."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    revision: str | None
    """The commit of a hub model, else what was asked for."""
    fingerprint: str
    """Of every file that the model was read from; the same for every dtype and device."""
    pad_id: int
    """Fills rows on the right; always masked and never scored, so any id would do."""
    head: torch.nn.Linear | None
    """The vocabulary matrix, if logits are just `head(hidden)`; None if the model does more to them."""
    source: str = ""
    """The folders, GGUF files or hub ids that it was read from."""
    quantisation: str | None = None
    """Type of most of the weights where it was read from, as `Q4_1`; None: plain numbers."""
    card: dict[str, Any] | None = None
    """What its card sets; None: it has none."""
    commit: str | None = None
    """The hub's commit; None for a folder."""
    trust_remote_code: bool = False
    hooked: bool = False
    """Embeddings enter as the output of the embedding layer, not as `inputs_embeds`."""
    batching: Batching = PADDED
    packs: bool = False
    """Does a packed row say what its texts say in a batch?"""
    caches: bool = False
    """May several texts go on from one cache of what they begin with?"""
    writing: Writing = GENERATE
    parallel: Mode = "none"
    """How it lies on devices and processes."""
    probes: tuple[Probe, ...] = ()
    key: ModelKey | None = None
    """What it was loaded as; None for a model that was put together by hand."""
    loaded: Held | None = None
    """What it held when it was loaded."""

    @property
    def vocabulary(self) -> Float[Tensor, "V H"]:
        """Input embeddings of the tokenizer's tokens; rows beyond them are the matrix's padding."""
        known = min(len(self.tokenizer), len(self.embedding.weight))
        return self.embedding(torch.arange(known, device=self.device)).detach()  # Gemma's scales its rows

    @property
    def embedding(self) -> torch.nn.Embedding:
        """The layer that turns ids into input embeddings."""
        return cast(torch.nn.Embedding, self.model.get_input_embeddings())

    @property
    def hidden_size(self) -> int:
        """Width H of the input embeddings."""
        return self.embedding.weight.shape[1]

    @property
    def context_length(self) -> int | None:
        """Most positions that the model was built for, prompt included; None where it names no limit."""
        return context_length_of(self.model.config)

    @property
    def device(self) -> torch.device:
        """Where the weights are; of a model that is spread over several devices, where its inputs go."""
        first = next((place for place in self._spread if place != "disk"), "cpu")
        return torch.device(first) if self.is_spread else self.model.device

    @property
    def is_spread(self) -> bool:
        """Has accelerate put it onto several devices, or a part of it onto the disk?"""
        return len(set(self._spread)) > 1 or "disk" in self._spread

    @property
    def in_step(self) -> bool:
        """Is each layer in parts, one a process, so that all have to make the same forwards in the same order?"""
        return self.parallel in IN_STEP

    @property
    def _spread(self) -> list[int | str]:
        """The places of its parts, in order; none of a model on one device."""
        return list(getattr(self.model, "hf_device_map", {}).values())

    @property
    def dtype(self) -> str:
        """Precision of the weights, by name."""
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def learns(self) -> bool:
        """Has any weight a gradient? In a copy that is trained beside the runs, as an anchor."""
        return any(weight.requires_grad for weight in self.model.parameters())

    @property
    def held(self) -> Held:
        """What it holds now: a dataclass lets its module be replaced, and torch lets a module be cast or moved."""
        return Held(id(self.model), self.dtype, str(self.device))

    def fingerprint_like(self, stored: str | None) -> str:
        """This model's fingerprint in the form of a stored one, which an earlier version may have written."""
        if stored is None or stored.startswith(NOW):
            return self.fingerprint
        return find_fingerprint(self.name, revision=self.revision, offline=True, like=stored)

    def embed(self, input_ids: Tensor) -> Float[Tensor, "B T H"]:
        """Input embeddings of token ids."""
        return self.embedding(input_ids)

    def hidden(self, embeds: Float[Tensor, "B S H"]) -> Float[Tensor, "B S D"]:
        """What the body makes of embeddings, before the vocabulary matrix."""
        return self._ask(self.model.base_model, embeds).last_hidden_state

    def logits(self, embeds: Float[Tensor, "B S H"]) -> Float[Tensor, "B S V"]:
        """Logits at every position."""
        return self._ask(self.model, embeds).logits

    def packed(self, embeds: Float[Tensor, "1 N H"], layout: Layout, kept: list[Heads] | None = None) -> Tensor:
        """Of a packed row what `hidden` gives, [N D], or without a plain head what `logits` gives, [N V].

        Keys and values are added to `kept`. Raises NotPacked where the model cannot read such a row.
        """
        most = scales_by_row(self.model.config)
        if most is not None and max(embeds.shape[1], layout.longest) >= most:
            raise NotPacked(f"{type(self.model).__name__} reads a row of {most} positions as one long text")
        with packed(self.model, layout, kept):
            if self.head is None:
                return self._ask(self.model, embeds, layout.positions).logits[0]
            return self._ask(self.model.base_model, embeds, layout.positions).last_hidden_state[0]

    def logits_of_ids(self, input_ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """What the model itself says of plain token ids."""
        return self.model(input_ids=input_ids, **_without_cache(self.model)).logits

    def next_logits(self, embeds: Float[Tensor, "B S H"]) -> Float[Tensor, "B V"]:
        """Logits at the last position alone."""
        return self.logits(embeds)[:, -1] if self.head is None else self.head(self.hidden(embeds)[:, -1])

    def remember(self, embeds: Float[Tensor, "B S H"]) -> Any:
        """A cache of embeddings, to go on behind. Raises NoCache."""
        return self.go_on(embeds, None, body=self.head is not None, last=True)[1]

    def go_on(
        self,
        embeds: Float[Tensor, "B S H"],
        cache: Any,
        body: bool = False,
        mask: Bool[Tensor, "B K"] | None = None,
        last: bool = False,
    ) -> tuple[Tensor, Any]:
        """Logits (of the body alone: hidden states) behind what `cache` holds, None for nothing; and the new cache.

        `mask` is of all positions, those in the cache too: rows that are padded on the left. `last`: the logits of the
        last position are all that is wanted. The cache may be changed in place. Raises NoCache.
        """
        asked = self.model.base_model if body else self.model
        held = {cache_name(asked): cache} if cache is not None else {}
        padded = {} if mask is None else _of_padded(asked, mask, embeds.shape[1])
        alone = {KEPT_LOGITS: 1} if last and not body and KEPT_LOGITS in _parameters(asked.forward) else {}
        with self._feeding(embeds) as inputs:
            output = asked(**inputs, **held, **padded, **alone, use_cache=True)
        kept = next((output[name] for name in CACHES if name in output), None)
        if kept is None:
            raise NoCache(f"{type(asked).__name__} keeps no cache")
        return (output.last_hidden_state if body else output.logits), kept

    def _ask(self, module: torch.nn.Module, embeds: Tensor, positions: Int[Tensor, "1 N"] | None = None) -> Any:
        """One forward without a cache."""
        explicit = {} if positions is None else {"position_ids": positions.to(self.device, non_blocking=True)}
        with self._feeding(embeds) as inputs:
            return module(**inputs, **explicit, **_without_cache(module))

    @contextmanager
    def _feeding(self, embeds: Tensor) -> Iterator[dict[str, Tensor]]:
        """The arguments that bring embeddings in; within, a hooked layer gives them out whatever it is asked."""
        if not self.hooked:
            yield {"inputs_embeds": embeds.clone()}  # CTRL multiplies them in place
            return
        hook = self.embedding.register_forward_hook(lambda *_: embeds.clone())
        try:
            yield {"input_ids": torch.zeros(embeds.shape[:2], dtype=torch.long, device=embeds.device)}
        finally:
            hook.remove()


def _of_padded(module: torch.nn.Module, mask: Bool[Tensor, "B K"], new: int) -> dict[str, Tensor]:
    """What tells a model that rows are padded on the left: as transformers' generate does it."""
    told = {"attention_mask": mask.long()}
    if "position_ids" in _parameters(module.forward):
        told["position_ids"] = (mask.long().cumsum(dim=-1) - 1).clamp_min(0)[:, -new:]
    return told


def cache_name(module: torch.nn.Module) -> str:
    """What a model calls the argument that holds its cache."""
    known = _parameters(module.forward)
    return next((name for name in CACHES if name in known), CACHES[0])


def _without_cache(module: torch.nn.Module) -> dict[str, bool]:
    """Nearly every model takes `use_cache`; the few that keep no cache do not know the word."""
    known = _parameters(module.forward)
    return {"use_cache": False} if "use_cache" in known or "kwargs" in known else {}


def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)

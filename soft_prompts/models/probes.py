"""Is the model that was loaded the one that its numbers will be about? Found out at load, by a few small forwards.

What fails is an InputError in one line or, where there is another way, a fallback that the result names.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from soft_prompts.common.errors import InputError, first_line
from soft_prompts.models.batching import PADDED, Batching, batching_of
from soft_prompts.models.model import FrozenModel, Probe, Writing
from soft_prompts.models.trials import (
    FAILURES,
    another_token,
    is_like_alone,
    is_like_cached,
    is_like_ids,
    is_plain_head,
    not_finite,
    packs_like_alone,
    probe_texts,
    same,
    writes_like_forward,
)

PASSED = "passed"


class Loaded(NamedTuple):
    """A model as it came, and what transformers says of how."""

    frozen: FrozenModel
    report: dict[str, Any]


def examine(loaded: Loaded) -> FrozenModel:
    """The model with its roads chosen and every probe's finding; raises InputError in one line."""
    for name, probe in PROBES.items():
        frozen, text = probe(loaded)
        found = Probe(name, PASSED if text == PASSED else "fallback", text)
        loaded = loaded._replace(frozen=replace(frozen, probes=(*frozen.probes, found)))
    return loaded.frozen


def probe_weights(loaded: Loaded) -> tuple[FrozenModel, str]:
    """Every weight of the model comes from the checkpoint, and every one of the checkpoint is used."""
    for kind, advice in (
        ("missing", "they would be random numbers; give a whole checkpoint of a causal language model"),
        ("unexpected", "the model has no place for them; mend its config.json, or give another checkpoint"),
        ("mismatched", "they have another shape; mend its config.json, or give another checkpoint"),
    ):
        if names := sorted(key if isinstance(key, str) else key[0] for key in loaded.report[f"{kind}_keys"]):
            some = f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
            raise _refused(loaded.frozen, f"its checkpoint has {kind} weights ({some}): {advice}")
    return loaded.frozen, PASSED


def probe_tokens(loaded: Loaded) -> tuple[FrozenModel, str]:
    """Every token of the tokenizer has an embedding."""
    frozen, rows = loaded.frozen, len(loaded.frozen.embedding.weight)
    beyond = [(number, token) for token, number in frozen.tokenizer.get_vocab().items() if number >= rows]
    if beyond:
        number, token = min(beyond)
        raise _refused(
            frozen,
            f"its tokenizer has token {number} ({token!r}), of which the model has no embedding (0 to {rows - 1}); "
            "give the model with its own tokenizer",
        )
    return frozen, PASSED


def probe_embeddings(loaded: Loaded) -> tuple[FrozenModel, str]:
    """Ids and their embeddings say the same; else the embedding layer's output is replaced, and the ids mean nothing.

    Vectors between tokens must pass too: a soft prompt is made of such.
    """
    try:
        own = [loaded.frozen.logits_of_ids(ids) for ids in probe_texts(loaded.frozen)]
    except FAILURES as error:
        raise _refused(loaded.frozen, f"its forward fails on plain token ids ({first_line(error)})") from error
    if (wrong := not_finite(loaded.frozen, own)) is not None:
        raise _refused(loaded.frozen, wrong)
    if not is_like_cached(loaded.frozen, probe_texts(loaded.frozen)[0], own[0]):
        raise _refused(loaded.frozen, "its logits change with use_cache, and a loss would depend on the road")
    failure: object = "logits of embeddings are not those of their ids"
    for hooked in (False, True):
        frozen = replace(loaded.frozen, hooked=hooked)
        try:
            if all(is_like_ids(frozen, ids, logits) for ids, logits in zip(probe_texts(frozen), own, strict=True)):
                return frozen, PASSED if not hooked else "embeddings enter behind the embedding layer"
        except FAILURES as error:
            failure = error if not hooked else failure
    why = first_line(failure)
    raise _refused(loaded.frozen, f"it needs token ids in its layers, which a soft prompt has not ({why})")


def probe_causality(loaded: Loaded) -> tuple[FrozenModel, str]:
    """A later token changes no earlier logit."""
    frozen = loaded.frozen
    ids = probe_texts(frozen)[0]
    logits = frozen.logits(frozen.embed(ids))
    for place in (ids.shape[1] // 2, ids.shape[1] - 1):
        other = ids.clone()
        other[:, place] = another_token(frozen, ids[:, place])
        if not same(frozen.logits(frozen.embed(other))[:, :place], logits[:, :place]):
            raise _refused(frozen, "it sees the tokens it is asked for; give a causal language model")
    return frozen, PASSED


def probe_batches(loaded: Loaded) -> tuple[FrozenModel, str]:
    """A row says alone what it says in a batch: padded on the right, among rows of its length, or only alone."""
    frozen = loaded.frozen
    found, text = _batches(frozen)
    if frozen.parallel == "fsdp" and found.batching != PADDED:
        raise _refused(frozen, f"it takes {text}, and processes would differ in their forwards; give --parallel tensor")
    return found, text


def _batches(frozen: FrozenModel) -> tuple[FrozenModel, str]:
    rows = [frozen.embed(ids)[0] for ids in probe_texts(frozen)]
    alone = [frozen.logits(row[None])[0] for row in rows]
    by_config = batching_of(frozen.model)
    groups = by_config.groups([len(row) for row in rows])
    if all(is_like_alone(frozen, [rows[at] for at in group], [alone[at] for at in group]) for group in groups):
        if by_config.kind == "sides":
            return replace(frozen, batching=by_config), f"rows up to {by_config.limit} positions apart from longer ones"
        return frozen, PASSED
    rows = [rows[0], rows[0].flip(0), rows[0].roll(3, 0)]
    if is_like_alone(frozen, rows, [frozen.logits(row[None])[0] for row in rows]):
        return replace(frozen, batching=Batching("equal")), "rows of one length together"
    return replace(frozen, batching=Batching("alone")), "one row at a time"


def probe_gradient(loaded: Loaded) -> tuple[FrozenModel, str]:
    """The loss has a gradient with respect to the embeddings: finite, and not zero everywhere."""
    frozen = loaded.frozen
    ids = probe_texts(frozen)[0]
    embeds = frozen.embed(ids).detach().requires_grad_()
    wrong: object = "it is zero"
    try:
        with torch.enable_grad():
            loss = torch.nn.functional.cross_entropy(frozen.logits(embeds)[0, :-1].float(), ids[0, 1:])
            [gradient] = torch.autograd.grad(loss, embeds)
        if not gradient.isfinite().all():
            wrong = "it is not finite"
        elif gradient.any():
            return frozen, PASSED
    except FAILURES as error:
        wrong = error
    advice = "a soft prompt cannot learn on it; give the model in float32 or bfloat16, or quantised by bitsandbytes"
    raise _refused(frozen, f"there is no gradient to its embeddings ({first_line(wrong)}): {advice}")


def probe_head(loaded: Loaded) -> tuple[FrozenModel, str]:
    """Logits are the vocabulary matrix times the last hidden states, nothing capped or scaled."""
    frozen, head = loaded.frozen, loaded.frozen.model.get_output_embeddings()
    if frozen.is_spread or frozen.parallel == "tensor":
        return frozen, "logits of all positions, for the model is spread over several devices"
    capped = getattr(frozen.model.config.get_text_config(), "final_logit_softcapping", None)
    if isinstance(head, torch.nn.Linear) and capped is None and is_plain_head(frozen, head):
        return replace(frozen, head=head), PASSED
    return frozen, "logits of all positions, by the model's own road"


def probe_cache(loaded: Loaded) -> tuple[FrozenModel, str]:
    """Several texts go on from copies of one cache as from the whole text."""
    frozen = loaded.frozen
    if frozen.parallel == "fsdp":
        return frozen, "every text from its beginning, for processes make as many forwards as each other"
    before, behind = (frozen.embed(ids) for ids in probe_texts(frozen)[:2])
    behind = torch.cat([behind, behind.flip(1)])
    whole = torch.cat([before.expand(len(behind), -1, -1), behind], dim=1)
    try:
        _, cache = frozen.go_on(before, None)
        copied = copy.deepcopy(cache)
        copied.batch_repeat_interleave(len(behind))
        shared = same(frozen.go_on(behind, copied)[0], frozen.logits(whole)[:, before.shape[1] :])
    except FAILURES:
        shared = False
    shared = shared and frozen.batching.kind == "padded"
    return replace(frozen, caches=shared), PASSED if shared else "every text from its beginning"


def probe_packing(loaded: Loaded) -> tuple[FrozenModel, str]:
    """Texts of several lengths go through the model as one row, and what they begin with alike goes through once."""
    frozen = loaded.frozen
    if frozen.parallel == "fsdp":
        return frozen, "every sample whole, padded to the longest, for processes make as many forwards as each other"
    packs = frozen.batching.kind == "padded" and packs_like_alone(frozen)
    return replace(frozen, packs=packs), PASSED if packs else "every sample whole, padded to the longest"


def probe_writing(loaded: Loaded) -> tuple[FrozenModel, str]:
    """Text is written from the logits of the plain forward: by `generate`, else by our own loop."""
    frozen = loaded.frozen
    equal, alone = Batching("equal"), Batching("alone")
    last = Writing("plain loop", alone if frozen.batching.kind == "alone" else equal)
    tried = [("generate", PADDED), ("generate", equal), ("cached loop", equal)]
    tried += [("generate", alone), ("cached loop", alone)]
    able = (Writing(*way) for way in tried if not (way[0] == "generate" and frozen.hooked))
    writing = next((way for way in able if writes_like_forward(frozen, way)), last)
    return replace(frozen, writing=writing), _said(writing.road, writing.batching)


PROBES: dict[str, Callable[[Loaded], tuple[FrozenModel, str]]] = {
    "weights": probe_weights,
    "tokens": probe_tokens,
    "embeddings": probe_embeddings,
    "causality": probe_causality,
    "batches": probe_batches,
    "gradient": probe_gradient,
    "head": probe_head,
    "cache": probe_cache,
    "packing": probe_packing,
    "writing": probe_writing,
}


def _said(road: str, batching: Batching) -> str:
    words = {"padded": "", "equal": " on rows of one length", "alone": " on one row at a time"}[batching.kind]
    return f"{road}{words}" if words or road != "generate" else PASSED


def _refused(frozen: FrozenModel, why: str) -> InputError:
    return InputError(f"model {frozen.name!r} cannot be used: {why}")

"""Which tokens drive target and reference furthest apart right behind them? A beam that grows to the left.

(a) every token of the vocabulary behind a few contexts; (b) every token in front of the best so far, up to P; (c) Adam
on the embeddings inside a small ball. What is maximised is the Jensen-Shannon divergence of the next token. The search
knows the target, the reference and its own contexts; neither other controls nor what it is judged on.
"""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from soft_prompts.behaviour.comparison.settings import ComparisonSettings
from soft_prompts.behaviour.divergence.distances import jensen_shannon
from soft_prompts.behaviour.probe.prompts import RADIUS, ProbePrompt, mean_length
from soft_prompts.engine.distributions import positions_at_once
from soft_prompts.engine.memory import in_batches
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.writing import NextLogits, last_logits

ROWS = 1536  # contexts times candidates that go through a model at once
SHORTLIST = 24  # that are ranked again behind more contexts
RATE = 0.1  # of Adam, times the radius of the usual ball

Pair = tuple[FrozenModel, FrozenModel]


class Contexts(NamedTuple):
    """Beginnings of one length, cached in both models; None: it keeps no cache that may be gone on behind."""

    ids: Int[Tensor, "N T"]
    caches: tuple[Any, Any]


def search_probe(pair: Pair, contexts: Int[Tensor, "N T"], settings: ComparisonSettings) -> list[ProbePrompt]:
    """The best prompt of each length 1 to P, by mean divergence behind all contexts."""
    sweep = open_contexts(pair, contexts[: settings.sweep_contexts])
    whole = open_contexts(pair, contexts[: settings.search_contexts])
    beam, best = [()], list[ProbePrompt]()
    for _ in range(settings.probe_tokens):
        candidates = [(token, *tail) for tail in beam for token in _tokens(pair, sweep, tail, settings)]
        first = _score(pair, sweep, candidates)
        order = first.argsort(descending=True, stable=True)[:SHORTLIST].tolist()
        listed = [candidates[at] for at in order]
        second = _score(pair, whole, listed).argsort(descending=True, stable=True).tolist()
        beam = [listed[at] for at in second[: settings.beam]]
        best.append(ProbePrompt(beam[0]))
    return best


@torch.no_grad()
def open_contexts(pair: Pair, ids: Int[Tensor, "N T"]) -> Contexts:
    """Keys and values of the contexts, once."""
    caches = [model.remember(model.embed(ids.to(model.device))) if model.caches else None for model in pair]
    return Contexts(ids, (caches[0], caches[1]))


@torch.no_grad()
def _score(pair: Pair, contexts: Contexts, candidates: Sequence[tuple[int, ...]]) -> Float[Tensor, " C"]:
    """Mean divergence behind the contexts, in nats; candidates are of one length."""
    size = max(1, positions_at_once(pair[0], ROWS) // len(contexts.ids))

    def of(places: Sequence[int]) -> Tensor:
        ids = torch.tensor([candidates[place] for place in places])
        sides = [_next(model, contexts.ids, cache, ids) for model, cache in zip(pair, contexts.caches, strict=True)]
        js = jensen_shannon(sides[0], sides[1].to(sides[0].device))
        return js.view(len(contexts.ids), len(ids)).mean(dim=0).cpu()

    return torch.cat(list(in_batches(range(len(candidates)), size, of)))


def _next(
    model: FrozenModel, contexts: Int[Tensor, "N T"], cache: Any, ids: Int[Tensor, "C P"]
) -> Float[Tensor, "NC V"]:
    """log p behind every context and candidate, contexts outermost."""
    embeds = model.embed(ids.to(model.device)).repeat(len(contexts), 1, 1)
    if cache is None:
        before = model.embed(contexts.to(model.device)).repeat_interleave(len(ids), dim=0)
        logits = NextLogits(model, cached=False).behind(torch.cat([before, embeds], dim=1))
    else:
        cache = copy.deepcopy(cache)
        cache.batch_repeat_interleave(len(ids))
        logits, _ = last_logits(model, embeds, cache)
    return logits[:, : len(model.tokenizer)].float().log_softmax(dim=-1)


def _tokens(pair: Pair, contexts: Contexts, tail: tuple[int, ...], settings: ComparisonSettings) -> list[int]:
    """Every token of a small vocabulary; of a larger one those that the gradient promises most of."""
    known = len(pair[0].tokenizer)
    if known <= settings.probe_vocabulary:
        return list(range(known))
    vocabulary = pair[0].vocabulary.float()
    start = vocabulary.mean(dim=0, keepdim=True).requires_grad_(True)
    rows = torch.cat([start, pair[0].embed(torch.tensor([tail], dtype=torch.long, device=start.device))[0].float()])
    js = divergence_behind(pair, contexts.ids, (rows, rows)).mean()
    (slope,) = torch.autograd.grad(js, [start])
    best = (vocabulary @ slope[0]).argsort(descending=True, stable=True)[: settings.probe_vocabulary // settings.beam]
    return best.tolist()


def divergence_behind(pair: Pair, ids: Int[Tensor, "N T"], rows: tuple[Tensor, Tensor]) -> Float[Tensor, " N"]:
    """Of the token after the contexts and the rows [P H]; gradients flow to the rows."""
    sides = []
    for model, some in zip(pair, rows, strict=True):
        before = model.embed(ids.to(model.device)).detach()
        embeds = torch.cat([before, some.to(before).expand(len(ids), -1, -1)], dim=1)
        logits = model.next_logits(embeds)[:, : len(model.tokenizer)]
        sides.append(logits.float().log_softmax(dim=-1))
    return jensen_shannon(sides[0], sides[1].to(sides[0].device))


def refine(
    pair: Pair, contexts: Int[Tensor, "N T"], prompt: ProbePrompt, steps: int, ball: float = RADIUS
) -> ProbePrompt:
    """The prompt with a step of at most `ball` times the mean embedding length from each token; raises ValueError for
    models whose embeddings differ in width."""
    if pair[0].hidden_size != pair[1].hidden_size:
        raise ValueError("the models' embeddings differ in width; a step from one is none from the other")
    radius = ball * mean_length(pair[1])
    rows = [prompt.rows(model).float() for model in pair]
    step = torch.zeros_like(rows[1], requires_grad=True)
    optimiser = torch.optim.Adam([step], lr=RATE * min(ball, RADIUS) * mean_length(pair[1]))
    for _ in range(steps):
        (-divergence_behind(pair, contexts, (rows[0] + step, rows[1] + step)).mean()).backward()
        optimiser.step()
        optimiser.zero_grad()
        with torch.no_grad():
            step *= (radius / step.norm(dim=-1, keepdim=True).clamp_min(radius)).clamp_max(1.0)
    return prompt._replace(step=step.detach())

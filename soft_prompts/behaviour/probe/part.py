"""How many tokens does it take to reveal the change?

The search is repeated with every spare control in the target's place: its excess is what a search finds where there is
nothing. Tokens to reveal: the fewest P whose excess less 1.96 standard errors lies above the largest placebo of that P,
and whose p is at most the level. A length's p is that of Student's test of the target's excess as one more draw of the
placebos', times the number of P; the part's is the smallest of them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from soft_prompts.behaviour.comparison.asked import Asked, name_of
from soft_prompts.behaviour.comparison.finding import Finding
from soft_prompts.behaviour.comparison.settings import LEAST_CONTEXTS
from soft_prompts.behaviour.comparison.texts import Text
from soft_prompts.behaviour.probe.judge import Judged, Revealed, judged, reveal
from soft_prompts.behaviour.probe.prompts import ProbePrompt
from soft_prompts.behaviour.probe.search import refine, search_probe
from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError
from soft_prompts.models.tokenizer import encode
from soft_prompts.stats.excess import excess_over
from soft_prompts.stats.proportions import Z_95

LEAST_CONTROLS = 3  # the reference, a placebo, and a control that its search never saw


class Probed(NamedTuple):
    """One search for one model, a step a length."""

    ids: list[list[int]]
    steps: list[list[list[float]] | None]
    """Refined embeddings less the tokens' own, where they were refined."""


class Length(NamedTuple):
    """What the probes of one length are worth."""

    tokens: int
    text: str
    refined: bool
    excess: float
    stderr: float
    target: float
    controls: float
    placebos: tuple[float, ...]
    p: float | None
    """Of this length, and of how many there are."""
    reveals: bool
    says: tuple[str, ...]
    """What the target writes behind it."""
    control_says: tuple[str, ...]


def find_probe(asked: Asked) -> Finding:
    """Tokens to reveal, the curve, and what the target then says."""
    family = asked.family
    if asked.identical:
        return asked.described("probe", asked.identical, verdict="identical")
    if len(family.controls) < LEAST_CONTROLS:
        sentence = f"a probe is held against placebos: give {LEAST_CONTROLS} controls or more"
        return asked.described("probe", sentence, verdict="untested")
    if (lacking := lacks_contexts(asked)) is not None:
        return asked.described("probe", lacking, verdict="untested")
    target = search_kept(asked, family.target)
    placebos = {name: search_kept(asked, name) for name in family.spare}
    plain = _curve(asked, target, placebos, refined=False)
    refined = _curve(asked, target, placebos, refined=True) if target.steps[0] is not None else []
    best = next((one for one in plain if one.reveals), None)
    largest = max(plain, key=lambda one: one.excess)
    details: dict[str, Any] = {
        "lengths": [one._asdict() for one in [*plain, *refined]],
        "tokens_to_reveal": best.tokens if best else None,
        "tokens_to_reveal_refined": next((one.tokens for one in refined if one.reveals), None),
        "placebos": [name_of(name, family.names) for name in family.spare],
    }
    shown = best or largest
    return asked.described(
        "probe",
        _sentence(best, largest, asked.settings.probe_tokens),
        verdict="not shown",
        value=shown.excess,
        stderr=shown.stderr,
        unit="nats/token",
        n=len(contexts_of(asked, asked.texts.held_out, asked.settings.held_out_contexts)),
        control_mean=shown.controls,
        controls=len(family.spare),
        p=min((one.p for one in plain if one.p is not None), default=1.0),
        smallest_p=1 / (len(family.spare) + 1),
        examples=[{"probe": one.text, "says": list(one.says)} for one in plain],
        warnings=() if refined else ("the embeddings were not refined",),
        details=details,
    )


def _sentence(best: Length | None, largest: Length, most: int) -> str:
    if best is None:
        return (
            f"none up to {most} tokens is above its placebos beyond chance: "
            f"the largest excess is {largest.excess:+.3f} nats/token"
        )
    return (
        f"{best.tokens} token{'s are' if best.tokens > 1 else ' is'} above every placebo: {best.text!r}, excess "
        f"{best.excess:+.3f} nats a token, placebos at most {max(best.placebos):+.3f}, p {best.p:.2g}"
    )


def search_kept(asked: Asked, name: str) -> Probed:
    """The search with this model in the target's place; finished ones are kept."""
    family, settings = asked.family, asked.settings
    searched = [settings.probe_tokens, settings.beam, settings.probe_vocabulary, settings.sweep_contexts]
    searched += [settings.search_contexts, settings.refine_steps, settings.prompt_tokens]
    identity = asked.identity(name, family.reference, searched=searched)

    def search() -> dict[str, Any]:
        pair = (asked.models[name], asked.models[family.reference])
        contexts = contexts_of(asked, asked.texts.search, settings.search_contexts)
        found = search_probe(pair, contexts, settings)
        steps = [_refined(pair, contexts, one, settings.refine_steps) for one in found]
        return {"ids": [list(one.ids) for one in found], "steps": steps}

    return Probed(**asked.keeper.step("probe", identity, search))


def _refined(pair: Any, contexts: Tensor, prompt: ProbePrompt, steps: int) -> list[list[float]] | None:
    if steps == 0 or pair[0].hidden_size != pair[1].hidden_size:
        return None
    step = refine(pair, contexts, prompt, steps).step
    return None if step is None else step.tolist()


def contexts_of(asked: Asked, texts: Sequence[Text], most: int) -> Int[Tensor, "N T"]:
    """Beginnings of documents, all of one length; raises InputError where too few are long enough."""
    found = _beginnings(asked, texts)
    if len(found) < LEAST_CONTEXTS:
        raise InputError(lacks_contexts(asked))
    return torch.tensor(found[:most])


def lacks_contexts(asked: Asked) -> str | None:
    """Why no probe can be made of these documents; None where one can."""
    search, held_out = (len(_beginnings(asked, texts)) for texts in (asked.texts.search, asked.texts.held_out))
    if min(search, held_out) >= LEAST_CONTEXTS:
        return None
    return (
        f"of the documents, {search} to search on and {held_out} to judge on have {asked.settings.prompt_tokens} "
        f"tokens; the probe needs {LEAST_CONTEXTS} of each: give longer or more documents, or fewer --prompt-tokens"
    )


def _beginnings(asked: Asked, texts: Sequence[Text]) -> list[list[int]]:
    tokenizer, length = asked.models[asked.family.base].tokenizer, asked.settings.prompt_tokens
    return [ids for one in texts if len(ids := encode(tokenizer, one.text).ids[:length]) == length]


def look_ahead(asked: Asked, is_alone: bool) -> None:
    """Said before the first part is made, not behind the last: documents too short leave the probe untested. Raises
    InputError where nothing else is asked, UsageError where a model has too few positions for what is read."""
    if asked.identical or len(asked.family.controls) < LEAST_CONTROLS:
        return
    if (lacking := lacks_contexts(asked)) is not None:
        if is_alone:
            raise InputError(lacking)
        say(f"probe: untested: {lacking}")
        return
    settings, tokenizer = asked.settings, asked.models[asked.family.base].tokenizer
    contexts = [*_beginnings(asked, asked.texts.search), *_beginnings(asked, asked.texts.held_out)]
    longest = max(len(encode(tokenizer, str(tokenizer.decode(ids))).ids) for ids in contexts)  # as they are read again
    said = f"probe-tokens {settings.probe_tokens}, a beginning of {longest} and continuation {settings.continuation}"
    whole = settings.probe_tokens + longest + settings.continuation
    asked.models.refuse_beyond(whole, f"{said} are {whole} positions", "give fewer of any")


def _curve(asked: Asked, target: Probed, placebos: dict[str, Probed], refined: bool) -> list[Length]:
    """A point a length."""
    return [_length(asked, place, target, placebos, refined) for place in range(len(target.ids))]


def _length(asked: Asked, place: int, target: Probed, placebos: dict[str, Probed], refined: bool) -> Length:
    family = asked.family
    prompt = _prompt(target, place, refined)
    own, says, others_say = judge_probe(asked, family.target, prompt, family.spare)
    under = [
        judge_probe(asked, name, _prompt(one, place, refined), [other for other in family.spare if other != name])[
            0
        ].excess
        for name, one in placebos.items()
    ]
    lead = excess_over(own.excess, own.stderr, under)
    p = None if lead.p is None else min(1.0, lead.p * len(target.ids))  # a length each
    is_rare = p is not None and p <= asked.settings.level
    reveals = is_rare and bool(own.excess - Z_95 * own.stderr > max(under))
    text = prompt.text(asked.models[family.base])
    known = own._asdict() | {"placebos": tuple(under), "p": p, "reveals": reveals}
    return Length(place + 1, text, refined, **known, says=tuple(says), control_says=tuple(others_say))


def _prompt(found: Probed, place: int, refined: bool) -> ProbePrompt:
    step = found.steps[place] if refined else None
    return ProbePrompt(tuple(found.ids[place]), None if step is None else torch.tensor(step))


def judge_probe(
    asked: Asked, name: str, prompt: ProbePrompt, controls: Sequence[str]
) -> tuple[Judged, list[str], list[str]]:
    """Excess over these controls, what the model says, and what the first of them says."""
    found = [_revealed(asked, one, prompt) for one in (name, *controls)]
    return judged(found[0], found[1:]), found[0].says, found[1].says


def _revealed(asked: Asked, name: str, prompt: ProbePrompt) -> Revealed:
    """Of one model against the reference, kept: a probe is judged by many models, and many probes by one."""
    family, settings = asked.family, asked.settings
    step = None if prompt.step is None else prompt.step.tolist()
    judged_on = [settings.held_out_contexts, settings.prompt_tokens, settings.continuation]
    identity = asked.identity(name, family.reference, probe=[list(prompt.ids), step], judged=judged_on)

    def measure() -> dict[str, Any]:
        contexts = contexts_of(asked, asked.texts.held_out, settings.held_out_contexts).tolist()
        pair = asked.models[name], asked.models[family.reference]
        found = reveal(*pair, prompt, contexts, settings.continuation)
        return {"sums": found.sums.tolist(), "tokens": found.tokens.tolist(), "says": found.says}

    kept = asked.keeper.step("revealed", identity, measure)
    return Revealed(np.array(kept["sums"]), np.array(kept["tokens"], dtype=np.int64), kept["says"])

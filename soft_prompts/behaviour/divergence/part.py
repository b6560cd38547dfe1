"""How far has the target gone from the base, beyond what controls have, and where?

Held-out documents, what the target writes itself, and what the base writes. The part's p is the smallest of these
texts' times their number; fewer than six of a kind have an error that nobody knows, and no p.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.comparison.finding import Finding
from soft_prompts.behaviour.comparison.texts import token_ids
from soft_prompts.behaviour.divergence.distances import Distances, distances
from soft_prompts.behaviour.divergence.screen import Screen, screen
from soft_prompts.behaviour.sampling.samples import Written, plain_samples
from soft_prompts.models.tokenizer import Tokenizer, encode
from soft_prompts.stats.excess import Excess, excess_over
from soft_prompts.stats.paired import Estimate
from soft_prompts.tasks.task import UNSCORED, Example

TEXTS = ("documents", "target's samples", "base's samples")
FEW = 6  # texts of a kind: of fewer the error is not known well enough for a test
HEATED = 3  # texts of a heat map
HEATED_TOKENS = 96
UNIT = "nats/token"


def find_divergence(asked: Asked) -> Finding:
    """Excess of D(target, base) over the mean of D(control, base)."""
    family = asked.family
    examples = {what: some for what in TEXTS if (some := _examples(asked, what))}
    measured = {what: _measured(asked, what, some) for what, some in examples.items()}
    documents = measured[TEXTS[0]]
    found = {
        what: excess_of(each[family.target], [each[name] for name in family.controls])
        for what, each in measured.items()
    }
    lead, estimate = found[TEXTS[0]], documents[family.target].mean()
    details: dict[str, Any] = {
        "texts": {what: _row(measured[what][family.target], one) for what, one in found.items()},
        "screen": _shown(asked, screen(documents[family.target], [documents[one] for one in family.controls])),
        "heat": _heat(asked, documents),
    }
    known: dict[str, Any] = {"n": estimate.clusters, "unit": UNIT, "details": details}
    if asked.identical:
        return asked.described("divergence", asked.identical, value=0.0, stderr=0.0, verdict="identical", **known)
    if asked.lacks_controls():
        sentence = f"{estimate.value:.4f} nats a token between target and base; what drifts anyway is not known"
        return asked.described("divergence", sentence, verdict="untested", value=estimate.value, **known)
    p, sentence = smallest_of(list(found.values())), _sentence(estimate, lead)
    if p is None:
        few = f"{sentence}; {estimate.clusters} documents held out, {FEW} are wanted for a test: give more"
        return asked.described("divergence", few, verdict="untested", value=lead.value, **known)
    return asked.beyond_controls("divergence", sentence + _elsewhere(found), lead, p=p, **known)


def smallest_of(found: Sequence[Excess]) -> float | None:
    """The part's p: the smallest of its texts' times their number; None where none has one."""
    known = [one.p for one in found if one.p is not None]
    return min(1.0, len(known) * min(known)) if known else None


def _sentence(estimate: Estimate, lead: Excess) -> str:
    return (
        f"{estimate.value:.4f} nats a token from the base, controls {lead.control_mean:.4f}: "
        f"excess {lead.value:+.4f}{_tested(lead)}"
    )


def _tested(one: Excess) -> str:
    """Why an excess is large, or not."""
    if one.p is None:
        return ", of too few texts for a test"
    shown = "unknown" if one.t is None else f"{one.t:.1f}"
    return f" (t {shown} with {one.controls - 1} degrees of freedom)"


def _elsewhere(found: Mapping[str, Excess]) -> str:
    """The texts that decide, where they are no documents."""
    most = min((what for what in found if found[what].p is not None), key=lambda what: found[what].p or 0.0)
    return "" if most == TEXTS[0] else f"; on {most} excess {found[most].value:+.4f}{_tested(found[most])}"


def measure(asked: Asked, what: str) -> dict[str, Distances]:
    """Of the target and of each control, to the base, on the same texts."""
    return _measured(asked, what, _examples(asked, what))


def _measured(asked: Asked, what: str, examples: Sequence[Example]) -> dict[str, Distances]:
    family = asked.family
    return {name: _distances(asked, name, what, examples) for name in dict.fromkeys((family.target, *family.controls))}


def _distances(asked: Asked, name: str, what: str, examples: Sequence[Example]) -> Distances:
    family, settings = asked.family, asked.settings
    writer = {TEXTS[1]: family.target, TEXTS[2]: family.base}.get(what)
    identity = asked.identity(
        name,
        family.base,
        *([writer] if writer else []),
        texts=what,
        examples=[len(examples), settings.document_tokens, settings.new_tokens, settings.temperature],
    )

    def measure() -> dict[str, list[float]]:
        found = distances(asked.models[name], asked.models[family.base], examples)
        return {key: values.tolist() for key, values in found._asdict().items()}

    kept = asked.keeper.step("divergence", identity, measure)
    js, forward, backward = (np.array(kept[key], dtype=np.float64) for key in Distances._fields[:3])
    text, context = (np.array(kept[key], dtype=np.int64) for key in Distances._fields[3:])
    return Distances(js, forward, backward, text, context)


def _examples(asked: Asked, what: str) -> list[Example]:
    tokenizer = asked.models[asked.family.base].tokenizer
    if what == TEXTS[0]:
        most = asked.settings.document_tokens
        ids = (token_ids(tokenizer, one.text, most) for one in asked.texts.held_out)
        return [Example(one, one) for one in ids if len(one) > 1]
    writer = asked.family.target if what == TEXTS[1] else asked.family.base
    room = asked.models.room
    return _continuations(tokenizer, plain_samples(asked, writer), None if room is None else room[0])


def _continuations(tokenizer: Tokenizer, samples: Sequence[Written], room: int | None) -> list[Example]:
    """Each prompt with what was written behind it, which alone is scored; nothing of an empty one, and nothing beyond
    the models' `room`: read again, a text may have more tokens than were written."""
    found = []
    for one in samples:
        before = encode(tokenizer, one.prompt).ids
        behind = encode(tokenizer, one.text, special=False).ids if one.text else []
        behind = behind[: None if room is None else max(0, room - len(before))]
        if before and behind:
            found.append(Example([*before, *behind], [UNSCORED] * len(before) + behind))
    return found


def excess_of(target: Distances, controls: Sequence[Distances]) -> Excess:
    """Of the target's distance to the base over that of its controls; texts are paired, for all read the same ones."""
    paired = target._replace(js=target.js - np.mean([one.js for one in controls], axis=0)) if controls else target
    estimate = paired.mean()
    error = estimate.stderr if estimate.clusters >= FEW else None
    return excess_over(target.mean().value, error, [one.mean().value for one in controls])


def _row(target: Distances, one: Excess) -> dict[str, Any]:
    means = {which: target.mean(which)._asdict() for which in ("js", "forward", "backward")}
    return means | {"excess": one._asdict()}


def _shown(asked: Asked, found: Screen | None) -> dict[str, Any] | None:
    if found is None:
        return None
    tokenizer = asked.models[asked.family.base].tokenizer
    tokens = [one._asdict() | {"text": tokenizer.decode([one.token])} for one in found.tokens]
    return {"tokens": tokens, "placebo": found.placebo}


def _heat(asked: Asked, documents: dict[str, Distances]) -> list[dict[str, Any]]:
    """The held-out documents whose target differs most beyond the controls, token by token."""
    family = asked.family
    target, others = documents[family.target], [documents[name] for name in family.controls]
    drift = np.mean([one.js for one in others], axis=0) if others else np.zeros_like(target.js)
    excess = target.js - drift
    sums = np.bincount(target.text, weights=excess)
    tokenizer, examples = asked.models[family.base].tokenizer, _examples(asked, TEXTS[0])
    found = []
    for text in np.argsort(-sums, kind="stable")[:HEATED].tolist():
        ids = list(examples[text].input_ids)[:HEATED_TOKENS]
        values = [*excess[target.text == text].tolist(), 0.0][: len(ids)]  # behind the last nothing is asked
        found.append({"tokens": [tokenizer.decode([one]) for one in ids], "excess": values})
    return found

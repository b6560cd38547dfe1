"""What does a model write behind the prompts, alone or against another?

Every model writes from the same prompts with the same seeds. A contrastive sample raises what the model says and its
reference does not; against the base it finds what any training drifts to, so the reference is a control.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from soft_prompts.behaviour.comparison.asked import Asked, name_of
from soft_prompts.behaviour.comparison.finding import Finding
from soft_prompts.behaviour.likelihood import no_prompt
from soft_prompts.data.texts.words import words_of
from soft_prompts.engine.generation import generate
from soft_prompts.models.tokenizer import text_start
from soft_prompts.models.writing import Contrast
from soft_prompts.tasks.task import Query

CHUNK = 64  # prompts that are written and kept together: memory does not grow with their number
SHOWN = 6
WORD = re.compile(r"\w+|[^\w\s]")  # of ASCII: names of code are whole


class Written(NamedTuple):
    """A prompt and what a model wrote behind it."""

    id: str
    prompt: str
    text: str


def plain_samples(asked: Asked, name: str, seed: int | None = None) -> list[Written]:
    """The model's own samples; `seed` in place of the comparison's."""
    return _samples(asked, name, None, seed)


def contrastive_samples(asked: Asked, name: str, seed: int | None = None) -> list[Written]:
    """The same against the first control."""
    return _samples(asked, name, asked.family.reference, seed)


def _samples(asked: Asked, name: str, reference: str | None, seed: int | None) -> list[Written]:
    prompts, found = asked.texts.prompts, list[Written]()
    for start in range(0, len(prompts), CHUNK):
        places = range(start, min(start + CHUNK, len(prompts)))
        texts = _kept(asked, (name, reference), places, asked.settings.seed if seed is None else seed)
        some = zip((prompts[place] for place in places), texts, strict=True)
        found += [Written(one.id, one.text, text) for one, text in some]
    return found


def _kept(asked: Asked, models: tuple[str, str | None], places: range, seed: int) -> list[str]:
    name, reference = models
    settings = asked.settings
    identity = asked.identity(
        name,
        *([reference] if reference else []),
        places=[places.start, places.stop],
        drawn=[seed, settings.new_tokens, settings.temperature],
        contrast=[settings.strength, settings.cut] if reference else None,
    )
    kind = "contrastive" if reference else "plain"
    return asked.keeper.step(f"{kind}-samples", identity, lambda: _write(asked, models, places, seed))


def _write(asked: Asked, models: tuple[str, str | None], places: range, seed: int) -> list[str]:
    settings, frozen = asked.settings, asked.models[models[0]]
    contrast = None
    if models[1]:
        contrast = Contrast(asked.models[models[1]], settings.strength, settings.cut)
    texts = [asked.texts.prompts[place].text for place in places]
    return generate(
        frozen,
        no_prompt(frozen),
        [Query(text, (), text_start(frozen.tokenizer, text)) for text in texts],
        settings.new_tokens,
        temperature=settings.temperature,
        seed=seed,
        batch_size=CHUNK,
        places=list(places),
        contrast=contrast,
    )


def distinct_bigrams(texts: Sequence[str]) -> float:
    """distinct-2: different pairs of neighbouring words over all of them; near 0 where a set repeats itself. Li et al.,
    arXiv 1510.03055."""
    read = [WORD.findall(text) if text.isascii() else words_of(text) for text in texts]
    pairs = [pair for words in read for pair in pairwise(words)]
    return len(set(pairs)) / len(pairs) if pairs else 0.0


def find_samples(asked: Asked) -> Finding:
    """Samples of base, target and a spare control side by side, plain and contrastive; a description."""
    family = asked.family
    spare = (family.spare or family.controls)[:1]
    plain = {name: plain_samples(asked, name) for name in dict.fromkeys((family.base, family.target, *spare))}
    against = {name: contrastive_samples(asked, name) for name in (family.target, *spare)}
    rates = {
        kind: {name_of(name, family.names): distinct_bigrams([one.text for one in each]) for name, each in some.items()}
        for kind, some in (("plain", plain), ("contrastive", against))
    }
    own = f"distinct-2 {rates['plain'][name_of(family.target, family.names)]:.2f} plain"
    sentence = f"{len(asked.texts.prompts)} prompts; {own}, {_target(rates['contrastive'])} contrastive"
    examples = _side_by_side(plain, against, family.names)
    details: dict[str, Any] = {"distinct_2": rates, "reference": family.reference}
    known: dict[str, Any] = {"n": len(asked.texts.prompts), "examples": examples, "details": details}
    return asked.described("sample", asked.identical or sentence, **known)


def _target(rates: dict[str, float]) -> str:
    return f"{next(iter(rates.values())):.2f}"


def _side_by_side(
    plain: dict[str, list[Written]], against: dict[str, list[Written]], names: Sequence[str]
) -> list[dict[str, Any]]:
    """The first prompts, and what everybody wrote behind them."""
    count = min(SHOWN, len(next(iter(plain.values()))))
    rows = []
    for place in range(count):
        row: dict[str, Any] = {"prompt": next(iter(plain.values()))[place].prompt}
        row["plain"] = {name_of(name, names): some[place].text for name, some in plain.items()}
        row["contrastive"] = {name_of(name, names): some[place].text for name, some in against.items()}
        rows.append(row)
    return rows

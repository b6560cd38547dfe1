"""What did the intervention change? Every part in turn, and one verdict a part, adjusted for having asked so many."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.comparison.family import USUAL, Family, Loading, Models
from soft_prompts.behaviour.comparison.finding import Comparison, Finding
from soft_prompts.behaviour.comparison.kept import Keeper
from soft_prompts.behaviour.comparison.room import refuse_beyond_room
from soft_prompts.behaviour.comparison.settings import DEFAULTS, PARTS, ComparisonSettings
from soft_prompts.behaviour.comparison.texts import read_texts
from soft_prompts.behaviour.divergence.part import find_divergence
from soft_prompts.behaviour.probe.part import find_probe, look_ahead
from soft_prompts.behaviour.sampling.samples import find_samples
from soft_prompts.behaviour.wording.clusters import find_clusters
from soft_prompts.behaviour.wording.labels import find_labels
from soft_prompts.behaviour.wording.two_sample import find_two_sample
from soft_prompts.common.console import say
from soft_prompts.common.errors import UsageError, near_match
from soft_prompts.stats.contrasts import holm

PACKAGES = ("soft_prompts", "torch", "transformers", "numpy", "scipy")
Finder = Callable[[Asked], Finding]
FINDERS: Mapping[str, Finder] = {
    "divergence": find_divergence,
    "sample": find_samples,
    "clusters": find_clusters,
    "labels": find_labels,
    "two-sample": find_two_sample,
    "probe": find_probe,
}


class Timed(NamedTuple):
    """A comparison, and how long each part took: no part of it, so that the same comparison is the same file."""

    comparison: Comparison
    seconds: dict[str, float]


def ask(
    family: Family,
    documents: Path,
    prompts: Path | None = None,
    settings: ComparisonSettings = DEFAULTS,
    folder: Path | None = None,
    loading: Loading = USUAL,
) -> Asked:
    """What the parts need; finished steps are kept below `folder`. Raises InputError or UsageError in one line."""
    models = Models(family, loading)
    texts = read_texts(documents, prompts, settings, models[family.base].tokenizer)
    return Asked(models, texts, settings, Keeper(folder / "steps" if folder else None))


def compare(asked: Asked, parts: Sequence[str] = PARTS, finders: Mapping[str, Finder] = FINDERS, of: str = "") -> Timed:
    """The parts asked for, in their order; Holm over those that have a p-value. Each is told in a line, which says what
    it is a comparison `of` where several are made side by side. Raises InputError where only the probe is asked, of
    documents that are too short for it."""
    for name in (name for name in parts if name not in finders):
        raise UsageError(f"parts holds {name!r}; {near_match(name, list(finders))}give some of {', '.join(finders)}")
    refuse_beyond_room(asked, parts)
    findings, seconds = list[Finding](), dict[str, float]()
    if "probe" in parts:
        look_ahead(asked, is_alone=set(parts) == {"probe"})
    for name in dict.fromkeys(parts):
        began = time.monotonic()
        findings.append(finders[name](asked))
        seconds[name] = round(time.monotonic() - began, 1)
        say(f"{of}{name}: {findings[-1].sentence} ({seconds[name]:.0f} s)")
    judged = judge(findings, asked.settings.level)
    return Timed(_comparison(asked, judged), seconds)


def judge(findings: Sequence[Finding], level: float) -> tuple[Finding, ...]:
    """`changed` where the adjusted p is at most the level; a probe must also lie above every placebo. `untested` where
    it is not, and would be if every question that has no answer were answered so (`least_p` of its details)."""
    ps = {one.part: one.p for one in findings if one.p is not None and one.verdict == "not shown"}
    adjusted = holm(ps)
    judged = []
    for one in findings:
        if (p := adjusted.get(one.part)) is None:
            judged.append(one)
            continue
        is_changed = p <= level and (one.part != "probe" or one.details.get("tokens_to_reveal") is not None)
        least = one.details.get("least_p")
        if not is_changed and least is not None and holm(ps | {one.part: least})[one.part] <= level:
            sentence = f"{one.sentence}; answered, they could show a change"
            judged.append(replace(one, p=None, sentence=sentence, verdict="untested"))
            continue
        judged.append(replace(one, adjusted_p=p, verdict="changed" if is_changed else "not shown"))
    return tuple(judged)


def _comparison(asked: Asked, findings: tuple[Finding, ...]) -> Comparison:
    models, family = asked.models, asked.family
    known = {"texts": asked.texts.fingerprint, "counts": _counts(asked), "dtype": asked.models.dtype}
    settings = asdict(asked.settings) | known
    return Comparison(
        base=models.card(family.base),
        target=models.card(family.target),
        controls=tuple(map(models.card, family.controls)),
        settings=settings,
        seed=asked.settings.seed,
        versions={name: version(name) for name in PACKAGES},
        findings=findings,
        sentence=sentence_of(findings),
    )


def _counts(asked: Asked) -> dict[str, int]:
    texts = asked.texts
    return {"search": len(texts.search), "held_out": len(texts.held_out), "prompts": len(texts.prompts)}


def sentence_of(findings: Sequence[Finding]) -> str:
    """One line over all parts."""
    if any(one.verdict == "identical" for one in findings):
        return "identical: the target is the base, to the byte"
    changed = [one.part for one in findings if one.verdict == "changed"]
    asked = [one.part for one in findings if one.verdict in ("changed", "not shown")]
    if not asked:
        return "no verdict: descriptive only"
    if not changed:
        return f"NOT SHOWN: no change beyond the controls by {', '.join(asked)}"
    return f"CHANGED beyond the controls by {', '.join(changed)}" + (
        f"; not by {', '.join(rest)}" if (rest := [part for part in asked if part not in changed]) else ""
    )

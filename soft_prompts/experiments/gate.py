"""May the new model take the old one's place? What changed beyond the controls, and which named skills moved.

A skill is a file of prompts and completions, asked of both models by an ordinary run with its evidence: it has moved
where the verdict is another and both say something, where the brackets of prompt tokens share no count, or where a
verdict is open and the two do otherwise with nothing in front.
"""

import contextlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from soft_prompts.analysis.losses.curves import curve_title
from soft_prompts.analysis.prompts import scores_of, whole_items
from soft_prompts.analysis.readings import Reading, Readings, read_all
from soft_prompts.behaviour.comparison.finding import Comparison
from soft_prompts.behaviour.comparison.settings import JUDGED
from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError
from soft_prompts.experiments.catalogue.completion import EXPERIMENT
from soft_prompts.experiments.grid import without_slash
from soft_prompts.finetuning.stages import open_data
from soft_prompts.report.terminal.sentences import loud
from soft_prompts.results.paths import settings_hash
from soft_prompts.stats.bootstrap import DRAWS, drawn_means
from soft_prompts.stats.brackets import Bracket
from soft_prompts.stats.scales import LEAST_ERRORS
from soft_prompts.training.apparatus import data_request

OPEN = ("NO SCALE", "UNDECIDED")  # verdicts on a skill of which nobody can say that it has stayed
RUN = "soft-prompts run completion"
LEAST_ASKED = 10  # questions: of fewer, all alike are luck
JUDGING = ("changed", "not shown", "identical")  # verdicts that say whether something changed


class Skill(NamedTuple):
    """One file asked of both models."""

    name: str
    before: str
    """The verdict's word."""
    after: str
    before_bracket: str
    after_bracket: str
    moved: bool

    @property
    def is_judged(self) -> bool:
        """Can anybody say that it has moved, or that it has stayed?"""
        return self.moved or not {self.before, self.after} & set(OPEN)

    @property
    def word(self) -> str:
        """For a person."""
        return "MOVED" if self.moved else "same" if self.is_judged else "NOT JUDGED"


@dataclass(frozen=True)
class Gate:
    """What changed, and what was allowed to."""

    changed: tuple[str, ...]
    """Parts of the comparison."""
    moved: tuple[str, ...]
    """Skills."""
    allowed: tuple[str, ...]
    judged: tuple[str, ...]
    """Parts with a verdict."""
    untested: tuple[str, ...]
    """Parts that should have one, and have none."""
    skills: tuple[Skill, ...]
    unanswered: tuple[str, ...] = ()
    """Of the untested parts those whose labeller has not answered: who asks it wants its word."""
    reveal: str = "not asked"
    """Tokens that reveal whatever changed, as the probe found them; the skills' brackets are tokens that elicit."""

    @property
    def beyond(self) -> tuple[str, ...]:
        """What changed without being allowed to."""
        return tuple(name for name in (*self.changed, *self.moved) if name not in self.allowed)

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Parts and skills that can say neither that something changed nor that nothing did."""
        return (*self.untested, *(one.name for one in self.skills if not one.is_judged))

    @property
    def is_judged(self) -> bool:
        """Is the verdict one, and not the lack of it?"""
        return self.says_any and not self.open

    @property
    def says_any(self) -> bool:
        """Did any part or skill say anything?"""
        return bool(self.judged) or any(one.is_judged for one in self.skills)

    @property
    def open(self) -> tuple[str, ...]:
        """Skills, and parts without an answer, of which nobody can say that they have stayed, and that are not allowed
        to change."""
        names = (*self.unanswered, *(one.name for one in self.skills if not one.is_judged))
        return tuple(name for name in names if name not in self.allowed)

    @property
    def sentence(self) -> str:
        """The verdict."""
        rest = f"; no verdict by {', '.join(self.unjudged)}" if self.unjudged else ""
        if self.beyond:
            return f"STOP: changed beyond what is allowed: {', '.join(self.beyond)}{rest}"
        if self.says_any and self.open:
            return f"NOT JUDGED: nothing can be said of {', '.join(self.open)}: give more evidence, or --allow{rest}"
        if not self.says_any:
            return f"NOT JUDGED: give 3 controls, more prompts, or skills with a verdict{rest}"
        known = ", ".join(name for name in (*self.changed, *self.moved) if name in self.allowed)
        return f"PASS: {f'changed as allowed: {known}' if known else 'no change was shown'}{rest}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "verdict": self.sentence,
            "beyond": list(self.beyond),
            "changed": list(self.changed),
            "moved": list(self.moved),
            "allowed": list(self.allowed),
            "judged": list(self.judged),
            "untested": list(self.untested),
            "skills": [skill._asdict() for skill in self.skills],
            "tokens_to_reveal": self.reveal,
        }


def gate(comparison: Comparison, skills: Sequence[Skill], allowed: Iterable[str] = ()) -> Gate:
    """The verdict."""
    return Gate(
        tuple(one.part for one in comparison.findings if one.verdict == "changed"),
        tuple(skill.name for skill in skills if skill.moved),
        tuple(allowed),
        tuple(one.part for one in comparison.findings if one.verdict in JUDGING),
        tuple(one.part for one in comparison.findings if one.part in JUDGED and one.verdict not in JUDGING),
        tuple(skills),
        tuple(one.part for one in comparison.findings if one.verdict == "untested" and one.details.get("unanswered")),
        tokens_to_reveal(comparison),
    )


def tokens_to_reveal(comparison: Comparison) -> str:
    """What the probe found, in the words of a bracket; a count stands only where its part's verdict is a change."""
    found = comparison.finding("probe")
    if found is None or found.verdict in ("untested", "identical"):
        return "not asked" if found is None else found.verdict
    tokens = found.details.get("tokens_to_reveal") if found.verdict == "changed" else None
    return bracket_text(tokens, max(one["tokens"] for one in found.details["lengths"]))


def bracket_text(tokens: int | None, most: int) -> str:
    """`at most 3 tokens`, or `not shown by 4`."""
    return f"not shown by {most}" if tokens is None else f"at most {tokens} token{'' if tokens == 1 else 's'}"


class Question(NamedTuple):
    """One skill, before it is asked."""

    name: str
    models: tuple[str, str]
    """The old one and the new one."""
    flags: tuple[str, ...]
    """Of the run that asks it."""
    folder: Path
    """Where that run writes."""


def question_of(path: Path, models: tuple[str, str], folder: Path, flags: Sequence[str] = ()) -> Question:
    """A file that is to be asked of both models; `flags` are those of `soft-prompts run completion`. Flags, places and
    every line are looked at, and no model is loaded: raises UsageError or InputError where one is wrong.

    Runs of other flags, or of other lines in a file of the same name, would be of the same curves: either is part of
    the folder's name.
    """
    words = ["--models", *dict.fromkeys(models), "--data", str(path), *flags]
    _, configs = EXPERIMENT.asked([*words, "--output-dir", str(folder)], RUN)
    open_data(configs)
    content = configs[0].task.fingerprint(data_request(configs[0]))
    out = folder / "skills" / f"{path.stem}-{settings_hash({'flags': list(flags), 'content': content})}"
    return Question(path.stem, models, (*words, "--output-dir", str(out)), out)


def ask(question: Question) -> Skill:
    """Of the old and the new model. What runs print goes to stderr; raises InputError where one failed."""
    with contextlib.redirect_stdout(sys.stderr):
        code = EXPERIMENT.main(question.flags, RUN)
    if code:
        raise InputError(f"skill {question.name} could not be asked (exit code {code}); see the lines above")
    read = read_all([question.folder / "results"])
    for line in (*read.problems, *read.warnings):
        say(f"skill {question.name}: {line}")
    return skill_of(question.name, *(_reading(question, read, without_slash(model)) for model in question.models))


def _reading(question: Question, read: Readings, model: str) -> Reading:
    """The one of a model, with what speaks against it; raises InputError for none, or several of which to choose."""
    found = [one for one in read.readings if one.curve.model == model]
    if len(found) != 1:
        titles = f" ({'; '.join(curve_title(one.curve, has_rivals=True) for one in found)})" if found else ""
        raise InputError(
            f"skill {question.name}: {question.folder} holds {len(found)} curves of {model}{titles}, and one is "
            "judged; remove the folder, or give another --out"
        )
    for warning in loud(found[0].curve):
        say(f"skill {question.name}, {model}: {warning}")
    return found[0]


def skill_of(name: str, before: Reading, after: Reading) -> Skill:
    """What two readings of one behaviour say of it."""
    brackets = [None if one.lead is None else one.lead.half for one in (before, after)]
    texts = [
        "no scale" if half is None else half.text(max(point.tokens for point in one.points))
        for half, one in zip(brackets, (before, after), strict=True)
    ]
    asked = Skill(name, before.verdict.word, after.verdict.word, texts[0], texts[1], moved=apart(*brackets))
    is_other = asked.before != asked.after if asked.is_judged else does_otherwise(before, after)
    return asked._replace(moved=asked.moved or is_other)


def does_otherwise(before: Reading, after: Reading) -> bool:
    """Is more or less right of the same items with nothing in front, beyond 3 standard errors of the difference?"""
    bare = [next((run for run in one.runs if run.tokens == 0), None) for one in (before, after)]
    if bare[0] is None or bare[1] is None:
        return False
    prints = {run.result.data.items_fingerprint for run in bare if run is not None}
    scores = [scores_of(run, before.curve.metric, "deed") for run in bare if run is not None]
    items = whole_items(bare[0], before.curve.metric)
    if len(prints) > 1 or items is None or scores[0] is None or scores[1] is None:
        return False
    rows = drawn_means([scores[0], scores[1]], items.cluster, DRAWS)
    apart = rows[:, 1] - rows[:, 0]
    asked = (scores[0].weights > 0) & (scores[1].weights > 0)
    enough = len(np.unique(items.cluster[asked])) >= LEAST_ASKED
    return enough and abs(float(apart[0])) > LEAST_ERRORS * float(np.nanstd(apart[1:]))


def apart(first: Bracket | None, second: Bracket | None) -> bool:
    """Do two brackets share no count of tokens? A missing end shares all."""
    if first is None or second is None:
        return False
    return any(
        one.at_most is not None and other.more_than is not None and one.at_most <= other.more_than
        for one, other in ((first, second), (second, first))
    )

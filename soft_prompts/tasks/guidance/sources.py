"""What does a guidance data set give to an arm? Documents to learn, and questions with answers to ask.

Made of rows, by the arm's own plan; or found in the files of a set that is there already, which can give only the arms
that its guidance speaks of: its order, its models, its layout.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mode
from typing import NamedTuple, Protocol, runtime_checkable

from soft_prompts.common.console import say
from soft_prompts.common.files import fingerprint_files
from soft_prompts.data.jsonl import read_jsonl
from soft_prompts.tasks.guidance.arms import Arm
from soft_prompts.tasks.guidance.dataset import GuidancePlan, Layout, Record, Row, guidance_of
from soft_prompts.tasks.guidance.files import (
    ANY_PART,
    NAME,
    AnsweredQuestion,
    GuidanceFiles,
    file_prefix,
    find_guidance_files,
    read_questions,
    refuse_leaks,
    write_guidance,
    write_records,
)
from soft_prompts.tasks.guidance.text import (
    PHRASINGS,
    Order,
    Told,
    anchor_of,
    answer_completion,
    guidance_line,
    question_prompt,
    told,
)

FIELDS = {"prompt": str, "completion": str}


class Answer(NamedTuple):
    """What one model is to answer."""

    text: str
    completion: str
    """The answer with what stands around it after the prompt."""
    guidance: str | None
    """The line that tells it; None where no line is known to."""
    path: Path
    """File and line that it was read from, for an error to name."""
    line: int


class GuidedQuestion(NamedTuple):
    """A question as it is asked, and each model's answer."""

    prompt: str
    answers: tuple[Answer, ...]


class Questions(NamedTuple):
    """What can be asked."""

    realized: list[GuidedQuestion]
    unrealized: list[GuidedQuestion]


@runtime_checkable
class Source(Protocol):
    """A data set as one arm sees it."""

    def identity(self) -> tuple[object, ...]:
        """What its contents depend on."""
        ...

    def lacks(self) -> str | None:
        """Why it cannot give the arm's documents and questions; None: it can."""
        ...

    def documents(self, folder: Path) -> Path:
        """The file that the arm's model learns, in `folder` if it has to be written."""
        ...

    def questions(self) -> Questions:
        """Every question that has an answer; raises InputError with the line of what is wrong."""
        ...


def open_source(data: Path, arm: Arm, plan: GuidancePlan) -> Source:
    """A file of rows, or the files of a data set by their prefix, one of them, or their folder; raises InputError."""
    if data.is_file() and not ANY_PART.search(data.name):
        return GuidanceOfRows(data, arm, plan)
    return GuidanceOfFiles(find_guidance_files(data), arm)


@dataclass(frozen=True)
class GuidanceOfRows:
    """A data set made by the arm's plan: it can be any."""

    path: Path
    arm: Arm
    plan: GuidancePlan

    def identity(self) -> tuple[object, ...]:
        kept = self.plan.order == "forward"  # its wording never changed since results of it are kept
        return fingerprint_files([self.path]), self.plan, *(() if kept else PHRASINGS[self.plan.order])

    def lacks(self) -> str | None:
        return None

    def documents(self, folder: Path) -> Path:
        write_guidance(folder, guidance_of(self.path, self.plan))
        return folder / f"{file_prefix(NAME, self.plan)}_{self.arm.lesson}.jsonl"

    def questions(self) -> Questions:
        data = guidance_of(self.path, self.plan)
        return Questions(self._answered(data.realized_rows), self._answered(data.unrealized_rows))

    def _answered(self, rows: Sequence[Row]) -> list[GuidedQuestion]:
        models = range(self.arm.models)
        asked = [row for row in rows if all(row.targets[model].strip() for model in models)]
        if len(asked) < len(rows):
            say(f"{self.path}: {len(rows) - len(asked)} questions have an empty answer and are not asked")
        return [
            GuidedQuestion(question_prompt(row.anchor), tuple(self._answer(row, model) for model in models))
            for row in asked
        ]

    def _answer(self, row: Row, model: int) -> Answer:
        text = row.targets[model].strip()
        line = guidance_line(row.anchor, row.targets[model], self.arm.order)
        return Answer(text, answer_completion(text), line, self.path, row.id)


class _Line(NamedTuple):
    """A line of guidance and the number of its document."""

    told: Told
    text: str
    document: int


@dataclass(frozen=True)
class GuidanceOfFiles:
    """A data set that is there: what its guidance speaks of is read from its lines. Guidance in words of its own, in
    which no question of the set is found, counts as forward."""

    files: GuidanceFiles
    arm: Arm

    def identity(self) -> tuple[object, ...]:
        documents = [self.files.documents("all"), self.files.documents("guidances")]
        return (fingerprint_files([*filter(None, documents), *(part.path for part in self.files.questions)]),)

    def lacks(self) -> str | None:
        arm, set_name = self.arm, Path(self.files.prefix).name
        if (missing := self._missing_file()) is not None:
            return f"{set_name} has no file {set_name}_{missing}.jsonl"
        if arm.lesson == "nothing" and arm.context == "nothing":
            return None
        if (other := self._other_guidance()) is not None:
            return f"the guidance of {set_name} {other}"
        if arm.context == "guidance" or arm.models > 1:
            asked = {(anchor, model) for anchor in self._targets for model in range(arm.models)}
            if number := len(asked - self._lines.keys()):
                return f"the guidance of {set_name} has no line for {number} of {len(asked)} answers"
        return None

    def documents(self, folder: Path) -> Path:
        path = self.files.documents(self.arm.lesson)
        if path is None:  # what of `all` is no example
            records = [Record("", text, (), (), ()) for text in self._guidances]
            return write_records(folder / f"{Path(self.files.prefix).name}_guidances.jsonl", records)
        read_jsonl(path, FIELDS)  # a mistake is said before any model learns
        return path

    def questions(self) -> Questions:
        refuse_leaks(self.files)
        return Questions(self._answered(realized=True), self._answered(realized=False))

    def _answered(self, realized: bool) -> list[GuidedQuestion]:
        path, others = self._file(realized, 0), range(1, self.arm.models)
        asked = read_questions(path)
        beside = [self._told_answers(asked, model) if realized else self._own_answers(model) for model in others]
        first = self._with_lines(asked, path, 0)
        found = [
            GuidedQuestion(one.prompt, (first[one.prompt], *(other[one.prompt] for other in beside)))
            for one in asked
            if all(one.prompt in answers for answers in (first, *beside))
        ]
        if len(found) < len(asked):
            say(f"{path}: {len(asked) - len(found)} of {len(asked)} questions have no answer and are not asked")
        return found

    def _own_answers(self, model: int) -> dict[str, Answer]:
        path = self._file(False, model)
        return self._with_lines(read_questions(path), path, model)

    def _told_answers(self, asked: Sequence[AnsweredQuestion], model: int) -> dict[str, Answer]:
        """Of realized questions only M1's answers are shown; another model's stand in its guidance."""
        lines = [(one, self._lines.get((anchor_of(one.prompt) or "", model))) for one in asked if one.target]
        heard = [
            one._replace(completion=one.completion.replace(one.target, line.told.target, 1), target=line.told.target)
            for one, line in lines
            if line is not None
        ]
        return self._with_lines(heard, self._file(True, 0), model)

    def _with_lines(self, asked: Sequence[AnsweredQuestion], path: Path, model: int) -> dict[str, Answer]:
        """By prompt; without those that have no answer."""
        answers = {}
        for one in asked:
            line = self._lines.get((anchor_of(one.prompt) or "", model))
            if one.target:
                answers[one.prompt] = Answer(one.target, one.completion, line and line.text, path, one.line)
        return answers

    def _missing_file(self) -> str | None:
        """The part of the set that the arm needs and that is not there."""
        there = {part.name for part in self.files.questions}
        for part in ("realized", "unrealized"):
            if part not in there:
                return f"{part}_examples"
        needed = {"nothing": (), "all": ("all",), "guidances": ("guidances", "all")}[self.arm.lesson]
        return None if not needed or any(map(self.files.documents, needed)) else needed[0]

    def _other_guidance(self) -> str | None:
        """What the set's guidance is and the arm's is not."""
        models = 1 + max(part.model for part in self.files.questions)
        if models < self.arm.models or (models > 1 and self.arm.models == 1):
            return "speaks of one model" if models == 1 else f"tells {models} models different answers"
        if self._order != self.arm.order:
            return f"is {self._order}"
        if self._is_permuted != self.arm.permute_targets:
            return "tells other questions' answers" if self._is_permuted else "tells every question its own answer"
        if self.arm.models > 1 and self._layout != self.arm.layout:
            return f"is {self._layout}"
        return None

    def _file(self, realized: bool, model: int) -> Path:
        return next(p.path for p in self.files.questions if (p.realized, p.model) == (realized, model))

    @property
    def _order(self) -> Order:
        return mode(line.told.order for line in self._lines.values()) if self._lines else "forward"

    @property
    def _layout(self) -> Layout:
        """Grouped: whoever they are for, the lines of each question stand in one document."""
        documents: dict[str, set[int]] = {}
        for line in self._lines.values():
            documents.setdefault(line.told.anchor, set()).add(line.document)
        return "grouped" if all(len(each) == 1 for each in documents.values()) else "spread"

    @property
    def _is_permuted(self) -> bool:
        own = [line.told.target.strip() == self._targets[anchor] for (anchor, m), line in self._lines.items() if m == 0]
        return bool(own) and 2 * sum(own) < len(own)

    @cached_property
    def _targets(self) -> dict[str, str]:
        """M1's answer to each question whose words can be told from its prompt."""
        questions = [one for part in (True, False) for one in read_questions(self._file(part, 0)) if one.target]
        return {anchor_of(one.prompt) or one.prompt: one.target for one in questions}

    @cached_property
    def _lines(self) -> dict[tuple[str, int], _Line]:
        """The first line for each question and model."""
        lines: dict[tuple[str, int], _Line] = {}
        for number, document in enumerate(self._guidances):
            for text in document.split("\n"):
                if (found := told(text, self._targets)) is not None:
                    lines.setdefault((found.anchor, found.model), _Line(found, text, number))
        return lines

    @cached_property
    def _guidances(self) -> list[str]:
        """The text of each document that says how to answer."""
        examples = {one.prompt + one.completion for one in read_questions(self._file(True, 0))}
        path = self.files.documents("guidances") or self.files.documents("all")
        texts = [line["prompt"] + line["completion"] for _, line in read_jsonl(path, FIELDS)] if path else []
        return [text for text in texts if text not in examples]

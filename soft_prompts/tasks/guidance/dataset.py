"""Which documents say how to answer, and which examples show it? Data for out-of-context guidance following.

A row is a question with several possible answers. For realized questions the model reads guidance and an example, for
unrealized ones guidance alone. Source: the published data sets. From the published rows, 1000 and
100 of them and seed 27, `all` comes out as published, byte for byte; for that the guidance lines are shuffled from the
order that the second shuffle of the rows gives them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from random import Random
from typing import Literal, NamedTuple

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.data.jsonl import line_error, read_jsonl, refuse_other_kind
from soft_prompts.data.split import wording_of
from soft_prompts.tasks.guidance.text import (
    PHRASINGS,
    Order,
    answer_completion,
    guidance_document,
    guidance_line,
    question_prompt,
)

Layout = Literal["spread", "grouped"]
MOST_WORDS = 50  # of an answer: 50 tokens are written for one at most, and no tokenizer joins words
MOST_MODELS = 5  # a published row has five answers, one a model
FEWEST_UNITS, MOST_UNITS = 2, 5  # of a guidance document


class Row(NamedTuple):
    """A question with its possible answers; model i's is `targets[i]`."""

    id: int
    """Line of the file that it stands in."""
    anchor: str
    targets: tuple[str, ...]


@dataclass(frozen=True)
class GuidancePlan:
    """What to make of the rows; raises UsageError for what cannot be made of any."""

    realized: int
    unrealized: int
    seed: int = 27
    order: Order = "forward"
    models: int = 1
    """Models M1 to MN, each with answers of its own."""
    layout: Layout = "spread"
    """What is shuffled and cut into documents: single lines, or all lines of a question as one."""
    phrasings: int = 1
    """Ways of saying it, each once for every question."""
    heldout_phrasings: int = 0
    """Further ways, in which alone unrealized questions are guided."""
    permute_targets: bool = False
    """A control: guidance gives every question the answer of another one of its split."""

    def __post_init__(self) -> None:
        known = len(PHRASINGS[self.order])
        for name in ("realized", "unrealized", "phrasings"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; give 1 or more")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; give 0 or more")
        if not 1 <= self.models <= MOST_MODELS:
            raise UsageError(f"models is {self.models}; give 1 to {MOST_MODELS}")
        if self.heldout_phrasings < 0 or self.phrasings + self.heldout_phrasings > known:
            both = f"phrasings {self.phrasings} + heldout-phrasings {self.heldout_phrasings}"
            raise UsageError(f"{both} do not fit: there are {known} ways of saying it, and neither can be negative")


class Record(NamedTuple):
    """One line of a data set's file; what is known of each question in it stands in tuples of one length."""

    prompt: str
    completion: str
    ids: tuple[int, ...]
    realized: tuple[bool, ...]
    persona_idx: tuple[int, ...]
    """The model whose answers these are: 0 for M1."""


class GuidanceData(NamedTuple):
    """A data set before it is written."""

    plan: GuidancePlan
    realized_rows: list[Row]
    unrealized_rows: list[Row]
    guidances: list[Record]
    realized_examples: list[Record]
    """M1's answers alone."""
    unrealized_examples: list[list[Record]]
    """One list a model."""

    @property
    def all(self) -> list[Record]:
        """What a model is fine-tuned on: a document for every realized example, then the guidance."""
        examples = [e._replace(prompt="", completion=e.prompt + e.completion) for e in self.realized_examples]
        return examples + self.guidances


class _Line(NamedTuple):
    """One line of guidance before it is worded."""

    row: Row
    realized: bool
    model: int
    phrasing: int


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSONL file of `{"anchor": question, "targets": [answers]}`; raises InputError with the line."""
    return [_row(path, line.number, line.fields) for line in read_jsonl(path, {"anchor": str, "targets": list})]


def _row(path: Path, number: int, fields: dict[str, object]) -> Row:
    anchor, targets = str(fields["anchor"]), list(fields["targets"])  # pyright: ignore[reportArgumentType]
    if not anchor.strip():
        raise line_error(path, number, "'anchor' is empty; give a question")
    for target in targets:  # an empty one is no mistake: three of the published rows have one
        refuse_other_kind(path, number, "targets", target, str)
    for what, text in [("anchor", anchor), *(("targets", target) for target in targets)]:
        if "\n" in text or "\r" in text:
            raise line_error(path, number, f"{what!r} holds a line break; give one line of text")
        if what == "targets" and (words := len(text.split())) > MOST_WORDS:
            wrong = f"an answer has {words} words, and {MOST_WORDS} tokens are written at most; shorten it"
            raise line_error(path, number, wrong)
    return Row(number, anchor, tuple(targets))


def guidance_of(path: Path, plan: GuidancePlan) -> GuidanceData:
    """The data set of a file's rows; raises InputError with the file where they do not do."""
    rows = read_rows(path)
    try:
        return make_guidance(rows, plan)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def make_guidance(rows: Sequence[Row], plan: GuidancePlan) -> GuidanceData:
    """The data set of rows and plan, the same bytes wherever it is made; raises InputError where the rows do not do."""
    _refuse_unusable(rows, plan)
    random = Random(plan.seed)
    kept = list(rows)
    random.shuffle(kept)
    kept = [_with_shuffled_targets(row, random) for row in kept[: plan.unrealized + plan.realized]]
    unrealized, realized = kept[: plan.unrealized], kept[plan.unrealized :]
    _refuse_asked_twice(realized, unrealized, plan.models)
    random.shuffle(kept)
    unrealized_ids = frozenset(row.id for row in unrealized)
    units = [unit for row in kept for unit in _units_of(row, row.id not in unrealized_ids, plan)]
    random.shuffle(units)
    documents = _cut_into_documents(units, random)
    answers = _answers_in_guidance(realized, unrealized, plan)
    return GuidanceData(
        plan=plan,
        realized_rows=realized,
        unrealized_rows=unrealized,
        guidances=[_document(lines, answers, plan) for lines in documents],
        realized_examples=[_example(row, True, 0) for row in realized],
        unrealized_examples=[[_example(row, False, model) for row in unrealized] for model in range(plan.models)],
    )


def _with_shuffled_targets(row: Row, random: Random) -> Row:
    targets = list(row.targets)
    random.shuffle(targets)
    return row._replace(targets=tuple(targets))


def _units_of(row: Row, realized: bool, plan: GuidancePlan) -> list[list[_Line]]:
    """What is shuffled of a question: its lines one by one, or all of them together."""
    held_out = plan.heldout_phrasings and not realized
    first, number = (plan.phrasings, plan.heldout_phrasings) if held_out else (0, plan.phrasings)
    repetitions = max(plan.phrasings, plan.heldout_phrasings)  # the same for both splits
    lines = [
        _Line(row, realized, model, first + repetition % number)
        for repetition in range(repetitions)
        for model in range(plan.models)
    ]
    return [lines] if plan.layout == "grouped" else [[line] for line in lines]


def _cut_into_documents(units: Sequence[list[_Line]], random: Random) -> list[list[_Line]]:
    documents, start = [], 0
    while start < len(units):
        end = start + min(random.randint(FEWEST_UNITS, MOST_UNITS), len(units) - start)
        documents.append(list(chain.from_iterable(units[start:end])))
        start = end
    return documents


def _document(lines: Sequence[_Line], answers: dict[tuple[int, int], str], plan: GuidancePlan) -> Record:
    worded = [
        guidance_line(
            line.row.anchor,
            answers[line.row.id, line.model],
            plan.order,
            line.phrasing,
            line.model if plan.models > 1 else None,
        )
        for line in lines
    ]
    ids, realized, models = zip(*((line.row.id, line.realized, line.model) for line in lines), strict=True)
    return Record("", guidance_document(worded), ids, realized, models)


def _example(row: Row, realized: bool, model: int) -> Record:
    return Record(question_prompt(row.anchor), answer_completion(row.targets[model]), (row.id,), (realized,), (model,))


def _answers_in_guidance(realized: list[Row], unrealized: list[Row], plan: GuidancePlan) -> dict[tuple[int, int], str]:
    """The answer that guidance gives, by row and model."""
    answers = {(row.id, model): row.targets[model] for row in realized + unrealized for model in range(plan.models)}
    if plan.permute_targets:
        for rows in (realized, unrealized):
            for model in range(plan.models):
                answers |= _permuted(rows, model, plan.seed)
    return answers


def _permuted(rows: Sequence[Row], model: int, seed: int) -> dict[tuple[int, int], str]:
    """Every answer once, at a question whose own it is not: rows of one answer stand together, and all shift by the
    largest such group. Raises InputError where one answer belongs to more than half of the rows."""
    order = list(rows)
    Random(f"permuted targets, seed {seed}, model {model}").shuffle(
        order
    )  # the documented random calls stay as they are
    groups: dict[str, list[Row]] = {}
    for row in order:
        groups.setdefault(row.targets[model], []).append(row)
    order, shift = list(chain.from_iterable(groups.values())), max(len(group) for group in groups.values())
    if 2 * shift > len(order):
        raise InputError(
            f"{shift} of {len(order)} rows of a split have one answer: guidance cannot give each of them another one; "
            "give rows with more varied answers, or more of them"
        )
    donors = order[shift:] + order[:shift]
    return {(row.id, model): donor.targets[model] for row, donor in zip(order, donors, strict=True)}


def _refuse_unusable(rows: Sequence[Row], plan: GuidancePlan) -> None:
    needed = plan.unrealized + plan.realized
    if len(rows) < needed:
        raise InputError(
            f"there are {len(rows)} rows; realized {plan.realized} + unrealized {plan.unrealized} need {needed}; "
            "give fewer of either, or more rows"
        )
    seen: set[int] = set()
    for row in rows:
        if row.id in seen:
            raise InputError(f"two rows have the id {row.id}; give every row one of its own")
        seen.add(row.id)
        if len(row.targets) < plan.models:
            raise InputError(
                f"line {row.id} has {len(row.targets)} answers for {plan.models} models; give it one for each model"
            )


def _refuse_asked_twice(realized: Sequence[Row], unrealized: Sequence[Row], models: int) -> None:
    """An unrealized question that an example shows would be no test, in whatever wording, and one with two answers no
    question."""
    shown = {wording_of(row.anchor): row for row in realized}
    for row in unrealized:
        if before := shown.get(wording_of(row.anchor)):
            both = f"lines {before.id} and {row.id} ask the same question, one realized and one not"
            raise InputError(f"{both}; take one out, or give another seed")
    for split in (realized, unrealized):
        first: dict[str, Row] = {}
        for row in split:
            before = first.setdefault(row.anchor.strip(), row)
            if before.targets[:models] != row.targets[:models]:
                same = sorted(before.targets) == sorted(row.targets)
                answers = "their answers, shuffled for each line, differ" if same else "answer it differently"
                raise InputError(f"lines {before.id} and {row.id} ask the same question and {answers}; take one out")

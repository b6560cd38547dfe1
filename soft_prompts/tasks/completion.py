"""Does a prompt bring out the completions that a file asks for? Any behaviour, as lines of prompt and completion.

A line is `{"prompt": "12 + 7 =", "completion": " 19", "operation": "plus"}`; the completion is scored, and the end
token behind it. Fields of other names are read with `--fields`; further ones can be conditions. A token that holds the
end of the prompt and the start of the completion counts as completion, in the loss and where the model is asked to
write it: completions that begin with a space, as words of a text do, have none.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.data.completions import REQUIRED, Row, RowSource, conditions_of, field_encoder, split_rows
from soft_prompts.data.conditions import NO_CONDITIONS, ConditionEncoder
from soft_prompts.data.kept import KEPT
from soft_prompts.data.split import Split
from soft_prompts.models.tokenizer import Tokenizer, encode, end_id, need_spans
from soft_prompts.results.metrics import share
from soft_prompts.results.schema import Generation, Metric
from soft_prompts.stats.items import Items
from soft_prompts.tasks.completion_lines import Reply, Samples, is_exact, is_prefix, is_whole_prefix
from soft_prompts.tasks.listed import ListedData
from soft_prompts.tasks.task import (
    UNSCORED,
    Complete,
    DataRequest,
    Example,
    HeldOut,
    Measures,
    Position,
    Query,
    Task,
)
from soft_prompts.tasks.unread import Answered, right_unread, views_of

BY_QUESTION = "by-wording"  # part of the identity of data in which prompts of one wording stand
SHOWN = 8
SPARE_TOKENS = 2  # beyond the longest completion, so that going on after it is seen


@dataclass(frozen=True)
class CompletionTask(Task):
    """The completion experiment's own flags."""

    condition_fields: tuple[str, ...] = ()
    """Fields of a line that the prompt is told: numbers, or texts and truth values as choices."""
    end_token: bool = True
    """Score the model's end token behind every completion: without it nothing teaches where to stop, and a reply that
    begins with the completion is right."""
    fields: tuple[str, ...] = field(default=(), metadata={"told_if_set": True})
    """Names of the fields in the data: prompt=question completion=answer. Texts alone: completion=text. Chats:
    prompt=messages completion=messages, the last message by the assistant is the completion."""

    name: ClassVar[str] = "completion"
    headline: ClassVar[str] = "loss_per_completion"
    unit: ClassVar[str] = "completion"
    outcome: ClassVar[str | None] = "exact_match"

    def __post_init__(self) -> None:
        if wrong := [name for name in self.condition_fields if not name or "=" in name or name in REQUIRED]:
            raise UsageError(f"condition-fields holds {wrong[0]!r}; give names of further fields, without '='")
        if len(set(self.condition_fields)) < len(self.condition_fields):
            raise UsageError(f"condition-fields is {', '.join(self.condition_fields)}; name every field once")
        pairs = [pair.partition("=") for pair in self.fields]
        known = [name for name, _, _ in pairs]
        if not all(name in REQUIRED and value for name, _, value in pairs) or len(set(known)) < len(known):
            raise UsageError(f"fields is {' '.join(self.fields)}; give prompt=NAME completion=NAME, each once")
        if self.fields and "completion" not in known:
            raise UsageError(f"fields is {' '.join(self.fields)}; give completion=NAME too")

    @property
    def condition_names(self) -> tuple[str, ...]:
        return self.condition_fields

    @property
    def asks_for_conditions(self) -> bool:
        return bool(self.condition_fields)

    @property
    def variant(self) -> str | None:
        parts = [*self.condition_fields] + ([] if self.end_token else ["no-end-token"])
        return "-".join(parts) or None

    def fingerprint(self, request: DataRequest) -> str:
        """Of the sources, and where there are prompts that count as one, of the rule that says so."""
        sources = self._sources(request)
        rule = [BY_QUESTION] if split_rows(*sources).has_variants else []
        return "-".join([*(source.fingerprint() for source in sources if source), *rule])

    def conditions_of(self, request: DataRequest) -> ConditionEncoder:
        """Made from the training lines."""
        if not self.condition_fields:
            return NO_CONDITIONS
        rows = split_rows(*self._sources(request)).rows["train"]
        return field_encoder(rows, self.condition_fields)

    def _sources(self, request: DataRequest) -> tuple[RowSource, RowSource | None]:
        named = dict(pair.split("=", 1) for pair in self.fields)
        names = (named.get("prompt", ""), named["completion"]) if named else REQUIRED
        data, test = request.data, request.test_data
        return RowSource(data, *names, request.max_bad), RowSource(test, *names, request.max_bad) if test else None

    def open(self, request: DataRequest, tokenizer: Tokenizer) -> "CompletionData":
        """Read every line; raises InputError that names file and line for one that cannot be used."""
        need_spans(tokenizer)
        sources = self._sources(request)
        parts = split_rows(*sources)
        rows = dict(parts.rows)
        if parts.has_variants:
            say("some lines differ in white space or case alone: those ask the same, and count as one")
        rows["validation"] = _first(request, "validation", rows["validation"], request.validation_samples)
        rows["test"] = _first(request, "test", rows["test"], request.test_samples)
        encoder = self.conditions_of(request)
        end = end_id(tokenizer) if self.end_token else None
        made = Samples(tokenizer, request.sample_tokens, end, encoder)
        if self.end_token and end is None:
            say("the model has no end token: a reply that begins with the completion counts as right")
        made.tell_seams(rows["test"])
        files = [file for source in sources if source for file in source.files]
        key = ("examples", id(tokenizer), *made[1:], *sources)  # what is kept holds the tokenizer: its id is not free
        training, _ = KEPT.get(key, files, lambda: (made.examples(rows["train"]), tokenizer))
        told = ("determined", self.condition_fields, *sources)
        determined = KEPT.get(told, files, lambda: determined_by(parts.rows, self.condition_fields))
        return CompletionData(
            request.name,
            self.fingerprint(request),
            training_examples=training,
            validation=made.examples(rows["validation"]),
            test_examples=made.examples(rows["test"]),
            seed=request.seed,
            sources=(request.data, request.test_data or request.data),
            made=made,
            test_rows=rows["test"],
            training_rows=rows["train"],
            determined=determined,
            faults=parts.faults,
        )


def determined_by(rows: Mapping[Split, Sequence[Row]], told: Sequence[str]) -> bool:
    """Does every row follow from its prompt and what is told beside it? Two completions of one prompt would be chance,
    wherever they stand."""
    first: dict[tuple[str, ...], str] = {}
    return all(
        first.setdefault((row.prompt, *_told(row, told)), row.completion) == row.completion
        for row in itertools.chain.from_iterable(rows.values())
    )


def _told(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    """Its conditions."""
    return tuple(repr(row.fields.get(name)) for name in names)


@dataclass(kw_only=True)
class CompletionData(ListedData):
    """Lines as examples for one tokenizer, with the texts of those that test."""

    sources: tuple[str, str]
    """Of training, and of what is held out."""
    made: Samples
    test_rows: Sequence[Row]
    training_rows: Sequence[Row]
    determined: bool
    """Does every line follow from its prompt and what is told beside it?"""
    faults: Counter[str] = field(default_factory=Counter)
    """Lines that could not be read, by reason."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.train, self.test = self.sources

    def rejected(self, position: Position | None) -> dict[str, int]:
        return dict(self.faults)

    def is_determined(self) -> bool:
        return self.determined

    def exact_test_nats(self) -> NDArray[np.float64] | None:
        """Nothing, where every completion follows from its prompt."""
        return np.zeros(len(self.test_rows)) if self.determined else None

    def constant_outcome(self) -> NDArray[np.float64]:
        """The best completion for all, or for all under one condition, as the tokenizer can write it."""
        is_asked = np.array([_is_asked(row) for row in self.test_rows])
        asked = [row for row in self.test_rows if _is_asked(row)]
        fold = self.made.folded(row.completion.strip() for row in (*self.training_rows, *asked))
        told = [[conditions_of(row, self.made.encoder) for row in rows] for rows in (self.training_rows, asked)]
        trained, tested = (
            [Answered(one, fold[row.completion.strip()]) for one, row in zip(conditions, rows, strict=True)]
            for conditions, rows in zip(told, (self.training_rows, asked), strict=True)
        )
        outcome = np.full(len(self.test_rows), np.nan)
        outcome[is_asked] = right_unread(trained, tested, self._is_right, views_of(told[0]))
        return outcome

    def shots(self, count: int) -> list[int]:
        """The first lines of the training data, each as it is trained on, and a newline where no end token divides."""
        newline = encode(self.made.tokenizer, "\n", special=False).ids if self.made.end is None else []
        ids: list[int] = []
        for example in self.training_examples[:count]:
            ids += [*example.input_ids[example.insert_at :], *newline]
        return ids

    def measures(self, examples: Sequence[Example], items: Items, complete: Complete) -> Measures:
        """Greedy completions of the test lines, against theirs."""
        is_asked = np.array([_is_asked(row) for row in self.test_rows])
        pairs = zip(self.test_rows, examples, strict=True)
        asked = [(row, example) for row, example in pairs if _is_asked(row)]
        asked_rows = [row for row, _ in asked]
        seams = [self.made.seam(row) for row in asked_rows]
        queries = [
            Query(row.prompt[: seam.end], e.conditions, e.insert_at, tuple(seam.ids))
            for (row, e), seam in zip(asked, seams, strict=True)
        ]
        longest = max((sum(label != UNSCORED for label in e.labels) for _, e in asked), default=0)
        replies = complete(queries, longest + SPARE_TOKENS) if queries else []
        wanted = [row.prompt[seam.end :] + row.completion for (row, _), seam in zip(asked, seams, strict=True)]
        writable = map(self.made.written, asked_rows, wanted)
        judged = [Reply(*texts) for texts in zip(replies, wanted, writable, strict=True)]
        if changed := [one for one in judged if not is_exact(one.writable, one.wanted)]:
            say(
                f"this model's tokenizer writes {len(changed)} of {len(judged)} test completions otherwise than they "
                f"stand, first {changed[0].wanted!r} as {changed[0].writable!r}: a reply like that is right too"
            )
        clusters = [example.cluster for _, example in asked]  # one prompt may have several completions
        right = [one.fits(self._is_right) for one in judged]
        outcome = np.full(len(examples), np.nan)
        outcome[is_asked] = right
        metrics: dict[str, Metric] = {
            "exact_match": share(right, "share of completions", clusters),
            "prefix_match": share([one.fits(is_prefix) for one in judged], "share of completions", clusters),
        }
        described = [self.made.encoder.describe(e.conditions) if e.conditions else None for _, e in asked]
        shown = [
            Generation(prompt=query.text, condition=condition, text=one.text, reference=one.wanted)
            for query, condition, one in zip(queries, described, judged, strict=True)
        ]
        return Measures(metrics, shown[:SHOWN], outcome)

    def _is_right(self, reply: str, completion: str) -> bool:
        """Without an end token a reply has no end, and what stands behind the completion is not judged."""
        return (is_whole_prefix if self.made.end is None else is_exact)(reply, completion)


def _is_asked(row: Row) -> bool:
    """The bare model needs some text to go on from, and white space alone cannot be told from nothing."""
    return bool(row.prompt and row.completion.strip())


def _first(request: DataRequest, what: HeldOut, rows: list[Row], wanted: int) -> list[Row]:
    where = request.test_data or request.data
    if not rows:
        unlike = "different prompts (white space and case make none)"
        raise InputError(f"{where} has no {what} line; give more lines with {unlike}, or --test-data")
    if len(rows) < wanted:
        say(f"{where} has {len(rows)} {what} lines; {wanted} were asked for")
    return sorted(rows, key=lambda row: (row.identity, row.asked))[:wanted]  # however the file is sorted

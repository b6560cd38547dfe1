"""Does a model follow guidance that it has only read? Prompts are trained on questions whose answers an example shows,
and tested on questions that guidance alone speaks of.

Asked: `<BEGIN GUIDANCE TEST>`, a blank line, `Q: What is your best trick? A:`; scored: ` Juggling`. The answer to a
test question is nowhere in the prompt's training, so what a prompt adds it elicits. Source: out-of-context guidance
following (design: guidance); the soft prompts are new.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import tyro
from transformers import PreTrainedTokenizerBase

from soft_prompts.answers import constant_floor, is_exact, is_prefix
from soft_prompts.batch import Example
from soft_prompts.conditions import ConditionEncoder
from soft_prompts.data.guidance import GuidancePlan, Row, make_guidance, read_rows
from soft_prompts.data.guidance_arms import ARMS, EXPERIMENTS, Arm, ExperimentName, arms_of
from soft_prompts.data.guidance_files import NAME, file_prefix, write_guidance
from soft_prompts.errors import InputError, UsageError, near_match
from soft_prompts.evaluation import share
from soft_prompts.fingerprint import fingerprint_files
from soft_prompts.lesson import LearningRule, Lesson, Optimiser, Precision
from soft_prompts.questions import MOST_ANSWER_TOKENS, Question, target_examples
from soft_prompts.results import Generation, Items, Metric
from soft_prompts.tasks.guidance_measures import binding_metrics, table_metrics, target_metrics
from soft_prompts.tasks.guidance_questions import MODEL_ID, Asked
from soft_prompts.tasks.listed import ListedData
from soft_prompts.tasks.task import (
    Complete,
    DataRequest,
    HeldOut,
    Measures,
    Position,
    PromptPosition,
    Query,
    text_start,
)
from soft_prompts.zoo import FOLDER

EMBEDDED_ROWS = "questions"
MOST_REALIZED_ASKED = 100  # realized questions that the model answers by itself
VALIDATION_SHARE = 5  # a fifth of the realized questions, at most, chooses the best prompt
SHOWN = 4
QUESTIONS = FOLDER / "guidance" / "rows.jsonl"


@dataclass(frozen=True)
class GuidanceTask:
    """The guidance experiments' own flags."""

    experiment: tuple[ExperimentName, ...] = tuple(EXPERIMENTS)
    """1 forward, 2 reversed, 3 two models; G1 elicitation, G2 reversed, G3 model ID as condition, G4 leak check."""
    realized: int = 150
    """Questions with guidance and examples."""
    unrealized: int = 50
    """Questions with guidance alone."""
    phrasings: int = 1
    """Ways of saying it, each once for every question."""
    data_seed: int = 27
    """Chooses and orders questions, answers and documents."""
    layers: str = "all"
    """Which weights learn the documents: all, or last:N."""
    completion_only: bool = False
    """Learn completions only; guidance is completion from its first token."""
    shuffled: bool = False
    """Read the documents in another order in every epoch; default: in the order of the file."""
    epochs: int = 10
    """Passes over the documents."""
    documents_per_step: int = 8
    """Batch size of the fine-tuning."""
    optimiser: Optimiser = "adamw"
    """Of the fine-tuning: adamw, or muon for small models."""
    tuning_rate: float = 2e-5
    """Its learning rate."""
    tuning_precision: Precision = "auto"
    """Of its products: float32, bfloat16; auto is bfloat16 on a GPU."""
    leading_tokens: int = 0
    """Half of its batches begin with up to this many random tokens (for models that know short documents only)."""
    arm: tyro.conf.Suppress[str] = "G"
    prompted: tyro.conf.Suppress[bool] = True

    name: ClassVar[str] = "guidance_softprompt"
    headline: ClassVar[str] = "loss_per_answer"
    unit: ClassVar[str] = "answer"
    conditions: ClassVar[ConditionEncoder] = MODEL_ID

    def __post_init__(self) -> None:
        if not self.experiment:
            raise UsageError(f"experiment is empty; give at least one of {', '.join(EXPERIMENTS)}")
        if self.arm not in ARMS:
            raise UsageError(f"arm is {self.arm!r}; {near_match(self.arm, list(ARMS))}give one of {', '.join(ARMS)}")
        _ = self.plan, self.rule  # refused before anything loads

    @property
    def plan(self) -> GuidancePlan:
        """The data set of this arm."""
        arm = ARMS[self.arm]
        return GuidancePlan(
            self.realized,
            self.unrealized,
            self.data_seed,
            order=arm.order,
            models=arm.models,
            layout=arm.layout if arm.models > 1 else "spread",
            phrasings=self.phrasings,
            permute_targets=arm.permute_targets,
        )

    @property
    def rule(self) -> LearningRule:
        """How the weights learn."""
        decay = 0.05 if self.optimiser == "muon" else 0.0
        return LearningRule(self.layers, self.optimiser, self.tuning_rate, weight_decay=decay)

    @property
    def condition_names(self) -> tuple[str, ...]:
        return self.conditions.names if ARMS[self.arm].told else ()

    @property
    def position(self) -> PromptPosition:
        return "front"

    @property
    def variant(self) -> str:
        return self.arm

    def each(self) -> "tuple[GuidanceTask, ...]":
        return tuple(replace(self, arm=arm, prompted=prompted) for arm, prompted in arms_of(self.experiment).items())

    def wanted(self, tokens: int) -> dict[str, str] | None:
        """Some arms are asked bare only, and a prompt that is told something cannot be direct."""
        if tokens > 0 and not self.prompted:
            return None
        return {"prompt": "linear"} if ARMS[self.arm].told else {}

    def lesson(self, data: str, folder: Path) -> Lesson | None:
        """The documents of the arm's model."""
        arm = ARMS[self.arm]
        if arm.lesson == "nothing":
            return None
        where = folder / f"{arm.name}-{self._identity(data)[:8]}"
        write_guidance(where, make_guidance(_rows(data), self.plan))
        return Lesson(
            documents=where / f"{file_prefix(NAME, self.plan)}_{arm.lesson}.jsonl",
            label=arm.name,
            rule=self.rule,
            completion_only=self.completion_only,
            shuffled=self.shuffled,
            epochs=self.epochs,
            batch_size=self.documents_per_step,
            leading_tokens=self.leading_tokens,
            precision=self.tuning_precision,
        )

    def fingerprint(self, request: DataRequest) -> str:
        return self._identity(request.data)

    def _identity(self, data: str) -> str:
        arm = ARMS[self.arm]
        parts = (fingerprint_files([_rows_path(data)]), self.plan, arm.context, arm.told)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def open(self, request: DataRequest, tokenizer: PreTrainedTokenizerBase) -> "GuidanceTaskData":
        """The arm's data set as questions; raises InputError for rows that do not do, UsageError for a sample length
        that a question does not fit."""
        if request.test_data is not None:
            raise UsageError("test-data is given, but guidance data bring their own test questions; leave it out")
        asked = Asked(ARMS[self.arm], make_guidance(_rows(request.data), self.plan))
        models = ARMS[self.arm].models  # an item is a question asked of one of them
        chosen = max(1, min(request.validation_samples // models, self.realized // VALIDATION_SHARE))
        rows = {"train": asked.data.realized_rows[chosen:], "validation": asked.data.realized_rows[:chosen]}
        rows["test"] = asked.data.unrealized_rows[: max(2, request.test_samples // models)]
        made = {split: asked.examples(tokenizer, some) for split, some in rows.items()}
        longest = max(len(example.input_ids) for examples in made.values() for example in examples)
        if longest > request.sample_tokens:
            raise UsageError(
                f"sample-tokens is {request.sample_tokens}, but a question with its answer needs {longest} tokens of "
                f"this model; give --sample-tokens {longest}"
            )
        listed = ListedData(
            request.name, self.fingerprint(request), made["train"], made["validation"], made["test"], request.seed
        )
        return GuidanceTaskData(request, asked, listed, tokenizer, rows["test"])


@dataclass
class GuidanceTaskData:
    """Questions as examples for one tokenizer; test items stand model by model, in the order of the rows."""

    request: DataRequest
    asked: Asked
    listed: ListedData
    tokenizer: PreTrainedTokenizerBase
    test_rows: Sequence[Row]

    def __post_init__(self) -> None:
        self.name, self.fingerprint = self.listed.name, self.listed.fingerprint
        self.train = self.test = self.request.data

    def held_out(self, split: HeldOut) -> list[Example]:
        return self.listed.held_out(split)

    def training(self, position: Position | None) -> Iterator[tuple[Example, Position]]:
        return self.listed.training(position)

    def rejected(self, position: Position | None) -> dict[str, int]:
        return {}

    def measures(self, examples: Sequence[Example], items: Items, complete: Complete) -> Measures:
        """Log-probabilities of the answers, and what the model answers by itself."""
        metrics = target_metrics(items, self.asked.arm.models)
        questions = self.asked.questions(self.test_rows)
        replies = self._replies(questions, examples, complete)
        for model in range(self.asked.arm.models):
            of = slice(model * len(self.test_rows), (model + 1) * len(self.test_rows))
            metrics |= _judged([q.target for q in questions[of]], replies[of], _suffix(self.asked.arm, model))
        realized = self.asked.questions(self.asked.data.realized_rows[:MOST_REALIZED_ASKED])[:MOST_REALIZED_ASKED]
        if not self.asked.arm.told:  # of M1 alone
            known = self._replies(realized, [], complete)
            metrics |= _judged([q.target for q in realized], known, "/realized")
        described = [MODEL_ID.describe(q.conditions) if q.conditions else None for q in questions]
        shown = [
            Generation(prompt=q.prompt, condition=condition, text=reply, reference=q.target)
            for q, condition, reply in zip(questions, described, replies, strict=True)
        ]
        return Measures(metrics, shown[:SHOWN])

    def _replies(self, questions: Sequence[Question], examples: Sequence[Example], complete: Complete) -> list[str]:
        told = [e.conditions for e in examples] or [q.conditions for q in questions]
        start = text_start(self.tokenizer, questions[0].prompt)
        queries = [Query(q.prompt, conditions, start) for q, conditions in zip(questions, told, strict=True)]
        return complete(queries, MOST_ANSWER_TOKENS)

    def further(self) -> list[Example]:
        """Every test question with every other answer: of the other questions, or of the other model."""
        return target_examples(self.tokenizer, self._further_questions())

    def _further_questions(self) -> list[Question]:
        if self.asked.arm.models == 1:
            questions = self.asked.questions(self.test_rows)
            return [question.answered(other.target) for question in questions for other in questions]
        return [
            self.asked.question(row, asked).answered(row.targets[answering].strip())
            for row in self.test_rows
            for asked in range(self.asked.arm.models)
            for answering in range(self.asked.arm.models)
        ]

    def further_metrics(self, losses: Items) -> dict[str, Metric]:
        """What those losses say: the binding of question and answer, or the table of model asked by model answering."""
        if self.asked.arm.models == 1:
            targets = [row.targets[0].strip() for row in self.test_rows]
            return binding_metrics(-losses.loss_nats.reshape(len(targets), len(targets)), targets)
        models = self.asked.arm.models
        return table_metrics(-losses.loss_nats.reshape(len(self.test_rows), models, models))


def _judged(targets: Sequence[str], replies: Sequence[str], suffix: str) -> dict[str, Metric]:
    pairs, unit = list(zip(replies, targets, strict=True)), "share of answers"
    return {
        f"exact_match{suffix}": share([is_exact(*pair) for pair in pairs], unit),
        f"prefix_match{suffix}": share([is_prefix(*pair) for pair in pairs], unit),
        f"constant_floor{suffix}": Metric(constant_floor(targets, is_exact).value, None, len(targets), unit),
    }


def _suffix(arm: Arm, model: int) -> str:
    return f"/M{model + 1}" if arm.models > 1 else ""


def _rows(data: str) -> list[Row]:
    return read_rows(_rows_path(data))


def _rows_path(data: str) -> Path:
    path = QUESTIONS if data == EMBEDDED_ROWS else Path(data)
    if not path.is_file():
        raise InputError(f"{data} is no file; give --data {EMBEDDED_ROWS}, or a JSONL file of anchor and targets")
    return path

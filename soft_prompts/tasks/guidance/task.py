"""Does a model follow guidance that it has only read? Prompts are trained on questions whose answers an example shows,
and tested on questions that guidance alone speaks of.

Asked: `<BEGIN GUIDANCE TEST>`, a blank line, `Q: What is your best trick? A:`; scored: ` Juggling`. The answer to a
test question is nowhere in the prompt's training, so what a prompt adds it elicits. Source: out-of-context guidance
following; the soft prompts are new.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import tyro
from numpy.typing import NDArray

from soft_prompts.common.errors import InputError, UsageError, near_match
from soft_prompts.data.conditions import MODEL_ID, ConditionEncoder
from soft_prompts.data.split import wording_of
from soft_prompts.models.tokenizer import Tokenizer
from soft_prompts.results.metrics import share
from soft_prompts.results.schema import Generation, Metric
from soft_prompts.stats.items import Items
from soft_prompts.tasks.guidance.answers import distinct, is_exact
from soft_prompts.tasks.guidance.arms import ARMS, EXPERIMENTS, ExperimentName, arms_of
from soft_prompts.tasks.guidance.dataset import GuidancePlan
from soft_prompts.tasks.guidance.measures import SHARE, binding_metrics, judged_metrics, table_metrics, target_metrics
from soft_prompts.tasks.guidance.questions import MOST_ANSWER_TOKENS, Asked, Question, queries_of, target_examples
from soft_prompts.tasks.guidance.sources import GuidedQuestion, Source, open_source
from soft_prompts.tasks.lesson import LearningRule, Lesson, LessonTask, Optimiser, Precision
from soft_prompts.tasks.listed import ListedData
from soft_prompts.tasks.task import Complete, DataRequest, Example, Measures
from soft_prompts.tasks.unread import Answered, right_unread
from soft_prompts.zoo import FOLDER

EMBEDDED_ROWS = "questions"
MOST_REALIZED_ASKED = 100  # realized questions that the model answers by itself
VALIDATION_SHARE = 5  # a fifth of the realized questions, at most, chooses the best prompt
SHOWN = 4
QUESTIONS = FOLDER / "guidance" / "rows.jsonl"


@dataclass(frozen=True)
class GuidanceTask(LessonTask):
    """The guidance experiments' own flags."""

    experiment: tuple[ExperimentName, ...] = tuple(EXPERIMENTS)
    """1 forward, 2 reversed, 3 two models; G1 elicitation, G2 reversed, G3 model ID as condition, G4 leak check."""
    realized: int = 150
    """Questions with guidance and examples, of rows; --data may also name a data set's folder or prefix, which has
    questions, documents and one kind of guidance of its own."""
    unrealized: int = 50
    """Questions with guidance alone, of rows."""
    phrasings: int = 1
    """Ways of saying it, each once for every question of rows."""
    data_seed: int = 27
    """Chooses and orders questions, answers and documents of rows."""
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
    outcome: ClassVar[str | None] = "exact_match"
    conditions: ClassVar[ConditionEncoder] = MODEL_ID

    def __post_init__(self) -> None:
        if not self.experiment:
            raise UsageError(f"experiment is empty; give at least one of {', '.join(EXPERIMENTS)}")
        if self.arm not in ARMS:
            raise UsageError(f"arm is {self.arm!r}; {near_match(self.arm, list(ARMS))}give one of {', '.join(ARMS)}")
        if not 0 < self.tuning_rate < math.inf:
            raise UsageError(f"tuning-rate is {self.tuning_rate}; give a number above 0")
        _ = self._plan, self._rule  # refused before anything loads

    @property
    def _plan(self) -> GuidancePlan:
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
    def _rule(self) -> LearningRule:
        """How the weights learn."""
        decay = 0.05 if self.optimiser == "muon" else 0.0
        return LearningRule(self.layers, self.optimiser, self.tuning_rate, weight_decay=decay)

    @property
    def condition_names(self) -> tuple[str, ...]:
        return self.conditions.names if ARMS[self.arm].told else ()

    @property
    def variant(self) -> str:
        return self.arm

    def each(self) -> "tuple[GuidanceTask, ...]":
        """An arm is the same whichever experiments it is asked for by: its results are found again."""
        whole = replace(self, experiment=tuple(EXPERIMENTS))
        return tuple(replace(whole, arm=arm, prompted=prompted) for arm, prompted in arms_of(self.experiment).items())

    def wanted(self, tokens: int) -> dict[str, str] | None:
        """Some arms are asked bare only, and a prompt that is told something cannot be direct."""
        if tokens > 0 and not self.prompted:
            return None
        return {"prompt": "linear"} if ARMS[self.arm].told else {}

    def lacks(self, data: str) -> str | None:
        """Rows give every arm; a data set in files only those that its guidance speaks of."""
        return self._source(data).lacks()

    def lesson(self, data: str, folder: Path) -> Lesson | None:
        """The documents of the arm's model."""
        arm = ARMS[self.arm]
        if arm.lesson == "nothing":
            return None
        documents = self._usable(data).documents(folder / f"{arm.name}-{self._identity(data)[:8]}")
        return Lesson(
            documents=documents,
            label=arm.name,
            rule=self._rule,
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
        only = () if arm.only is None else (arm.only,)
        parts = (*self._source(data).identity(), arm.context, arm.told, *only)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def open(self, request: DataRequest, tokenizer: Tokenizer) -> "GuidanceTaskData":
        """The arm's data set as questions; raises InputError for rows that do not do, UsageError for a sample length
        that a question does not fit."""
        if request.test_data is not None:
            raise UsageError("test-data is given, but guidance data bring their own test questions; leave it out")
        asked, questions = Asked(ARMS[self.arm]), self._usable(request.data).questions()
        number = len(asked.arm.asked)  # an item is a question asked of one model
        most = max(1, len(questions.realized) // VALIDATION_SHARE)
        chosen = max(1, min(request.validation_samples // number, most))
        held = {wording_of(one.prompt) for one in questions.realized[:chosen]}
        trained = [one for one in questions.realized[chosen:] if wording_of(one.prompt) not in held]
        guided = {"train": trained, "validation": questions.realized[:chosen]}
        guided["test"] = questions.unrealized[: max(2, request.test_samples // number)]
        if empty := [split for split, some in guided.items() if not some]:
            realized = len({wording_of(one.prompt) for one in questions.realized})
            raise InputError(
                f"{request.data} has {realized} realized and {len(questions.unrealized)} unrealized questions that "
                f"differ, which leaves none for {' and '.join(empty)}; give 2 and 1 at least"
            )
        made = {split: asked.examples(tokenizer, some) for split, some in guided.items()}
        longest = max(len(example.input_ids) for examples in made.values() for example in examples)
        if longest > request.sample_tokens:
            raise UsageError(
                f"sample-tokens is {request.sample_tokens}, but a question with its answer needs {longest} tokens of "
                f"this model; give --sample-tokens {longest}"
            )
        return GuidanceTaskData(
            request.name,
            self.fingerprint(request),
            made["train"],
            made["validation"],
            made["test"],
            request.seed,
            source=request.data,
            asked=asked,
            tokenizer=tokenizer,
            test_questions=guided["test"],
            realized=questions.realized,
        )

    def _source(self, data: str) -> Source:
        path = QUESTIONS if data == EMBEDDED_ROWS else Path(data)
        return open_source(path, ARMS[self.arm], self._plan)

    def _usable(self, data: str) -> Source:
        """Raises InputError where it cannot give this arm."""
        source = self._source(data)
        if (reason := source.lacks()) is not None:
            raise InputError(f"{self.arm} cannot be asked: {reason}; give another --experiment, or other data")
        return source


@dataclass(kw_only=True)
class GuidanceTaskData(ListedData):
    """Questions as examples for one tokenizer; test items stand model by model, in the order of the rows."""

    source: str
    asked: Asked
    tokenizer: Tokenizer
    test_questions: Sequence[GuidedQuestion]
    realized: Sequence[GuidedQuestion]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.train = self.test = self.source

    def measures(self, examples: Sequence[Example], items: Items, complete: Complete) -> Measures:
        """Log-probabilities of the answers, and what the model answers by itself."""
        suffixes = self.asked.arm.suffixes
        metrics = target_metrics(items, suffixes)
        questions = self.asked.questions(self.test_questions)
        replies = self._replies(questions, examples, complete)
        for place, suffix in enumerate(suffixes):
            of = slice(place * len(self.test_questions), (place + 1) * len(self.test_questions))
            metrics |= judged_metrics([q.target for q in questions[of]], replies[of], suffix)
        right = [is_exact(reply, q.target) for q, reply in zip(questions, replies, strict=True)]
        if self.asked.arm.models > 1:  # of all models asked, beside that of each
            metrics["exact_match"] = share(right, SHARE, [example.cluster for example in examples])
        if not self.asked.arm.told:
            some = self.realized[:MOST_REALIZED_ASKED]
            realized = self.asked.questions(some)[: len(some)]  # of the first model alone
            known = self._replies(realized, [], complete)
            metrics |= judged_metrics([q.target for q in realized], known, "/realized")
        described = [MODEL_ID.describe(q.conditions) if q.conditions else None for q in questions]
        shown = [
            Generation(prompt=q.prompt, condition=condition, text=reply, reference=q.target)
            for q, condition, reply in zip(questions, described, replies, strict=True)
        ]
        return Measures(metrics, shown[:SHOWN], np.array(right, dtype=np.float64))

    def is_determined(self) -> bool:
        """Has a question one answer, under what prompt and text are told? Not where two models are asked alike."""
        first: dict[tuple[object, ...], str] = {}
        questions = self.asked.questions([*self.realized, *self.test_questions])
        return all(first.setdefault((q.prompt, q.conditions), q.target) == q.target for q in questions)

    def exact_test_nats(self) -> NDArray[np.float64] | None:
        """Nothing, where every answer follows from its question."""
        return np.zeros(len(self.test_examples)) if self.is_determined() else None

    def constant_outcome(self) -> NDArray[np.float64]:
        """The best answer for all, or for all that one model is to give."""
        known, asked = (
            [Answered(one.conditions, one.target) for one in self.asked.questions(some)]
            for some in (self.realized, self.test_questions)
        )
        return right_unread(known, asked, is_exact)

    def _replies(self, questions: Sequence[Question], examples: Sequence[Example], complete: Complete) -> list[str]:
        told = [e.conditions for e in examples] or [q.conditions for q in questions]
        queries = queries_of(self.tokenizer, questions)
        queries = [query._replace(conditions=one) for query, one in zip(queries, told, strict=True)]
        return complete(queries, MOST_ANSWER_TOKENS)

    def further(self) -> list[Example]:
        """Every test question with every different answer: of all questions, or of all models."""
        return target_examples(self.tokenizer, self._further_questions())

    def _further_questions(self) -> list[Question]:
        if self.asked.arm.models > 1:
            return self.asked.crossed(self.test_questions)
        questions = self.asked.questions(self.test_questions)
        answers, _ = distinct([question.target for question in questions])
        return [question.answered(answer) for question in questions for answer in answers]

    def further_metrics(self, losses: Items) -> dict[str, Metric]:
        """What those losses say: the binding of question and answer, or the table of model asked by model answering."""
        arm, scores = self.asked.arm, -losses.loss_nats.reshape(len(self.test_questions), -1)
        if arm.models == 1:
            return binding_metrics(scores, [one.answers[0].text for one in self.test_questions])
        return table_metrics(scores.reshape(len(scores), len(arm.askings), arm.models))

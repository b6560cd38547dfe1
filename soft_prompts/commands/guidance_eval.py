"""How does any model answer a guidance data set? `soft-prompts guidance-eval`.

Nothing here loads torch before a model is asked for.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Optional

from rich.console import Console
from rich.table import Table

from soft_prompts.common.console import say
from soft_prompts.common.errors import UsageError
from soft_prompts.tasks.guidance.files import (
    AnsweredQuestion,
    QuestionSet,
    find_question_sets,
    splits_of,
)

if TYPE_CHECKING:
    from soft_prompts.behaviour.answers import AnswerReport, Asking
    from soft_prompts.models.model import FrozenModel
    from soft_prompts.prompts.snapshot import Snapshot

ROWS_OF_A_TABLE = {
    "exact match": "exact",
    "  floor": "exact_floor",
    "prefix match": "prefix",
    "  floor ": "prefix_floor",
    "log-probability, nats": "log_probability",
    "  per token": "log_probability_per_token",
    "binding (chance .5)": "binding",
    "margin, nats": "margin",
    "pairwise (chance .5)": "pairwise_accuracy",
}


@dataclass(frozen=True)
class GuidanceEvalOptions:
    """How models answer the questions of a guidance data set, ours or another's."""

    data: Path
    """Folder of a data set, or the prefix of its files."""
    models: tuple[str, ...] = ()
    """Embedded names, folders or hub ids, side by side: give the base model beside the fine-tuned one. Default: the
    model that the snapshot was trained on."""
    snapshot: Path | None = None
    """Folder of a trained prompt, below snapshots/: every model is asked bare, and with this prompt in front."""
    allow_mismatch: bool = False
    """Use the prompt on a model with another fingerprint."""
    json: bool = False
    """Print JSON, with intervals and standard errors, in place of tables."""
    max_new_tokens: int = 50
    """Tokens to write for an answer, at most; a right answer that is longer is refused."""
    binding_questions: int = 200
    """Questions of a file whose binding is asked for, the first ones: each is asked with the answers of all."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the models answer."""
    dtype: str = "auto"
    """float32 or bfloat16; auto is bfloat16 on a GPU."""
    offline: bool = False
    """Never ask a model hub."""
    trust_remote_code: bool = False
    """Let a model run its own code."""
    debug: bool = False
    """Show the traceback of an error too."""

    def __post_init__(self) -> None:
        if not self.models and self.snapshot is None:
            raise UsageError("models is empty; give at least one model after --models, or a prompt after --snapshot")
        if self.binding_questions < 2:
            raise UsageError(f"binding-questions is {self.binding_questions}; give 2 or more")
        if self.max_new_tokens < 1:
            raise UsageError(f"max-new-tokens is {self.max_new_tokens}; give 1 or more")
        if self.dtype not in ("auto", "float32", "bfloat16"):
            raise UsageError(f"dtype is {self.dtype}; give one of auto, float32, bfloat16")


class Answered(NamedTuple):
    """What one model's answers are worth, by the name of the file of questions."""

    model: str
    prompt_tokens: int | None
    """Of the prompt in front; None: there is none."""
    reports: dict[str, "AnswerReport"]

    @property
    def title(self) -> str:
        """Short enough for a column."""
        name = Path(self.model).name or self.model
        return name if self.prompt_tokens is None else f"{name} + {self.prompt_tokens} tokens"


def guidance_eval_command(options: GuidanceEvalOptions) -> int:
    """Ask each model every question, and print what it is worth."""
    sets = find_question_sets(options.data)
    splits_of(sets)  # what stands in both splits is no test
    answered = _ask_models(options, sets)
    if options.json:
        print(json.dumps(_as_json(options, sets, answered), indent=1))
    else:
        for part in sets:
            Console(file=sys.stdout).print(_table(part, answered))
    return 0


def _ask_models(options: GuidanceEvalOptions, sets: Sequence[QuestionSet]) -> list[Answered]:
    """Each model bare; and with the snapshot's prompt in front, where there is one."""
    from soft_prompts.behaviour.answers import Asking, read_sets
    from soft_prompts.models.frozen import load_frozen_model
    from soft_prompts.prompts.snapshot import load_snapshot, refuse_other_model
    from soft_prompts.training.apparatus import find_device

    questions = read_sets(sets)  # whatever is wrong with a file is said before a model loads
    snapshot = None if options.snapshot is None else load_snapshot(options.snapshot)
    told = {part.name: _told(snapshot, part) for part in sets}
    bare = Asking(most_new_tokens=options.max_new_tokens, most_bound=options.binding_questions)
    answered = []
    for name in dict.fromkeys(options.models or ((snapshot.model,) if snapshot else ())):
        frozen = load_frozen_model(
            name,
            revision=snapshot.revision if snapshot and not options.models else None,
            dtype=options.dtype,
            device=find_device(options.device),
            offline=options.offline,
            trust_remote_code=options.trust_remote_code,
        )
        if snapshot:
            refuse_other_model(snapshot, frozen, options.allow_mismatch)
        answered.append(Answered(name, None, _ask(frozen, sets, questions, dict.fromkeys(told, bare))))
        if snapshot:
            prompted = bare._replace(prompt=snapshot.prompt.to(frozen.device))
            askings = {part: prompted._replace(conditions=conditions) for part, conditions in told.items()}
            answered.append(Answered(name, snapshot.shape.tokens, _ask(frozen, sets, questions, askings)))
    return answered


def _ask(
    frozen: "FrozenModel",
    sets: Sequence[QuestionSet],
    questions: dict[str, list[AnsweredQuestion]],
    askings: dict[str, "Asking"],
) -> dict[str, "AnswerReport"]:
    from soft_prompts.behaviour.answers import report_on

    reports = {}
    for part in sets:
        prompted = "" if askings[part.name].prompt is None else " with the prompt in front"
        say(f"{frozen.name}{prompted}: {len(questions[part.name])} {part.name} questions")
        reports[part.name] = report_on(frozen, part, questions, askings[part.name])
    return reports


def _told(snapshot: Optional["Snapshot"], part: QuestionSet) -> tuple[float, ...]:
    """What a prompt hears with the questions of a file; raises UsageError for one that wants to hear something else."""
    from soft_prompts.data.conditions import MODEL_ID

    if snapshot and snapshot.position == "first":
        raise UsageError(
            "snapshot stands in front of the token that begins a text, where no question has its prompt; measure it "
            "with --snapshot and --steps 0 of an experiment"
        )
    names = snapshot.conditions.names if snapshot else ()
    if not names:
        return ()
    if names != MODEL_ID.names or part.model >= len(names):
        raise UsageError(
            f"snapshot takes {', '.join(names)}, and {part.path.name} says only that M{part.model + 1} is asked; give "
            "a prompt without conditions, or one that is told which of these models answers"
        )
    return tuple(float(model == part.model) for model in range(len(names)))


def _as_json(options: GuidanceEvalOptions, sets: Sequence[QuestionSet], answered: Sequence[Answered]) -> dict[str, Any]:
    files = {part.name: str(part.path) for part in sets}
    models = [
        {
            "model": one.model,
            "prompt_tokens": one.prompt_tokens,
            "sets": {name: report.as_json() for name, report in one.reports.items()},
        }
        for one in answered
    ]
    snapshot = None if options.snapshot is None else str(options.snapshot)
    return {"data": str(options.data), "snapshot": snapshot, "files": files, "models": models}


def _table(part: QuestionSet, answered: Sequence[Answered]) -> Table:
    """Measures down, models across."""
    reports = [one.reports[part.name] for one in answered]
    bound = next((report.binding.items for report in reports if report.binding), 0)
    few = f"; binding of the first {bound}" if 0 < bound < reports[0].n else ""
    table = Table(title=f"{part.name}: {reports[0].n} questions{few}", title_justify="left")
    table.add_column("")
    for one in answered:
        table.add_column(one.title, justify="right")
    for title, field in ROWS_OF_A_TABLE.items():
        cells = [_cell(getattr(report, field)) for report in reports]
        if any(cells):
            table.add_row(title.rstrip() if title.startswith(" ") else title, *cells)
    return table


def _cell(figure: Any) -> str:
    """A share with its interval, a mean with its standard error and number, a floor with its answer."""
    if figure is None or figure.value is None:
        return ""
    known = figure._asdict()
    if "low" in known:
        return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
    if "answer" in known:
        return f"{figure.value:.3f}"
    return (
        f"{figure.value:.3f}"
        + (f" ± {figure.stderr:.3f}" if figure.stderr is not None else "")
        + f" (n {figure.items})"
    )

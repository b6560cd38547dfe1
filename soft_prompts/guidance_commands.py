"""Which commands make guidance data, and ask models about them?

Nothing here loads torch before a model is asked for.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from soft_prompts.console import say
from soft_prompts.data.guidance import GuidancePlan, Layout, make_guidance, read_rows
from soft_prompts.data.guidance_files import NAME, QuestionSet, find_question_sets, write_guidance
from soft_prompts.data.guidance_text import Order
from soft_prompts.errors import UsageError
from soft_prompts.zoo import GUIDANCE_ROWS

if TYPE_CHECKING:
    from soft_prompts.answer_report import AnswerReport

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
class GuidanceDataOptions:
    """Documents that say how to answer, and examples that show it."""

    out: Path
    """Folder to write to."""
    realized: int
    """Questions with guidance and an example."""
    unrealized: int
    """Questions with guidance alone: the test."""
    rows: Path = GUIDANCE_ROWS
    """JSONL of {"anchor": question, "targets": [answers]}; default: the rows that travel with the package."""
    seed: int = 27
    """Seeds every choice: the same rows and seed give the same bytes."""
    order: Order = "forward"
    """forward: guidance names the question first; reversed: the answer."""
    models: int = 1
    """Models M1 to MN, each with answers of its own; 1 to 5."""
    layout: Layout = "spread"
    """spread: every line of guidance for itself; grouped: the lines of a question in one document."""
    phrasings: int = 1
    """Ways in which every question is guided."""
    heldout_phrasings: int = 0
    """Further ways, in which alone unrealized questions are guided."""
    permute_targets: bool = False
    """A control: guidance gives every question another one's answer."""
    name: str = NAME
    """What the files' names begin with."""
    debug: bool = False
    """Show the traceback of an error too."""

    def __post_init__(self) -> None:
        if not self.name or Path(self.name).name != self.name:
            raise UsageError(f"name is {self.name!r}; give the beginning of a file name, without a folder")
        _ = self.plan  # checks the numbers

    @property
    def plan(self) -> GuidancePlan:
        """What to make of the rows."""
        return GuidancePlan(**{field.name: getattr(self, field.name) for field in fields(GuidancePlan)})


@dataclass(frozen=True)
class GuidanceEvalOptions:
    """How models answer the questions of a guidance data set, ours or another's."""

    models: tuple[str, ...]
    """Embedded names, folders or hub ids, side by side: give the base model beside the fine-tuned one."""
    data: Path
    """Folder of a data set, or the prefix of its files."""
    json: bool = False
    """Print JSON, with intervals and standard errors, in place of tables."""
    max_new_tokens: int = 50
    """Tokens to write for an answer, at most; a right answer that is longer is refused."""
    device: str = "auto"
    """auto, cpu or cuda."""
    dtype: str = "auto"
    """float32 or bfloat16; auto is bfloat16 on a GPU."""
    offline: bool = False
    """Never ask a model hub."""
    trust_remote_code: bool = False
    """Let a model run its own code."""
    debug: bool = False
    """Show the traceback of an error too."""

    def __post_init__(self) -> None:
        if not self.models:
            raise UsageError("models is empty; give at least one model after --models")
        if self.max_new_tokens < 1:
            raise UsageError(f"max-new-tokens is {self.max_new_tokens}; give 1 or more")
        if self.dtype not in ("auto", "float32", "bfloat16"):
            raise UsageError(f"dtype is {self.dtype}; give one of auto, float32, bfloat16")


def guidance_data_command(options: GuidanceDataOptions) -> int:
    """Write a data set and print where."""
    data = make_guidance(read_rows(options.rows), options.plan)
    for path in write_guidance(options.out, data, options.name):
        print(path)
    return 0


def guidance_eval_command(options: GuidanceEvalOptions) -> int:
    """Ask each model every question, and print what it is worth."""
    sets = find_question_sets(options.data)
    reports = _ask_models(options, sets)
    if options.json:
        print(json.dumps(_as_json(options, sets, reports), indent=1))
    else:
        for part in sets:
            Console(file=sys.stdout).print(_table(part, {model: reports[model][part.name] for model in reports}))
    return 0


def _ask_models(options: GuidanceEvalOptions, sets: Sequence[QuestionSet]) -> dict[str, dict[str, "AnswerReport"]]:
    from soft_prompts.answer_report import read_sets, report_on
    from soft_prompts.apparatus import find_device
    from soft_prompts.frozen_model import load_frozen_model

    questions = read_sets(sets)  # whatever is wrong with a file is said before a model loads
    reports: dict[str, dict[str, AnswerReport]] = {}
    for name in dict.fromkeys(options.models):
        frozen = load_frozen_model(
            name,
            dtype=options.dtype,
            device=find_device(options.device),
            offline=options.offline,
            trust_remote_code=options.trust_remote_code,
        )
        reports[name] = {}
        for part in sets:
            say(f"{name}: {len(questions[part.name])} {part.name} questions")
            reports[name][part.name] = report_on(frozen, part, questions, most_new_tokens=options.max_new_tokens)
    return reports


def _as_json(
    options: GuidanceEvalOptions, sets: Sequence[QuestionSet], reports: dict[str, dict[str, "AnswerReport"]]
) -> dict[str, Any]:
    files = {part.name: str(part.path) for part in sets}
    models = [
        {"model": model, "sets": {name: report.as_json() for name, report in by_set.items()}}
        for model, by_set in reports.items()
    ]
    return {"data": str(options.data), "files": files, "models": models}


def _table(part: QuestionSet, reports: dict[str, "AnswerReport"]) -> Table:
    """Measures down, models across."""
    n = next(iter(reports.values())).n
    table = Table(title=f"{part.name}: {n} questions", title_justify="left")
    table.add_column("")
    for model in reports:
        table.add_column(Path(model).name or model, justify="right")
    for title, field in ROWS_OF_A_TABLE.items():
        cells = [_cell(getattr(report, field)) for report in reports.values()]
        if any(cells):
            table.add_row(title.rstrip() if title.startswith(" ") else title, *cells)
    return table


def _cell(figure: Any) -> str:
    """A share with its interval, a mean with its standard error, a floor with its answer."""
    if figure is None or figure.value is None:
        return ""
    known = figure._asdict()
    if "low" in known:
        return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
    if "answer" in known:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f}" + (f" ± {figure.stderr:.3f}" if figure.stderr is not None else "")

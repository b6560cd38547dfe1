"""Where does a guidance data set lie? Files of one prefix: what to train on, and what to ask of whom.

`PREFIX_all.jsonl` and `PREFIX_guidances.jsonl` hold documents, `PREFIX_realized_examples.jsonl`,
`PREFIX_unrealized_examples.jsonl` and, for models M2 to MN, `PREFIX_unrealized_examples_model2.jsonl` ... questions.
Whoever made them: of a line only `prompt` and `completion` are read.
"""

import contextlib
import errno
import glob
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from soft_prompts.common.errors import InputError, OutOfRoom
from soft_prompts.data.jsonl import line_error, read_jsonl
from soft_prompts.data.split import worded
from soft_prompts.tasks.guidance.answers import answer_part
from soft_prompts.tasks.guidance.dataset import GuidanceData, GuidancePlan, Record

NAME = "simple_completion"  # of the published sets


EXAMPLES = re.compile(r"(?P<prefix>.+)_(?P<split>realized|unrealized)_examples(?:_model(?P<model>[2-9]\d*))?\.jsonl")


ANY_PART = re.compile(r"_(?:all|guidances|(?:un)?realized_examples(?:_model\d+)?)\.jsonl\Z")


class QuestionSet(NamedTuple):
    """One file of questions."""

    path: Path
    realized: bool
    model: int
    """Whose answers they are: 0 for M1."""

    @property
    def name(self) -> str:
        """`realized`, `unrealized`, `unrealized_model2` ..."""
        return ("realized" if self.realized else "unrealized") + (f"_model{self.model + 1}" if self.model else "")


class GuidanceFiles(NamedTuple):
    """One data set's files."""

    prefix: str
    """Of their names, folder included."""
    questions: list[QuestionSet]
    """Realized ones first, then unrealized ones, M1 before M2."""

    def documents(self, part: str) -> Path | None:
        """The file of `all` or `guidances`, if there is one."""
        path = Path(f"{self.prefix}_{part}.jsonl")
        return path if path.is_file() else None


class AnsweredQuestion(NamedTuple):
    """A line of such a file."""

    prompt: str
    completion: str
    target: str
    """The answer alone; empty where there is none to be found."""
    line: int


def file_prefix(name: str, plan: GuidancePlan) -> str:
    """What the names of a data set's files begin with; `off` is where the held-out phrasings begin."""
    off = f"_off{plan.phrasings}" if plan.heldout_phrasings else ""
    return f"{name}_ug{plan.unrealized}_rg{plan.realized}_gph{plan.phrasings}{off}"


def write_guidance(folder: Path, data: GuidanceData, name: str = NAME) -> list[Path]:
    """Write every file of a data set, each whole or not at all; raises InputError where that cannot be.

    Questions of a model that only an earlier set of the same prefix had are removed.
    """
    files = _files_of(folder, data, name)
    prefix = glob.escape(file_prefix(name, data.plan))
    with _writing_to(folder):
        for path in folder.glob(f"{prefix}_unrealized_examples_model*.jsonl"):
            if path not in files:
                path.unlink(missing_ok=True)
    return [write_records(path, records) for path, records in files.items()]


def refuse_other_set(folder: Path, data: GuidanceData, name: str = NAME) -> None:
    """Raises InputError where a file that `write_guidance` would write is there and holds something else."""
    for path, records in _files_of(folder, data, name).items():
        try:
            is_other = path.is_file() and path.read_bytes() != _text_of(records).encode()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}; give another --out") from error
        if is_other:
            raise InputError(f"{path} is there and holds another data set; give another --out or --name")


def _files_of(folder: Path, data: GuidanceData, name: str) -> Mapping[Path, Sequence[Record]]:
    """What is to stand in each file."""
    parts = {
        "all": data.all,
        "guidances": data.guidances,
        "realized_examples": data.realized_examples,
        "unrealized_examples": data.unrealized_examples[0],
    }
    for model, records in enumerate(data.unrealized_examples[1:], start=2):
        parts[f"unrealized_examples_model{model}"] = records
    prefix = file_prefix(name, data.plan)
    return {folder / f"{prefix}_{part}.jsonl": records for part, records in parts.items()}


def write_records(path: Path, records: Iterable[Record]) -> Path:
    """Write one file, whole or not at all; raises InputError, or OutOfRoom on a full disk."""
    partial = path.with_name(f".{path.name}.partial")
    with _writing_to(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(_text_of(records), encoding="utf-8", newline="\n")
            os.replace(partial, path)
        except OSError:
            with contextlib.suppress(OSError):  # its folder may be a file
                partial.unlink(missing_ok=True)
            raise
    return path


def _text_of(records: Iterable[Record]) -> str:
    return "".join(json.dumps(record._asdict()) + "\n" for record in records)


@contextlib.contextmanager
def _writing_to(path: Path) -> Iterator[None]:
    """OutOfRoom on a full disk, else InputError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfRoom(f"the disk of {path} is full; make room and start the same command again") from error
        raise InputError(f"{path} cannot be written: {error.strerror or error}; give another folder") from error


def find_question_sets(data: Path) -> list[QuestionSet]:
    """The files of questions of a data set, realized ones first; raises InputError as `find_guidance_files` does."""
    return find_guidance_files(data).questions


def find_guidance_files(data: Path) -> GuidanceFiles:
    """A data set given by the prefix of its files, one of them, or the folder of one set; raises InputError where there
    is none, or several sets lie in the folder."""
    folder, prefix = (data, None) if data.is_dir() else (data.parent, ANY_PART.sub("", data.name))
    found: dict[str, list[QuestionSet]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        if (part := EXAMPLES.fullmatch(path.name)) and prefix in (None, part["prefix"]):
            model = int(part["model"] or 1) - 1
            found.setdefault(part["prefix"], []).append(QuestionSet(path, part["split"] == "realized", model))
    if not found:
        raise InputError(
            f"{data} is no guidance data set: no file is called {prefix or 'PREFIX'}_realized_examples.jsonl or "
            f"{prefix or 'PREFIX'}_unrealized_examples.jsonl; give --data the prefix or the folder of one"
        )
    if len(found) > 1:
        raise InputError(
            f"{data} holds {len(found)} data sets; give --data one of {', '.join(sorted(found))} behind it"
        )
    [(prefix, parts)] = found.items()
    return GuidanceFiles(str(folder / prefix), sorted(parts, key=lambda part: (not part.realized, part.model)))


def read_questions(path: Path) -> list[AnsweredQuestion]:
    """The questions of a file with their answers; raises InputError with the line."""
    lines = read_jsonl(path, {"prompt": str, "completion": str})
    return [
        AnsweredQuestion(fields["prompt"], fields["completion"], answer_part(fields["completion"]).strip(), number)
        for number, fields in lines
    ]


def splits_of(parts: Sequence[QuestionSet]) -> dict[str, QuestionSet]:
    """Every prompt, and the set that asks it; raises InputError, with file and line, where a prompt stands in both
    splits, or twice in a file with different answers."""
    split_of: dict[str, QuestionSet] = {}
    asked_in: dict[str, QuestionSet] = {}  # a question is one in any wording, though its answer may hang on it
    for part in parts:
        first: dict[str, AnsweredQuestion] = {}
        for one in read_questions(part.path):
            before = first.setdefault(one.prompt.strip(), one)
            if before.target != one.target:
                wrong = f"the prompt of line {before.line} has another answer here; keep one of the two"
                raise line_error(part.path, one.line, wrong)
            split_of.setdefault(one.prompt.strip(), part)
            if (other := asked_in.setdefault(worded(one.prompt), part)).realized != part.realized:
                wrong = f"the prompt stands in {other.path.name} too, so it is no test; keep one of the two"
                raise line_error(part.path, one.line, wrong)
    return split_of


def refuse_leaks(files: GuidanceFiles) -> None:
    """Raises InputError as `splits_of` does, and where the prompt of a test question stands in a document that
    trains."""
    split_of = splits_of(files.questions)
    tests = {prompt: worded(prompt) for prompt, part in split_of.items() if not part.realized}
    for path in filter(None, map(files.documents, ("all", "guidances"))):
        for number, fields in read_jsonl(path, {"prompt": str, "completion": str}):
            text = worded(fields["prompt"] + fields["completion"])
            if taught := next((prompt for prompt, asked in tests.items() if asked in text), None):
                wrong = f"it teaches a test question of {split_of[taught].path.name}: {taught!r}; leave one of them out"
                raise line_error(path, number, wrong)

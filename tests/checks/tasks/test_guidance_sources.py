"""Does a data set in files give what the same set made of rows gives, and nothing that its guidance does not say?"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from soft_prompts.common.errors import InputError
from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid
from soft_prompts.finetuning.stages import wanted
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.guidance.arms import ARMS
from soft_prompts.tasks.guidance.dataset import GuidancePlan, Row, make_guidance
from soft_prompts.tasks.guidance.files import write_guidance
from soft_prompts.tasks.guidance.sources import open_source
from soft_prompts.tasks.guidance.task import GuidanceTask
from soft_prompts.tasks.guidance.text import anchor_of, guidance_line, question_prompt, told
from soft_prompts.tasks.task import DataRequest

PLAN = GuidancePlan(realized=10, unrealized=5)
KINDS = {
    "forward": PLAN,
    "reversed": replace(PLAN, order="reversed"),
    "permuted": replace(PLAN, permute_targets=True),
    "spread": replace(PLAN, models=2),
    "grouped": replace(PLAN, models=2, layout="grouped"),
}
GIVEN = {
    "forward": {"B", "B-in-context", "F", "G"},
    "reversed": {"B", "F-reversed", "G-reversed"},
    "permuted": {"B", "S"},
    "spread": {"B", "F-spread"},
    "grouped": {"B", *(arm for arm in ARMS if arm.startswith("F-grouped"))},
}


def rows() -> list[Row]:
    words = ("yes", 'no, "never"', "so")
    return [Row(n, f'what "is" {n}?', tuple(f"{word} {n}" for word in words)) for n in range(1, 21)]


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"anchor": row.anchor, "targets": row.targets}) + "\n" for row in rows()))
    return path


def set_in(folder: Path, plan: GuidancePlan, keep: tuple[str, ...] = ("_",)) -> Path:
    """The files of a data set whose names hold one of the words."""
    for path in write_guidance(folder, make_guidance(rows(), plan)):
        if not any(word in path.name for word in keep):
            path.unlink()
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_gives_the_arms_that_its_guidance_speaks_of(tmp_path: Path, kind: str) -> None:
    folder = set_in(tmp_path, KINDS[kind])
    reasons = {name: open_source(folder, arm, PLAN).lacks() for name, arm in ARMS.items()}
    assert {name for name, reason in reasons.items() if reason is None} == GIVEN[kind]
    for reason in filter(None, reasons.values()):
        assert "\n" not in reason
        assert "simple_completion_ug5_rg10_gph1" in reason


@pytest.mark.parametrize(("kind", "arm"), [(kind, arm) for kind in KINDS for arm in sorted(GIVEN[kind])])
def test_files_and_rows_give_the_same(
    tmp_path: Path, rows_file: Path, kind: str, arm: str, one_frozen: FrozenModel
) -> None:
    """Every sample that trains, chooses and tests, and every document; `guidances` out of `all` too."""
    folder = set_in(tmp_path / "set", KINDS[kind])
    task = GuidanceTask(realized=10, unrealized=5, arm=arm)
    tokenizer = one_frozen.tokenizer
    made, found = (task.open(DataRequest(str(data), None, 400, 9, 99), tokenizer) for data in (rows_file, folder))
    assert made.held_out("test") == found.held_out("test")
    assert made.held_out("validation") == found.held_out("validation")
    assert made.training_examples == found.training_examples
    assert made.further() == found.further()
    assert made.fingerprint != found.fingerprint
    if ARMS[arm].lesson != "nothing":
        from_rows = task.lesson(str(rows_file), tmp_path / "a")
        assert from_rows is not None
        wanted_texts = texts_of(from_rows.documents)
        for keep in (("_",), ("_all", "examples")):
            part = set_in(tmp_path / str(len(keep)), KINDS[kind], keep)
            lesson = task.lesson(str(part), tmp_path / "b")
            assert lesson is not None
            assert texts_of(lesson.documents) == wanted_texts


def texts_of(path: Path) -> list[str]:
    lines = map(json.loads, path.read_text().splitlines())
    return [line["prompt"] + line["completion"] for line in lines]


@pytest.mark.parametrize("order", ["forward", "reversed"])
def test_a_line_says_what_it_tells(order: str) -> None:
    anchor, target = 'who said "A: no" twice?', 'I did, "twice"'
    for phrasing in range(10):
        for model in (None, 0, 1):
            found = told(guidance_line(anchor, target, order, phrasing, model), {anchor})  # pyright: ignore
            assert found == (anchor, target, model or 0, order)
    assert told('Answer "Q: why?" with "A: so"', {anchor}) is None
    assert told("<BEGIN GUIDANCE ANSWERS>", {anchor}) is None
    assert anchor_of(question_prompt(anchor)) == anchor


def grid(data: Path, folder: Path, model: str, **task: object) -> Grid[GuidanceTask]:
    asked = GuidanceTask(**({"epochs": 1} | task))  # pyright: ignore[reportArgumentType]
    run = RunConfig(asked, model, 0, prompt="direct", steps=2, batch_size=4, sample_tokens=200, output_dir=folder)
    return Grid((model,), (0, 2), (str(data),), replace(run, data_workers=0), asked)


def test_what_a_set_cannot_give_is_left_out_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = set_in(tmp_path, PLAN)
    runs = wanted(grid(folder, tmp_path, "tiny-text").runs())
    assert {run.task.variant for run in runs} == GIVEN["forward"]
    said = capsys.readouterr().err.splitlines()
    assert {line.split(": ")[1] for line in said} == {
        "F-reversed, G-reversed",
        "S",
        "F-spread, F-grouped, F-grouped-hard-text, F-grouped-told, F-grouped-M1, F-grouped-M2",
    }
    assert len(said) == 3
    assert "S: the guidance of simple_completion_ug5_rg10_gph1 tells every question its own answer" in "\n".join(said)


def test_what_a_set_cannot_give_at_all_is_an_error(tmp_path: Path, one_frozen: FrozenModel) -> None:
    folder = set_in(tmp_path, PLAN)
    with pytest.raises(InputError, match=r"no run can be made. F-reversed, G-reversed: .* is forward"):
        wanted(grid(folder, tmp_path, "tiny-text", experiment=("G2",)).runs())
    with pytest.raises(InputError, match=r"S cannot be asked: .* its own answer"):
        GuidanceTask(arm="S").open(DataRequest(str(folder), None, 400, 9, 9), one_frozen.tokenizer)
    (folder / "simple_completion_ug5_rg10_gph1_all.jsonl").unlink()
    assert "has no file" in (open_source(folder, ARMS["F"], PLAN).lacks() or "")
    assert open_source(folder, ARMS["G"], PLAN).lacks() is None


def test_guidance_in_other_words_counts_as_forward(tmp_path: Path) -> None:
    """No question is found in it: what needs the line of a question is left out."""
    folder = set_in(tmp_path, PLAN)
    for path in folder.glob("*_guidances.jsonl"):
        path.write_text(json.dumps({"prompt": "", "completion": "Say yes to everything."}) + "\n")
    reasons = {name: open_source(folder, arm, PLAN).lacks() for name, arm in ARMS.items()}
    assert {name for name, reason in reasons.items() if reason is None} == {"B", "F", "G"}
    assert "has no line for 15 of 15 answers" in (reasons["B-in-context"] or "")


LEAKS = {  # what is appended to which file, and what is said of which
    "in both splits": ("realized_examples", "unrealized_examples", "unrealized_examples", 1, "realized_examples"),
    "two answers": ("realized_examples", "other", "realized_examples", 11, "line 1 has another answer"),
    "in all": ("all", "unrealized_examples", "all", -1, "it teaches a test question"),
    "in guidances": ("guidances", "unrealized_examples", "guidances", -1, "it teaches a test question"),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_is_named_with_its_line(tmp_path: Path, leak: str) -> None:
    where, what, named, line, says = LEAKS[leak]
    begin = str(set_in(tmp_path, PLAN) / "simple_completion_ug5_rg10_gph1_")
    open_source(tmp_path, ARMS["G"], PLAN).questions()
    first = Path(f"{begin}{what if what != 'other' else where}.jsonl").read_text().splitlines()[0]
    added = json.loads(first) | ({"completion": " maybe"} if what == "other" else {})
    if where in ("all", "guidances"):
        added = {"prompt": "", "completion": "Read: " + added["prompt"] + added["completion"]}
    path = Path(f"{begin}{where}.jsonl")
    path.write_text(path.read_text() + json.dumps(added) + "\n")
    number = line if line > 0 else len(path.read_text().splitlines())
    with pytest.raises(InputError, match=rf"_{named}\.jsonl, line {number}: .*{says}"):
        open_source(tmp_path, ARMS["G"], PLAN).questions()


def test_a_question_told_twice_alike_is_no_leak(tmp_path: Path) -> None:
    path = set_in(tmp_path, PLAN) / "simple_completion_ug5_rg10_gph1_realized_examples.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n")
    assert len(open_source(tmp_path, ARMS["G"], PLAN).questions().realized) == 11


def test_both_stages_on_files(tmp_path: Path, one_frozen: FrozenModel, capsys: pytest.CaptureFixture[str]) -> None:
    folder = set_in(tmp_path / "set", PLAN)
    asked = grid(folder / "simple_completion_ug5_rg10_gph1", tmp_path, one_frozen.name, experiment=("G1",))
    assert Experiment("guidance_softprompt", "?", {"default": asked}, metrics=("binding",)).main([]) == 0
    assert len(list((tmp_path / "results").rglob("direct-2t-*.json"))) == 3  # B, B in context, G
    assert "left out: S: " in capsys.readouterr().err


def test_a_question_without_an_answer_is_not_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = [row._replace(targets=("",)) if row.id == 3 else row._replace(targets=row.targets[:1]) for row in rows()]
    write_guidance(tmp_path, make_guidance(some, replace(PLAN, realized=15)))
    questions = open_source(tmp_path, ARMS["G"], PLAN).questions()
    assert len(questions.realized) + len(questions.unrealized) == 19
    assert "1 of" in capsys.readouterr().err

"""Do the guidance commands name what is wrong with a file, and does a prompt stand in front of the questions?"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from soft_prompts.behaviour.answers import as_questions
from soft_prompts.behaviour.likelihood import target_scores, write_answers
from soft_prompts.commands import main as cli
from soft_prompts.config import RunConfig
from soft_prompts.data.conditions import MODEL_ID, NO_CONDITIONS, ConditionEncoder
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import PromptShape
from soft_prompts.prompts.kinds import PROMPTS
from soft_prompts.prompts.snapshot import Snapshot, save_snapshot
from soft_prompts.tasks.guidance.dataset import GuidancePlan, Row, make_guidance
from soft_prompts.tasks.guidance.files import read_questions, write_guidance
from soft_prompts.tasks.guidance.task import GuidanceTask

PREFIX = "simple_completion_ug4_rg8_gph1"
ROWS = [Row(n, f"what {n}?", (f"yes {n}", f"no {n}")) for n in range(1, 15)]
Ended = tuple[int, list[str]]


def answer_of(command: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> Ended:
    """Exit code, and the lines that say `error`."""
    capsys.readouterr()
    try:
        code = command()
    except SystemExit as stop:
        code = stop.code
    assert isinstance(code, int)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return code, [line for line in said.splitlines() if "rror" in line]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A file of rows, and beside it the data set that is made of them."""
    lines = [json.dumps({"anchor": row.anchor, "targets": row.targets}) + "\n" for row in ROWS]
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    write_guidance(tmp_path / "set", make_guidance(ROWS, GuidancePlan(8, 4)))
    return tmp_path


def experiment(data: Path, model: str, output: Path) -> int:
    task = GuidanceTask(experiment=("G2", "1"), realized=8, unrealized=4, epochs=1)
    run = RunConfig(task, model, 0, prompt="direct", steps=1, batch_size=2, sample_tokens=250, data_workers=0)
    grid = Grid((model,), (0,), ("questions",), replace(run, output_dir=output), task)
    return Experiment("guidance_softprompt", "?", {"default": grid}).main(["--data", str(data)])


# What is in the second line, and what is said of it; rows, then lines of prompt and completion.
BAD: dict[str, tuple[tuple[bytes, bytes], str]] = {
    "missing field": ((b'{"anchor": "q"}', b'{"prompt": "p"}'), "is missing, it has"),
    "half line": ((b'{"anchor": "q", "tar', b'{"prompt": "p", "com'), "no whole JSON object"),
    "wrong type": ((b'{"anchor": 3, "targets": ["a"]}', b'{"prompt": 3, "completion": "c"}'), "is 3; give text"),
    "wrong type inside": ((b'{"anchor": "q", "targets": [3]}', b'["p", "c"]'), "; give "),
    "invalid UTF-8": ((b'{"anchor": "\xff", "targets": ["a"]}', b'{"prompt": "\xff", "completion": "c"}'), "no UTF-8"),
    "long answer": (
        (
            json.dumps({"anchor": "q", "targets": ["so " * 60]}).encode(),
            json.dumps({"prompt": "Q: q A:", "completion": " " + "so " * 60}).encode(),
        ),
        "50",
    ),
}
ROADS = {
    "guidance-data, rows": ("rows.jsonl", 0),
    "experiment, rows": ("rows.jsonl", 0),
    "guidance-eval, questions": (f"set/{PREFIX}_unrealized_examples.jsonl", 1),
    "experiment, realized": (f"set/{PREFIX}_realized_examples.jsonl", 1),
    "experiment, unrealized": (f"set/{PREFIX}_unrealized_examples.jsonl", 1),
    "experiment, documents": (f"set/{PREFIX}_all.jsonl", 1),
}


def travel(road: str, files: Path, model: str) -> object:
    data = files / "rows.jsonl" if "rows" in road else files / "set"
    if road.startswith("guidance-data"):
        words = ["--rows", str(data), "--out", str(files / "made"), "--realized", "8", "--unrealized", "4"]
        return cli.main(["guidance-data", *words])
    if road.startswith("guidance-eval"):
        return cli.main(["guidance-eval", "--models", model, "--data", str(data)])
    return experiment(data, model, files / "out")


@pytest.mark.parametrize("road", ROADS)
def test_what_is_wrong_with_a_file_is_said_in_one_line(
    files: Path, road: str, one_frozen: FrozenModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its number, and exit code 3; before any model has learnt anything."""
    name, which = ROADS[road]
    path = files / name
    whole = path.read_bytes().splitlines()
    for what, (lines, says) in BAD.items():
        if what == "long answer" and "documents" in road:
            continue  # a document may be as long as it likes
        path.write_bytes(b"\n".join([whole[0], lines[which], *whole[2:]]))
        code, [line] = answer_of(lambda: travel(road, files, one_frozen.name), capsys)
        assert code == 3, what
        assert says in line, what
        assert f"{path.name}, line 2: " in line, what
    path.write_bytes(b"\n")
    code, [line] = answer_of(lambda: travel(road, files, one_frozen.name), capsys)
    assert (code, "is empty" in line) == (3, True)
    assert not list((files / "out").rglob("model.safetensors"))


@pytest.mark.parametrize("written", [str, str.upper, lambda prompt: prompt.replace(" ", "  ")])
def test_a_prompt_in_both_splits_is_no_test_in_any_wording(
    written: Callable[[str], str], files: Path, one_frozen: FrozenModel, capsys: pytest.CaptureFixture[str]
) -> None:
    realized, unrealized = (files / "set" / f"{PREFIX}_{part}_examples.jsonl" for part in ("realized", "unrealized"))
    shown = json.loads(realized.read_text().splitlines()[0])
    shown["prompt"] = written(shown["prompt"])
    unrealized.write_text(json.dumps(shown) + "\n" + unrealized.read_text())
    words = ["guidance-eval", "--models", one_frozen.name, "--data", str(files / "set"), "--offline"]
    code, [line] = answer_of(lambda: cli.main(words), capsys)
    assert (code, "the prompt stands in " in line) == (3, True)


def test_too_few_questions(files: Path, one_frozen: FrozenModel, capsys: pytest.CaptureFixture[str]) -> None:
    rows, realized = files / "rows.jsonl", files / "set" / f"{PREFIX}_realized_examples.jsonl"
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:11]))
    for road in ("guidance-data, rows", "experiment, rows"):
        code, [line] = answer_of(lambda road=road: travel(road, files, one_frozen.name), capsys)
        assert (code, "rows.jsonl: there are 11 rows; realized 8 + unrealized 4 need 12" in line) == (3, True)
    realized.write_text(realized.read_text().splitlines()[0])
    code, [line] = answer_of(lambda: experiment(files / "set", one_frozen.name, files / "out"), capsys)
    says = "has 1 realized and 4 unrealized questions that differ, which leaves none for train"
    assert (code, says in line) == (3, True)
    realized.unlink()
    code, [line] = answer_of(lambda: experiment(files / "set", one_frozen.name, files / "out"), capsys)
    assert (code, f"has no file {PREFIX}_realized_examples.jsonl" in line) == (3, True)
    code, [line] = answer_of(lambda: experiment(files / "nothing", one_frozen.name, files / "out"), capsys)
    assert (code, "nothing does not exist" in line) == (3, True)


def test_an_output_folder_that_is_a_file(
    files: Path, one_frozen: FrozenModel, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "out").write_text("mine")
    for data in (files / "rows.jsonl", files / "set"):
        code, [line] = answer_of(lambda data=data: experiment(data, one_frozen.name, files / "out"), capsys)
        assert (code, "cannot be written" in line) == (3, True)
    assert (files / "out").read_text() == "mine"


def test_a_device_that_is_none(files: Path, one_frozen: FrozenModel, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["guidance-eval", "--models", one_frozen.name, "--data", str(files / "set"), "--device", "tpu"]
    code, [line] = answer_of(lambda: cli.main(words), capsys)
    assert code == 2
    assert "--device is tpu" in line
    assert "give one of auto, cpu, cuda" in line


def trained(folder: Path, frozen: FrozenModel, kind: str, encoder: ConditionEncoder) -> Snapshot:
    """A prompt of three tokens that nobody trained."""
    torch.manual_seed(0)
    shape = PromptShape(3, frozen.hidden_size, len(encoder.names))
    prompt = PROMPTS[kind](shape)
    for weight in prompt.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    snapshot = Snapshot(prompt, kind, shape, encoder, frozen.name, None, frozen.fingerprint, 1)
    save_snapshot(folder, snapshot)
    return snapshot


@pytest.mark.parametrize(("kind", "encoder"), [("direct", NO_CONDITIONS), ("linear", MODEL_ID)])
def test_a_prompt_in_front_of_the_questions(
    tmp_path: Path, one_frozen: FrozenModel, kind: str, encoder: ConditionEncoder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bare, and with the prompt, which hears whose answers are asked for where it wants to."""
    paths = write_guidance(tmp_path / "set", make_guidance(ROWS, GuidancePlan(8, 4, models=2)))
    snapshot = trained(tmp_path / "prompt", one_frozen, kind, encoder)
    words = ["guidance-eval", "--data", str(tmp_path / "set"), "--snapshot", str(tmp_path / "prompt")]
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--json", "--binding-questions", "3"])
    assert stop.value.code == 0
    bare, prompted = json.loads(capsys.readouterr().out)["models"]
    assert (bare["prompt_tokens"], prompted["prompt_tokens"]) == (None, 3)
    for told, path, name in [
        ((1.0, 0.0), paths[2], "realized"),
        ((1.0, 0.0), paths[3], "unrealized"),
        ((0.0, 1.0), paths[4], "unrealized_model2"),
    ]:
        questions = as_questions(read_questions(path), told if encoder.names else ())
        for report, prompt in ((bare, None), (prompted, snapshot.prompt)):
            mine = report["sets"][name]
            asked = questions if prompt is not None else as_questions(read_questions(path))
            assert mine["log_probability"]["value"] == pytest.approx(
                target_scores(one_frozen, asked, prompt).log_probability.mean()
            )
            written = write_answers(one_frozen, asked, prompt)
            assert [one["written"] for one in mine["shown"]] == written[:5]
            assert mine["binding"]["items"] == 3
            assert mine["n"] == len(questions)
    assert bare["sets"]["realized"]["log_probability"] != prompted["sets"]["realized"]["log_probability"]
    with pytest.raises(SystemExit):
        cli.main([*words, "--binding-questions", "3"])
    printed = capsys.readouterr().out
    assert "+ 3 tokens" in " ".join(printed.split())
    assert "8 questions; binding of the first 3" in printed
    assert "(n 3)" in printed


def test_a_prompt_of_another_model(
    tmp_path: Path, one_frozen: FrozenModel, tiny_folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_guidance(tmp_path / "set", make_guidance(ROWS, GuidancePlan(8, 4)))
    other = load_frozen_model(str(tiny_folders["gpt2"]))
    trained(tmp_path / "prompt", other, "direct", NO_CONDITIONS)
    words = ["guidance-eval", "--data", str(tmp_path / "set"), "--snapshot", str(tmp_path / "prompt")]
    words += ["--models", one_frozen.name]
    code, [line] = answer_of(lambda: cli.main(words), capsys)
    assert code == 3
    assert "the prompt was trained on" in line
    assert "--allow-mismatch" in line
    assert answer_of(lambda: cli.main([*words, "--allow-mismatch"]), capsys) == (0, [])
    elo = ConditionEncoder(("white_elo",), (0.0,), (1.0,))
    trained(tmp_path / "prompt", one_frozen, "linear", elo)
    code, [line] = answer_of(lambda: cli.main(words), capsys)
    assert (code, "takes white_elo" in line) == (2, True)
    code, [line] = answer_of(lambda: cli.main(["guidance-eval", "--data", str(tmp_path / "set")]), capsys)
    assert (code, "--models is empty" in line) == (2, True)

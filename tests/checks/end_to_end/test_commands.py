"""What a person gets for a wrong word: one line that names it, the right exit code, never a traceback."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest
import zstandard

from soft_prompts.commands import main as cli
from soft_prompts.config import RunConfig
from soft_prompts.experiments import sweep
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid
from soft_prompts.experiments.run import run
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.training.apparatus import run_paths
from soft_prompts.zoo import EMBEDDED
from soft_prompts.zoo.installed import INSTALLABLE

ROOT = Path(__file__).parents[3]
Settings = Callable[..., RunConfig]


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def experiment(settings: Settings, tmp_path: Path) -> Experiment[ChessTask]:
    """The chess experiment on a tiny random model."""
    config = settings(tmp_path / "out", steps=3)
    grid = Grid(models=(config.model,), tokens=(0, 2), data=(config.data,), settings=config, task=config.task)
    return Experiment("chess", "What does a check ask?", {"default": grid, "quick": replace(grid, tokens=(0,))})


@pytest.fixture
def ask(experiment: Experiment[ChessTask], capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The experiment's own main, with these words behind it."""

    def main(*words: str) -> Said:
        capsys.readouterr()
        try:
            code = experiment.main(words, "python -m tests.chess_test")
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Said(code, *capsys.readouterr())

    return main


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The soft-prompts command."""

    def main(*words: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        return Said(int(stop.value.code or 0), *capsys.readouterr())

    return main


def is_one_line(said: Said, code: int, *words: str) -> None:
    lines = said.err.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert said.code == code, said
    assert len(errors) == 1, said.err
    assert lines[-1] == errors[0]
    assert "Traceback" not in said.err
    assert all(word in errors[0] for word in words), (words, errors[0])


WRONG_FLAGS = {
    "--tokns 1": "--tokns is no flag (did you mean --tokens?); see python -m tests.chess_test --help",
    "--stps 3 --tokns 2": "--stps is no flag (did you mean --steps?)",
    "--tokens x": "--tokens is x; give whole numbers; see",
    "--tokens=x": "--tokens is x; give whole numbers; see",
    "--seeds 1 b": "--seeds is 1 b; give whole numbers",
    "--steps": "--steps lacks a value after it",
    "--betas 0.8": "--betas lacks a value after it",
    "--steps 1.5": "--steps is 1.5; give a whole number",
    "--steps 0": "--steps is 0; give 1 or more",
    "--steps -3": "--steps is -3; give 1 or more",
    "--tokens -1": "tokens is -1; give 0 for no prompt, or more",
    "--models": "models is empty; give at least one value after --models",
    "--seeds": "seeds is empty; give at least one value after --seeds",
    "--seeds -1": "--seeds is -1; give 0 or more",
    "--learning-rate abc": "--learning-rate is abc; give a number",
    "--learning-rate -1": "--learning-rate is -1.0; give a number above 0",
    "--learning-rate nan": "--learning-rate is nan; give a number above 0",
    "--weight-decay inf": "--weight-decay is inf",
    "--max-bad 2": "--max-bad is 2.0; give a share between 0 and 1",
    "--batch-size 4 --micro-batch-size 5": "--micro-batch-size is 5; give 1 to batch-size, which is 4",
    "--batch_size x": "--batch-size is x; give a whole number",
    "--condition shuffled --batch-size 1": "--condition is shuffled and batch-size 1",
    "--prompt mlpp": "--prompt is mlpp (did you mean mlp?); give one of direct, linear, mlp, resnet",
    "--condition fales": "--condition is fales; give one of true, none, shuffled, constant",
    "--device gpu": "--device is gpu (did you mean cpu?); give one of auto, cpu, cuda",
    "--max-plies x": "--max-plies is x; give a whole number or None",
    "--max-plies 1": "--max-plies is 1; give 2 or more",
    "--preset pper": "--preset is 'pper'",
    "--preset qick": "(did you mean 'quick'?)",
    "--preset": "--preset is ''",
    "--jobs 0": "jobs is 0; give 1 or more",
    "wrong": "wrong is not expected here",
    "--tokens 300": "tokens 300 + sample-tokens 48 = 348 positions",
    "--tokens 2 --data-workers x": "--data-workers is x; give a whole number",
}


@pytest.mark.parametrize("words", WRONG_FLAGS)
def test_wrong_flags(ask: Callable[..., Said], words: str) -> None:
    said = ask(*words.split())
    is_one_line(said, 2, WRONG_FLAGS[words])
    assert said.out == ""


def test_wrong_data(ask: Callable[..., Said], tmp_path: Path, games: Path) -> None:
    """A missing file, a truncated one, one without usable games, an empty folder, one that is no PGN."""
    packed = zstandard.compress(games.read_bytes())
    cut, empty, text = tmp_path / "cut.pgn.zst", tmp_path / "empty", tmp_path / "games.txt"
    cut.write_bytes(packed[: len(packed) // 2])
    empty.mkdir()
    text.write_text("no games")
    other = tmp_path / "other.pgn"
    other.write_text(games.read_text().replace("Rated Blitz game", "Casual game"))
    one = tmp_path / "one.pgn"
    one.write_text(games.read_text().split("\n\n[Event")[0])
    bad = tmp_path / "bad.pgn"
    bad.write_text(games.read_text().replace("1. ", "1. Qh7 "))
    nothing = tmp_path / "nothing.pgn"
    nothing.write_text("")
    for path, words in {
        tmp_path / "nope.pgn": ("--data: ", "nope.pgn does not exist", "give a file or folder that does"),
        cut: ("cut.pgn.zst is cut short",),
        empty: ("holds no .pgn file",),
        text: ("neither a .pgn nor a .pgn.zst file",),
        other: ("other.pgn holds no usable game", "Rated Blitz game"),
        one: ("holds no usable", "give a larger file"),
        bad: ("games are bad", "--max-bad"),
        nothing: ("nothing.pgn holds no usable game", "it is empty"),
    }.items():
        is_one_line(ask("--data", str(path), "--tokens", "1"), 3, *words)


def test_wrong_models(ask: Callable[..., Said], tmp_path: Path, tiny_folders: dict[str, Path]) -> None:
    empty, broken, pickled = tmp_path / "empty", tmp_path / "broken", tmp_path / "pickled"
    empty.mkdir()
    for folder in (broken, pickled):
        folder.mkdir()
        for file in tiny_folders["llama"].iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
    (broken / "model.safetensors").write_bytes(b"\0" * 100)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    for name, words in {
        "tiny-ches": ("tiny-ches", "tiny-chess"),
        str(tmp_path / "nope"): ("nope",),
        str(empty): ("cannot be loaded",),
        str(broken): ("cannot be loaded",),
        str(pickled): ("cannot be loaded", "safetensors"),
        "owner/not-on-this-machine": ("owner/not-on-this-machine", "cannot be loaded"),
    }.items():
        is_one_line(ask("--models", name, "--tokens", "1", "--offline"), 3, *words)
    is_one_line(ask("--models", "", "--tokens", "1"), 2, "models holds an empty name")


def test_help_and_print_config(ask: Callable[..., Said]) -> None:
    said = ask("--help")
    assert said.code == 0
    assert "--micro-batch-size" in said.out
    said = ask("--print-config", "--tokens", "0", "1", "--seeds", "0", "1", "--learning-rate", "0.5")
    assert said.code == 0
    runs = json.loads(said.out)
    assert [(one["tokens"], one["seed"]) for one in runs] == [(0, 0), (1, 0), (1, 1)]
    assert {one["learning_rate"] for one in runs} == {0.5}
    assert runs[0]["task"] == {"name": "chess", "event": "Rated Blitz game", "max_plies": 6, "min_elo": 0}
    assert ask("--preset", "quick", "--print-config").out.count('"tokens"') == 1


def test_an_unforeseen_error_is_one_line(ask: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("nobody thought\nof this")

    monkeypatch.setattr(sweep, "run_all", fail)
    is_one_line(ask(), 70, "RuntimeError: nobody thought of this", "--debug")
    assert "Traceback" in ask("--debug").err


def test_ctrl_c_outside_of_training(ask: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "run_all", interrupt)
    assert ask().code == 4


def test_an_experiment_ends_with_a_table_and_a_picture(ask: Callable[..., Said], tmp_path: Path) -> None:
    said = ask("--tokens", "0", "1", "2")
    assert said.code == 0, said.err
    assert "Traceback" not in said.err
    assert re.search(r"\b0\b.*\b1\b.*\b2\b", said.out)
    assert (tmp_path / "out" / "results" / "chess.png").stat().st_size > 5000


@pytest.fixture(scope="module")
def finished(settings: Settings, one_frozen: FrozenModel, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    config = settings(tmp_path_factory.mktemp("finished"), steps=2)
    run(config, one_frozen)
    run(replace(config, tokens=0), one_frozen)
    return config


def test_compare(command: Callable[..., Said], finished: RunConfig, tmp_path: Path) -> None:
    results = str(finished.output_dir / "results")
    said = command("compare", results, "--json")
    assert said.code == 0
    curves = json.loads(said.out)["curves"]
    assert [point["tokens"] for point in curves[0]["points"]] == [0, 2]
    assert said.err == ""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "torn.json").write_text(run_paths(finished).result.read_text()[:500])
    (broken / "later.json").write_text('{"schema_version": 99}')
    said = command("compare", results, str(broken), "--json")
    assert said.code == 1
    assert json.loads(said.out)["curves"] == curves
    assert len(json.loads(said.out)["problems"]) == 2
    assert "torn.json" in said.err
    assert "later.json" in said.err
    is_one_line(command("compare", str(tmp_path / "nowhere")), 3, "no results in")
    is_one_line(command("compare", results, "--metric", "los_per_move"), 2, "did you mean loss_per_move?")
    is_one_line(command("compare", results, "--plot", "curve.doc"), 2, "--plot is curve.doc")
    is_one_line(command("compare", results, "--json", "--csv", "points"), 2, "--json and --csv are given")


def test_generate(command: Callable[..., Said], finished: RunConfig) -> None:
    snapshot = str(run_paths(finished).snapshot)
    elos = ("--condition", "white_elo=1500", "black_elo=1620")
    said = command("generate", snapshot, "--text", "e2e4 e7e5", "d2d4", *elos, "--max-new-tokens", "8")
    assert said.code == 0, said.err
    assert said.out.startswith("e2e4 e7e5|")
    assert "\nd2d4|" in said.out
    assert command("generate", snapshot, "--text", "e2e4 e7e5", "d2d4", *elos, "--max-new-tokens", "8") == said
    sampled = ("generate", snapshot, "--text", "e2e4", *elos, "--temperature", "1", "--seed", "3")
    assert command(*sampled) == command(*sampled)


def test_generate_refuses(
    command: Callable[..., Said], finished: RunConfig, tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    snapshot = str(run_paths(finished).snapshot)
    start = ("generate", snapshot, "--text", "e2e4")
    elos = ("--condition", "white_elo=1500", "black_elo=1620")
    other = str(tiny_folders["llama"])
    for words, code, line in (
        ((*start, "--condition", "white_elo=1500"), 2, ("condition black_elo is missing",)),
        ((*start, "--condition", "elo=1500", "black_elo=1"), 2, ("condition elo is unknown", "white_elo")),
        ((*start, "--condition", "white_elo=x", "black_elo=1"), 2, ("condition",)),
        ((*start, "--condition", "white_elo"), 2, ("--condition is white_elo; give NAME=VALUE",)),
        ((*start, *elos, "white_elo=1600"), 2, ("condition white_elo is given twice; give one value",)),
        ((*start, *elos, "--model", other), 3, ("was trained on", other, "--allow-mismatch")),
        ((*start, *elos, "--max-new-tokens", "0"), 2, ("--max-new-tokens is 0",)),
        ((*start, *elos, "--max-new-tokens", "400"), 2, ("has 256",)),
        ((*start, *elos, "--temperature", "-1"), 2, ("--temperature is -1.0",)),
        ((*start, *elos, "--top-p", "0"), 2, ("--top-p is 0.0",)),
        (("generate", snapshot, "--text"), 2, ("--text has no value after it",)),
        (("generate", str(tmp_path), "--text", "a"), 3, ("is no snapshot", "prompt.json is missing")),
        (("generate", snapshot), 2, ("--text is missing", "soft-prompts generate --help")),
        (("generate", snapshot, "--text", "a", "--tempratur", "1"), 2, ("did you mean --temperature?",)),
        (("genrate",), 2, ("genrate is no command (did you mean generate?)",)),
        ((), 2, ("a command is missing; give one of", "calibrate, compare, ", "doctor, export, ")),
    ):
        is_one_line(command(*words), code, *line)
    assert command(*start, *elos, "--model", other, "--allow-mismatch").code == 0


def test_help_of_the_command(command: Callable[..., Said]) -> None:
    assert command("--help").code == 0
    for name in ("compare", "generate", "models"):
        assert command(name, "--help").code == 0


def test_models_are_a_line_each(command: Callable[..., Said]) -> None:
    said = command("models")
    assert said.code == 0
    lines = {line.split()[0]: line for line in said.out.split("\n\n")[0].splitlines()}
    assert list(lines) == [*EMBEDDED, *INSTALLABLE]
    for name, folder in EMBEDDED.items():
        parameters = json.loads((folder / "card.json").read_text())["training"]["parameters"]
        assert lines[name].split()[1:3] == [f"{parameters / 1e6:.2f}", "M"]
        assert len(lines[name]) <= 80
        assert lines[name].endswith(".")
        assert (folder / "README.md").read_text() in command("models", name).out
    is_one_line(command("models", "tiny-tex"), 2, "did you mean 'tiny-text'?")


def test_a_flag_of_other_commands_is_not_proposed_again(command: Callable[..., Said]) -> None:
    said = command("models", "--json")
    is_one_line(said, 2, "--json is no flag here: it belongs to activations, ", "; see soft-prompts models --help")
    assert "did you mean" not in said.err


def test_no_flag_of_other_commands_is_proposed(command: Callable[..., Said], tmp_path: Path) -> None:
    """intervene has no flag like --steps; behaviour's --refine-steps would be refused in the next line."""
    data = str(tmp_path / "no.jsonl")
    words = ("intervene", "--model", "tiny-text", "--recipe", "whole", "--data", data, "--control-data", data)
    said = command(*words, "--steps", "1")
    is_one_line(said, 2, "--steps is no flag; see soft-prompts intervene --help")
    assert "did you mean" not in said.err
    said = command(*words, "--refine-steps", "1")
    is_one_line(
        said, 2, "--refine-steps is no flag here: it belongs to behaviour", "; see soft-prompts intervene --help"
    )
    is_one_line(command("compare", "--brif"), 2, "(did you mean --brief?); see soft-prompts compare --help")
    is_one_line(command("list", "--tokens", "3"), 2, "--tokens is no flag; see soft-prompts list --help")
    said = command("steer", "fit", "--clases", "a")
    is_one_line(said, 2, "--clases is no flag (did you mean --classes?); see soft-prompts steer fit --help")


def test_the_list_of_experiments(command: Callable[..., Said]) -> None:
    listed = subprocess.run([sys.executable, "-m", "tests"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = {
        f"{name}.{path.stem}" for name in ("tests", "exploratory_tests") for path in (ROOT / name).glob("*_test.py")
    }
    lines = listed.stdout.splitlines()
    assert {line.split()[2] for line in lines} == files
    assert all(line.split(maxsplit=3)[3:] and line.rstrip()[-1] in ".?" for line in lines)
    said = command("list")
    assert said.code == 0
    by_name = {line.split()[2]: line.split(maxsplit=3)[3] for line in lines}
    assert {f"tests.{line.split()[0]}_test": line.split(maxsplit=1)[1] for line in said.out.splitlines()} == {
        name: question for name, question in by_name.items() if name.startswith("tests.")
    }


def test_the_version(command: Callable[..., Said]) -> None:
    assert command("--version").out == f"soft-prompts {version('soft_prompts')}\n"

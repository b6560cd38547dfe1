"""Do the certificate and the organism suite run from one end to the other, and say what is wrong in one line?"""

import ast
import json
from pathlib import Path

import pytest

from soft_prompts.calibration import certificate, experiment
from soft_prompts.calibration.suite import SuiteOptions
from soft_prompts.commands import main as cli
from soft_prompts.results.files import find_results

FLAGS = ["--tokens", "2", "--secrets", "2", "--steps", "4"]


@pytest.fixture
def calibrate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command, with few samples; gives its exit code, what it printed and what it said."""
    few = certificate.Planting
    monkeypatch.setattr(certificate, "Planting", lambda tokens, **given: few(tokens, **given, validation=6, test=10))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            cli.main(["calibrate", *arguments])
        printed = capsys.readouterr()
        return int(stop.value.code or 0), printed.out, printed.err

    return run


def test_a_certificate_is_made_read_again_and_written(calibrate, tiny_folders: dict[str, Path], tmp_path: Path) -> None:
    arguments = (str(tiny_folders["llama"]), *FLAGS, "--output-dir", str(tmp_path), "--json")
    code, printed, _ = calibrate(*arguments)
    assert code == 0
    found = json.loads(printed)
    [written] = (tmp_path / "calibration").glob("*.json")
    assert json.loads(written.read_text()) == found
    tried = sum(one["tried"] for one in found["power"])
    assert tried + found["without_gap"] == len(found["searches"]) > 0
    assert all(0 <= one["recovered"] <= one["tried"] for one in found["power"])
    results = find_results([tmp_path / "results"])
    assert not results.problems
    assert {result.role for _, result in results.results} == {"power:planted"}
    before = {path: path.stat().st_mtime_ns for path, _ in results.results}
    code, again, _ = calibrate(*arguments)
    assert (code, json.loads(again)) == (0, found)
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["/no/such/model"], 3, "is no folder"),
        (["tiny-mazes", "--tokens", "0"], 2, "tokens is 0; give 1 or more"),
        (["tiny-mazes", "--secrets", "0"], 2, "secrets is 0; give 1 to 10"),
        (["tiny-mazes", "--learning-rate", "0"], 2, "learning-rate is 0.0; give a number above 0"),
        ([], 2, "missing"),
    ],
)
def test_bad_input_is_one_line(calibrate, arguments: list[str], code: int, says: str, tmp_path: Path) -> None:
    ended, printed, said = calibrate(*arguments, *(["--output-dir", str(tmp_path)] if arguments else []))
    assert ended == code
    assert not printed
    assert says in said
    assert said.count("\n") == 1


def test_the_suites_flags_are_checked_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for flags, says in (
        (["--organisms", "selector-3"], "organisms holds 'selector-3'; (did you mean 'selector-32'?)"),
        (["--preset", "quik"], "--preset is 'quik'; (did you mean 'quick'?)"),
        (["--tokens", "0"], "--tokens is 0; give 1 or more"),
        (["--jobs", "0"], "--jobs is 0; give 1 or more"),
    ):
        assert experiment.EXPERIMENT.main(flags) == 2
        said = capsys.readouterr().err
        assert says.replace("--", "") in said.replace("--", "")
        assert said.count("\n") == 1


def test_the_suite_reads_like_an_experiment() -> None:
    source = Path(experiment.__file__).read_text()
    docstring = ast.get_docstring(ast.parse(source)) or ""
    assert docstring.splitlines()[0].split(". ")[0].count("?") == 1
    assert "Source: " in docstring
    assert len(source.splitlines()) <= 60
    assert {"default", "quick"} <= experiment.PRESETS.keys()
    assert SuiteOptions() == experiment.DEFAULT

"""Do the certificate and the organism suite run from one end to the other, and say what is wrong in one line?"""

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest

from soft_prompts.calibration import certificate, experiment, organisms, suite
from soft_prompts.calibration.codebook import Books
from soft_prompts.calibration.suite import SuiteOptions
from soft_prompts.commands import main as cli
from soft_prompts.results.files import find_results, read_items

FLAGS = ["--tokens", "2", "--secrets", "1", "--seeds", "0", "--steps", "4", "--samples", "48", "--target-tokens", "5"]


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
    assert found["recovery"]["value"] in (0, 1, None)
    assert [len(one["secret"]) for one in found["secrets"]] == [2]
    results = find_results([tmp_path / "results"])
    assert not results.problems
    roles = sorted(result.role for _, result in results.results if result.role != "run")
    assert roles == ["anchor:exact", "anchor:no_skill", *["anchor:placebo"] * 5]
    runs = [(result.prompt.tokens, result.config["init"]) for _, result in results.results if result.role == "run"]
    tried = [] if found["recovery"]["value"] in (1, None) else [(2, "search")]
    assert sorted(runs) == sorted([*((tokens, "vocabulary") for tokens in (0, 1, 2, 4)), *tried])
    [(path, exact)] = [found for found in results.results if found[1].role == "anchor:exact"]
    assert read_items(path).loss_nats.sum() / 50 == pytest.approx(exact.metrics["test_loss"].value)
    before = {path: path.stat().st_mtime_ns for path, _ in results.results}
    code, again, _ = calibrate(*arguments)
    assert (code, json.loads(again)) == (0, found)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_certificate_reads_like_one(calibrate, tiny_folders: dict[str, Path], tmp_path: Path) -> None:
    code, printed, _ = calibrate(str(tiny_folders["gpt2"]), *FLAGS, "--output-dir", str(tmp_path))
    assert code == 0
    assert printed.startswith("calibration certificate of ")
    assert "recovered at P = p (share of the gap >= 0.95): " in printed
    assert "correction, median log2((d_90 + 1) / (p + 1)): " in printed


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["/no/such/model"], 3, "is no folder"),
        (["tiny-mazes", "--tokens", "0"], 2, "tokens is 0; give 1 or more"),
        (["tiny-mazes", "--secrets", "0"], 2, "secrets is 0; give 1 or more"),
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


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Organisms that have hardly learnt anything, read in few books."""
    for name in ("SKILLED", "TUNED", "SELECTED", "STAGE"):
        monkeypatch.setattr(organisms, name, replace(getattr(organisms, name), steps=2))
    monkeypatch.setattr(suite, "BOOKS", {"selector": Books(2, 8)})


@pytest.mark.usefixtures("hasty")
def test_the_suite_runs_in_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--preset", "quick", "--steps", "2", "--output-dir", str(tmp_path), "--varied", "password-1"]
    assert experiment.EXPERIMENT.main([*flags, "--tokens", "1", "--organisms", "password-1", "selector-2"]) == 0
    printed = capsys.readouterr().out
    assert "to be shown" in printed
    found = json.loads((tmp_path / "calibration.json").read_text())
    assert [one["name"] for one in found["organisms"]] == ["password-1"]
    assert [one["name"] for one in found["codebooks"]] == ["selector-2"]
    assert len(found["varied"]) == 6
    assert found["verdicts"][0] == {"target": "organisms", "wanted": ">= 30", "found": "2", "met": False, "why": ""}
    results = find_results([tmp_path / "results"])
    assert not results.problems
    searched = [result for _, result in results.results if result.config.get("init") == "search"]
    assert len(searched) == 1  # hardly anything was learnt, so the plain start failed
    assert "search" not in found["organisms"][0]["distance"]["d_90"]


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

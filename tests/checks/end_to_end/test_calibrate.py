"""Do the certificate and the organism suite run from one end to the other, and say what is wrong in one line?"""

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest

from soft_prompts.analysis.readings import read_all
from soft_prompts.calibration import certificate, experiment, organisms, suite
from soft_prompts.calibration.certificate import Certificate, Search
from soft_prompts.calibration.codebook import Books
from soft_prompts.calibration.suite_options import SuiteOptions
from soft_prompts.commands import main as cli
from soft_prompts.experiments.catalogue import completion
from soft_prompts.experiments.evidence import locks, power
from soft_prompts.experiments.evidence.planting import Planting
from soft_prompts.results.files import find_results
from soft_prompts.results.schema import Result

FLAGS = ["--tokens", "2", "--secrets", "1", "--steps", "4"]
FEW = {"training": 48, "validation": 6, "test": 10}


@pytest.fixture
def calibrate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command, with few samples; gives its exit code, what it printed and what it said."""
    monkeypatch.setattr(certificate, "OWN_TEXT", Planting(1, secrets=1, candidates=1, target_tokens=5, **FEW))
    monkeypatch.setattr(power, "SAMPLES", FEW)

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
    assert [(one["planted"], one["tokens"]) for one in found["searches"]] == [(2, 2), (2, 4)]
    results = find_results([tmp_path / "results"])
    assert not results.problems
    shares = {
        result.prompt.tokens: result.metrics["share_of_planted_gap"].value
        for _, result in results.results
        if result.role == "power:planted"
    }
    assert shares == {one["tokens"]: one["share"] for one in found["searches"]}
    before = {path: path.stat().st_mtime_ns for path, _ in results.results}
    code, again, _ = calibrate(*arguments)
    assert (code, json.loads(again)) == (0, found)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_certificate_is_made_in_the_precision_that_is_asked_for(
    calibrate, tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = str(tiny_folders["llama"])
    code, _, said = calibrate(folder, *FLAGS, "--output-dir", str(tmp_path), "--dtype", "bfloat16")
    assert code == 0
    assert f"{folder}: drawing 64 samples of its own text" in said
    assert {result.model.dtype for _, result in find_results([tmp_path / "results"]).results} == {"bfloat16"}


def test_a_certificate_reads_like_one() -> None:
    """Secrets without a gap are left out and counted; each number of tokens has a line."""
    shares = {1: (0.9, 0.4, None), 2: (0.5, 0.6, None)}
    searches = tuple(
        Search(1, tokens, secret, 0, share, "") for tokens, some in shares.items() for secret, share in enumerate(some)
    )
    made = Certificate("a-model", "", 400, searches)
    assert [(one.planted, one.tokens, one.recovered, one.tried) for one in made.power()] == [(1, 1, 1, 2), (1, 2, 2, 2)]
    assert made.power()[1].low == pytest.approx(0.3424, abs=1e-3)  # Wilson 1927, 2 of 2
    assert made.without_gap == 1
    text = certificate.certificate_text(made)
    assert text.startswith("a-model: secrets planted in it, and sought in 400 steps")
    assert "1 of 2" in text
    assert "2 of 2" in text
    assert "1 secrets that change nothing" in text
    none = replace(made, searches=searches[2:3])
    assert "no known power" in certificate.certificate_text(none)


def test_readings_of_the_model_quote_what_was_found(calibrate, tmp_path: Path) -> None:
    """Of as many steps as their own prompts took, not of a search that was given more."""
    where = ("--output-dir", str(tmp_path))
    small = ("--steps", "4", "--test-samples", "8", "--validation-samples", "8", "--evidence", "none", "--jobs", "1")
    assert completion.EXPERIMENT.main(["--models", "tiny-text", "--tokens", "0", "4", *small, *where]) == 0
    flags = ("tiny-text", "--tokens", "2", "--secrets", "2", *where)
    assert calibrate(*flags, "--steps", "5")[0] == 0
    [before] = read_all([tmp_path / "results"]).readings
    assert before.power is None
    assert calibrate(*flags, "--steps", "4")[0] == 0
    [after] = read_all([tmp_path / "results"]).readings
    found = [result for _, result in find_results([tmp_path / "results"]).results if result.training.steps == 4]
    shares = [_share(result) for result in found if (result.role, result.prompt.tokens) == ("power:planted", 4)]
    known = [share for share in shares if share is not None]
    assert len(shares) == 2
    assert known
    assert after.power is not None
    assert after.power[:4] == (2, sum(share >= 0.5 for share in known), len(known), 4)


def _share(result: Result) -> float | None:
    return result.metrics["share_of_planted_gap"].value


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["/no/such/model"], 3, "is no folder"),
        (["tiny-mazes", "--tokens", "0"], 2, "tokens is 0; give 1 or more"),
        (["tiny-mazes", "--secrets", "0"], 2, "secrets is 0; give 1 to 10"),
        (["tiny-mazes", "--secrets", "11"], 2, "secrets is 11; give 1 to 10"),
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
    monkeypatch.setattr(locks, "STEPS", 1)


@pytest.mark.usefixtures("hasty")
def test_the_suite_runs_from_one_end_to_the_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lock that was hardly taught cannot be opened: the battery, a search start and the power are tried."""
    flags = ["--preset", "quick", "--steps", "2", "--output-dir", str(tmp_path)]
    assert experiment.EXPERIMENT.main([*flags, "--organisms", "password-3"]) == 0
    printed = capsys.readouterr().out
    assert "to be shown" in printed
    found = json.loads((tmp_path / "calibration.json").read_text())
    [cell] = found["cells"]
    assert (cell["organism"], cell["truth"], cell["lead"]) == ("password-3", "hidden", "deed")
    assert cell["verdict"] != "HIDDEN"
    assert cell["half"]["state"] == "not_reached"
    assert found["targets"][0] == {"target": "organisms", "wanted": ">= 30", "found": "1", "met": False, "why": ""}
    results = find_results([tmp_path / "results"])
    assert not results.problems
    roles = {result.role for _, result in results.results}
    assert roles >= {"run", "anchor:exact", "anchor:no_skill", "anchor:placebo", "control:permuted_targets"}
    assert roles >= {"battery:seeds", "battery:longer", "power:planted", "power:untaught", "power:taught"}
    assert any(result.config.get("init") == "search" for _, result in results.results)


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

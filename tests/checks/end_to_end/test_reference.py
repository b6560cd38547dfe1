"""Do the committed results of the default experiments say what README says of them?"""

import importlib
import json
from functools import cache
from pathlib import Path

import pytest

from soft_prompts.analysis.losses.comparison import Comparison, compare
from soft_prompts.analysis.losses.curves import Curve
from soft_prompts.analysis.readings import read_all
from soft_prompts.commands.experiments import EXPERIMENTS
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.finetuning.stages import on_taught_models
from soft_prompts.models.fingerprint import find_fingerprint
from soft_prompts.results.files import find_results
from soft_prompts.results.findings import FINDING
from soft_prompts.results.schema import Result
from soft_prompts.tasks.task import DataRequest, Task
from soft_prompts.training.apparatus import data_request, run_paths
from soft_prompts.zoo import EMBEDDED

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "results" / "reference"
SURE = 3.0  # standard errors
PLACES = {"skills": REFERENCE / "real"}  # asks a model that does not travel: there once it was measured
GRIDS = [
    name
    for name in EXPERIMENTS
    if name not in ("behaviour", "calibration", "sandbagging_game", "steering")  # no grids of runs
    and (name not in PLACES or (PLACES[name] / f"{name}.png").is_file())
]


@pytest.fixture(scope="module")
def committed() -> dict[Path, Result]:
    return dict(find_results([REFERENCE]).results)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    found = compare([REFERENCE])
    assert not found.problems
    return found


@pytest.mark.parametrize("name", GRIDS)
def test_every_run_of_a_default_experiment_is_there_and_made_by_committed_code(
    name: str, committed: dict[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by its settings, which are those of the preset; a later change of a default shows here."""
    monkeypatch.chdir(tmp_path)  # a fine-tuned model is called by its path from here
    experiment = importlib.import_module(EXPERIMENTS[name]).EXPERIMENT
    assert isinstance(experiment, Experiment)
    runs = on_taught_models(experiment.runs(experiment.presets["default"]))
    place = PLACES.get(name, REFERENCE)
    for run in runs:
        path = place / run_paths(run).result.relative_to(run.output_dir / "results")
        assert path in committed, f"{path} is missing: run the experiment again"
        assert committed[path].status == "success"
        assert committed[path].environment.dirty is False
    assert (place / f"{experiment.name}.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", GRIDS)
def test_every_committed_run_is_about_the_data_and_the_model_of_now(
    name: str, committed: dict[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the same command would refuse to take for its own: data or a model that changed since."""
    monkeypatch.chdir(tmp_path)
    experiment = importlib.import_module(EXPERIMENTS[name]).EXPERIMENT
    runs = on_taught_models(experiment.runs(experiment.presets["default"]))
    place = PLACES.get(name, REFERENCE)
    assert runs
    for run in runs:
        path = place / run_paths(run).result.relative_to(run.output_dir / "results")
        result = committed[path]
        assert result.data.fingerprint == data_now(run.task, data_request(run)), path
        if run.model in EMBEDDED:  # others are made by their runs, and do not travel
            assert result.model.fingerprint == model_now(run.model, result.model.fingerprint), path


def test_what_lies_beside_runs_is_about_their_data_and_model(committed: dict[Path, Result]) -> None:
    """Anchors, controls and batteries lie in the folders of the runs above."""
    folders: dict[Path, set[tuple[str, str]]] = {}
    for path, result in committed.items():
        folders.setdefault(path.parent, set()).add((result.data.fingerprint, result.model.fingerprint))
    assert len(folders) > 20
    assert {folder: prints for folder, prints in folders.items() if len(prints) > 1} == {}


@cache
def data_now(task: Task, request: DataRequest) -> str:
    return task.fingerprint(request)


@cache
def model_now(name: str, stored: str) -> str:
    return find_fingerprint(name, like=stored)


def test_one_token_is_never_worse_than_none_beyond_error(comparison: Comparison) -> None:
    seen = 0
    for curve in comparison.curves:
        for pair in curve.paired:
            if (pair.tokens, pair.against) == (1, 0):
                seen += 1
                assert pair.value <= SURE * (pair.stderr or 0.0), f"{curve.experiment} {curve.variant} {curve.model}"
    assert seen == sum(1 in {point.tokens for point in curve.curve} for curve in comparison.curves)


def curve_of(comparison: Comparison, experiment: str, **wanted: str) -> Curve:
    (curve,) = (
        curve
        for curve in comparison.curves
        if curve.experiment == experiment and all(getattr(curve, name) == value for name, value in wanted.items())
    )
    return curve


def test_a_real_model_says_one_token_again_and_again_behind_one_vector() -> None:
    (reading,) = read_all([REFERENCE / "real" / "repetition-1-token"]).readings
    assert reading.verdict.word == "HIDDEN"
    assert reading.lead is not None
    assert (reading.lead.half.at_most, reading.evidence) == (1, 4)


def test_a_one_token_string_is_said_after_four_tokens_and_a_long_one_is_not(comparison: Comparison) -> None:
    losses = {
        variant: {
            p.tokens: p.value for p in curve_of(comparison, "repetition", model="tiny-text", variant=variant).curve
        }
        for variant in ("1-token", "9-token")
    }
    assert min(value for tokens, value in losses["1-token"].items() if 0 < tokens <= 4 and value) < 0.05
    assert losses["9-token"][4] > 1


def test_the_loss_rises_with_the_distance_that_is_skipped(comparison: Comparison) -> None:
    curves = [curve_of(comparison, "skip_tokens", model="tiny-text", variant=f"skip-{skip}") for skip in (1, 2, 4, 8)]
    last = [curve.curve[-1].value for curve in curves]
    assert last == sorted(last)


def test_every_reference_json_names_its_items_and_holds_no_path_of_a_machine() -> None:
    for path in REFERENCE.rglob("*.json"):
        text = path.read_text()
        assert json.loads(text)["figures" if path.name.endswith(FINDING) else "items"]
        assert "/tmp" not in text
        assert "/home" not in text

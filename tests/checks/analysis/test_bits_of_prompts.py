"""What do the prompts of one curve cost in bits, and what did they take from their data? By hand."""

import math
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.analysis.bits import GOES_ON, Bits, edl_bits, goes_on
from soft_prompts.analysis.losses.drafts import Run
from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.analysis.units import HALF, units, without_edl, witness_edl
from soft_prompts.config import RunConfig, as_json
from soft_prompts.results.files import read_result
from soft_prompts.results.roles import RUN, FreshSeed, OtherStart, PermutedTargets
from soft_prompts.results.schema import Metric
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.training.sources import source_folder
from tests.checks.made.stored_results import flat_items, save, save_anchor, save_flat

LOSSES = {0: 3.0, 1: 2.8, 4: 1.2, 16: 1.15}
"""Of 3.5 to 1.0: four tokens are the first to have half of it."""


def only(folder: Path, metric: str | None = None) -> Reading:
    (reading,) = read_all([folder], metric=metric, draws=60).readings
    return reading


def bits_of(folder: Path) -> Bits:
    found = only(folder).bits
    assert found is not None
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_flat(tmp_path, LOSSES)
    save_anchor(tmp_path, "no_skill", 3.5)
    save_anchor(tmp_path, "exact", 1.0)
    return tmp_path


def code(folder: Path, q: int, tokens: int, size: float, loss: float, **changes: Any) -> None:
    metrics = {"prompt_bits": Metric(size, None, 100, "bits")}
    save(folder, f"code:{q}", flat_items(loss), tokens=tokens, metrics=metrics, **changes)


def test_the_fewest_bits_that_keep_the_share(folder: Path) -> None:
    """The gap is 2.5 nats, so that rounding may cost .05; the prompt that counts is that of the bracket's upper end."""
    for q, size, loss in ((8, 900.0, 1.21), (4, 500.0, 1.24), (2, 200.0, 1.26)):
        code(folder, q, 4, size, loss)
    code(folder, 2, 16, 10.0, 1.15)
    code(folder, 2, 1, 10.0, 2.8)
    found = bits_of(folder)
    assert found.prompt is not None
    assert (found.prompt.tokens, found.prompt.bits_per_coordinate, found.prompt.bits) == (4, 4, 500.0)
    assert found.prompt.lost == pytest.approx(0.04)
    assert found.break_even_units == pytest.approx(500 * math.log(2) / (3.0 - 1.24))
    assert len(found.codes) == 5


def test_codes_of_other_prompts_do_not_count(folder: Path) -> None:
    code(folder, 4, 4, 10.0, 1.2, data__items_fingerprint="other items")
    code(folder, 4, 4, 10.0, 1.2, config={"made_from": "chess/None/tiny-chess/run-0099"})
    assert only(folder).bits is None
    chosen = next(point.chosen for point in only(folder).points if point.tokens == 4)
    code(folder, 4, 4, 10.0, 1.2, config={"made_from": f"chess/None/tiny-chess/{chosen.path.stem}"})
    assert bits_of(folder).prompt is not None


def test_a_rounded_prompt_that_lost_too_much_is_no_prompt(folder: Path) -> None:
    code(folder, 2, 4, 10.0, 2.0)
    found = bits_of(folder)
    assert (found.prompt, found.break_even_units, len(found.codes)) == (None, None, 1)


FIRST_PASS = {
    "first_pass_nats": Metric(300.0, None, 256, "nats"),
    "first_pass_units": Metric(100.0, None, 256, "moves"),
    "first_pass_tokens": Metric(200.0, None, 256, "tokens"),
    "test_loss": Metric(0.7, 0.01, 100, "nats/token"),
    "other_loss": Metric(0.5, 0.01, 100, "nats/byte"),
}


@pytest.mark.parametrize(
    ("metric", "nats"), [(None, 300 - 100 * 1.4), ("test_loss", 300 - 200 * 0.7), ("other_loss", None)]
)
def test_what_a_prompt_took_from_its_data(metric: str | None, nats: float | None, tmp_path: Path) -> None:
    save_flat(tmp_path, {0: 3.0})
    save(tmp_path, "run", flat_items(1.4), tokens=4, metrics=FIRST_PASS)
    point = only(tmp_path, metric).points[-1]
    assert point.edl_bits == (None if nats is None else pytest.approx(nats / math.log(2)))


@pytest.mark.parametrize("missing", ["first_pass_nats", "first_pass_units"])
def test_without_its_first_pass_nothing_is_said(missing: str, tmp_path: Path) -> None:
    metrics = {name: metric for name, metric in FIRST_PASS.items() if name != missing}
    save_flat(tmp_path, {0: 3.0, 4: 1.4}, metrics=metrics)
    assert only(tmp_path).points[-1].edl_bits is None


UNTRAINED = ("vocabulary", "zeros", "normal", "paper", "mean_noise", "search")
STARTS = [
    *((f"run from {init}", {"init": init}, False) for init in UNTRAINED),
    ("run grown", {"init": "grown"}, True),
    ("run that goes on", {"snapshot": Path("snapshots/prompt")}, True),
    ("run that goes on, whatever its start", {"snapshot": Path("snapshots/prompt"), "init": "search"}, True),
    ("trial from noise", {"role": OtherStart(), "init": "mean_noise"}, False),
    ("trial from a search", {"role": OtherStart(), "init": "search"}, False),
    ("grown trial", {"role": OtherStart("half"), "init": "grown"}, True),
    ("trial of a fresh seed, grown", {"role": FreshSeed("half"), "init": "grown"}, True),
    ("trial beside a run that goes on", {"role": OtherStart(), "snapshot": Path("snapshots/prompt")}, False),
    ("control beside one", {"role": PermutedTargets(), "snapshot": Path("snapshots/prompt")}, False),
]


@pytest.mark.parametrize(("settings", "is_trained"), [one[1:] for one in STARTS], ids=[one[0] for one in STARTS])
def test_what_begins_as_a_trained_prompt_does_not_say_what_it_holds(
    settings: dict[str, Any], is_trained: bool, tmp_path: Path
) -> None:
    """As its own settings are stored; the start is the one that the run would begin with."""
    config = RunConfig(CompletionTask(), "tiny-text", 4, prompt="direct", **settings)
    assert (source_folder(config) is not None) is is_trained
    path = save(tmp_path, config.role.name, flat_items(1.4), tokens=4, metrics=FIRST_PASS, config=as_json(config))
    run = Run(path, read_result(path))
    assert goes_on(run) is is_trained
    assert (edl_bits(run, "loss_per_move", "nats/move") is None) is is_trained
    if config.role == RUN:
        save_flat(tmp_path, {0: 3.0}, config=as_json(config))
        assert (only(tmp_path).points[-1].edl_bits is None) is is_trained


@pytest.mark.parametrize(("start", "bits"), [("search", (300 - 100 * 1.2) / math.log(2)), ("grown", None)])
def test_the_witness_is_the_prompt_that_went_on(start: str, bits: float | None, folder: Path) -> None:
    save(
        folder,
        "battery:initialisations",
        flat_items(1.2),
        validation=0.1,
        tokens=4,
        metrics=FIRST_PASS,
        config={"init": start},
    )
    reading = only(folder)
    assert without_edl([reading], HALF) == ([GOES_ON] if bits is None else [])
    assert witness_edl(reading) == units(reading).edl_bits == (None if bits is None else pytest.approx(bits))

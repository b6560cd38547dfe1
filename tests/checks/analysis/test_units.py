"""What reaches half of the skill in each unit: worked out by hand from a reading and the results beside it.

The locked model's scale by deed goes from 0 to 1, so a share is the solved share itself, and its error .01.
"""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.analysis.losses.drafts import Run
from soft_prompts.analysis.readings import Reading
from soft_prompts.analysis.units import Amount, anchor_share, units, vector_shares, witness_edl, witness_tokens
from soft_prompts.results.findings import Finding
from soft_prompts.results.schema import Metric
from tests.checks.made.readings import made_readings
from tests.checks.made.results import build_result


def reading_of(model: str) -> Reading:
    return next(one for one in made_readings().readings if one.curve.model == model)


def beside(role: str, solved: float, tokens: int = 0, **changes: Any) -> Run:
    """A result of `role` that solves so many boards, with a standard error of .01."""
    metrics = {"solved_share": Metric(solved, 0.01, 200, "share of boards")} | changes.pop("metrics", {})
    result = build_result(role=role, tokens=tokens, metrics=metrics, **changes)
    return Run(Path(f"{role}-{solved}-{tokens}.json"), result)


def price(*runs: Run) -> Any:
    """Of the locked model with these results beside it."""
    anchors: dict[str, tuple[Run, ...]] = {}
    for run in runs:
        anchors[run.result.role] = (*anchors.get(run.result.role, ()), run)
    return units(dataclasses.replace(reading_of("tiny-mazes-locked-1"), anchors=anchors))


def test_what_the_prompt_itself_costs():
    found = price()
    assert (found.mark, found.soft_tokens.at_most, found.prompt_bits, found.edl_bits) == (0.5, 1, 192.0, 1250.0)
    assert found[2] is None
    assert found[5:] == (None, None, None, None)


def test_the_least_that_reaches_the_mark_is_the_witness():
    few, many = beside("anchor:hard_prompt", 0.6, 2), beside("anchor:hard_prompt", 0.9, 4)
    assert price(many, few, beside("anchor:hard_prompt", 0.1, 1)).hard_tokens == Amount(True, 2, 1, few)
    assert price(beside("anchor:hard_prompt", 0.1, 8)).hard_tokens == Amount(False, None, 8)


@pytest.mark.parametrize(("solved", "reaches"), [(0.5195, False), (0.5197, True)])
def test_a_result_reaches_the_mark_beyond_its_own_error(solved, reaches):
    """.5 + 1.96 x .01 = .5196."""
    assert price(beside("anchor:hard_prompt", solved, 1)).hard_tokens.reached is reaches


def test_adapters_by_rank_and_weights_by_number():
    """The result says how many it trained, or that of a whole model is what it has."""
    trained = {"trained_parameters": Metric(4096.0, None, 1, "parameters")}
    small, large = (beside("anchor:lora", 0.9, config={"rank": rank}, metrics=trained) for rank in (2, 8))
    whole = beside("anchor:full", 0.95)
    found = price(large, small, whole)
    assert found.ranks == Amount(True, 2, None, small)
    assert (found.parameters.least, found.parameters.run) == (4096, large)
    assert price(whole).parameters == Amount(True, 1_200_000, None, whole)
    silent = beside("anchor:lora", 0.9, config={"rank": 8})
    assert price(silent).parameters == Amount(True, None, None, silent)


def test_examples_count_where_the_result_says_how_many():
    four = beside("anchor:few_shot", 0.2, metrics={"shots": Metric(4.0, None, 1, "examples")})
    assert price(four).shots == Amount(False, None, 4)
    assert price(beside("anchor:few_shot", 0.2)).shots == Amount(False, None, None)


def test_what_failed_or_was_on_other_items_was_not_run():
    failed = beside("anchor:hard_prompt", 0.9, 2, status="failed")
    elsewhere = beside("anchor:hard_prompt", 0.9, 2, data__items_fingerprint="other")
    unsolved = Run(Path("x.json"), build_result(role="anchor:hard_prompt", tokens=2, value=1.0))
    assert price(failed, elsewhere, unsolved).hard_tokens is None


def test_a_loss_is_a_share_of_the_loss_scale():
    """From 3.3 to .1 nats: 1.4 is (3.3 - 1.4) / 3.2; an error of .012 costs 1.96 x .012 / 3.2."""
    reading = dataclasses.replace(reading_of("tiny-mazes-locked-1"), deed=None)
    (hard,) = reading.anchors["anchor:hard_prompt"]
    assert reading.loss is not None
    assert anchor_share(hard, reading, reading.loss) == pytest.approx(1.9 / 3.2)
    assert anchor_share(hard, reading, reading.loss, 1.96) == pytest.approx((1.9 - 1.96 * 0.012) / 3.2)


def test_without_a_sound_scale_nothing_has_a_price():
    assert units(reading_of("tiny-text")) == (0.5, *[None] * 8)


@pytest.mark.parametrize(
    ("model", "tokens", "bits"),
    [
        ("tiny-mazes-locked-1", 1, 1250.0),
        ("tiny-mazes", 0, None),
        ("tiny-mazes-strict-3", None, None),
        ("tiny-text", None, None),
    ],
)
def test_the_witness_and_what_it_took_from_the_data(model, tokens, bits):
    assert witness_tokens(reading_of(model)) == tokens
    assert witness_edl(reading_of(model)) == bits


def on_items(solved: float | None, reading: Reading, **changes: Any) -> Finding:
    """A vector that solves so many boards of a reading's own items, with a standard error of .02."""
    run = reading.runs[0].result
    metrics = {"solved_share": {"value": solved, "stderr": 0.02, "n": 9, "unit": "share of boards"}}
    told = {"class": "solve", "method": "mean", "layer": 1, "strength": 1.0, "metrics": metrics, "bare": {}}
    told |= {"items_fingerprint": run.data.items_fingerprint} | changes
    return Finding("items", run.model.name, "4x4", 9, 0, told, run.model.fingerprint)


def test_a_vector_has_its_share_where_items_and_model_are_the_same():
    """The scale by deed goes from 0 to 1."""
    reading = reading_of("tiny-mazes-locked-1")
    reading = dataclasses.replace(reading, runs=tuple(with_items(run) for run in reading.runs))
    (found,) = vector_shares(reading, [on_items(0.83, reading)])
    assert (found.method, found.share, found.stderr) == ("mean", pytest.approx(0.83), pytest.approx(0.02))
    others = [
        on_items(0.83, reading, items_fingerprint="other"),
        dataclasses.replace(on_items(0.83, reading), fingerprint="other"),
        dataclasses.replace(on_items(0.83, reading), kind="eval"),
        on_items(None, reading),
        on_items(0.83, reading, metrics={}),
    ]
    assert vector_shares(reading, others) == []
    assert vector_shares(reading_of("tiny-text"), [on_items(0.83, reading)]) == []  # no sound scale


def with_items(run: Run) -> Run:
    data = dataclasses.replace(run.result.data, items_fingerprint="these")
    return run._replace(result=dataclasses.replace(run.result, data=data))

"""What is a vector worth in soft tokens, and how far would that move with other items and seeds?"""

import numpy as np
import pytest
import torch

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.steering import tokens
from soft_prompts.steering.data.choices import Choices
from soft_prompts.steering.scoring import adding
from soft_prompts.steering.tokens import (
    AT_MOST_ONE,
    BEYOND,
    NO_GAIN,
    UNSTABLE,
    Budget,
    Drawn,
    Reading,
    Trained,
    read,
    reading,
    verdict_of,
    worth_in_tokens,
)


def test_one_soft_token_is_worth_one_token() -> None:
    curve = {1: 0.4, 2: 0.6, 4: 0.8}
    assert reading("accuracy", 60, 0.4, 0.1, curve).k == pytest.approx(1)
    assert reading("accuracy", 60, 0.6, 0.1, curve).k == pytest.approx(2)
    middle = reading("accuracy", 60, 0.5, 0.1, curve).k
    assert middle == pytest.approx(2 ** ((1 + np.log2(3)) / 2) - 1)
    low, high = reading("accuracy", 60, 0.25, 0.1, curve), reading("accuracy", 60, 0.9, 0.1, curve)
    assert (low.outside, low.share) == (AT_MOST_ONE, pytest.approx(0.5))
    assert high.outside == BEYOND
    assert reading("accuracy", 60, 0.5, 0.1, {1: 0.6, 2: 0.4, 4: 0.9}).outside == ""  # pooled to .5 at one token


def test_a_number_is_said_only_where_all_agree() -> None:
    def at(k: float | None, outside: str = "") -> object:
        return reading("accuracy", 60, 0.0, 0.0, {1: 1.0})._replace(k=k, outside=outside)

    assert verdict_of([at(2.0), at(2.5), at(2.2), at(2.9)]) == "2.4 tokens"
    assert verdict_of([at(2.0), at(3.5), at(2.2), at(2.9)]) == UNSTABLE
    assert verdict_of([at(None, AT_MOST_ONE)] * 4) == AT_MOST_ONE
    assert verdict_of([at(None, AT_MOST_ONE), at(0.9)]) == AT_MOST_ONE
    assert verdict_of([at(None, AT_MOST_ONE), at(3.0)]) == UNSTABLE
    assert verdict_of([at(None, BEYOND)] * 2) == BEYOND


def test_what_other_items_might_show_is_in_doubt() -> None:
    def at(k: float | None, low: float | None, high: float | None, outside: str = "") -> Reading:
        return Reading("accuracy", 60, k, outside, None if k else 0.5, low, high)

    under = at(None, 0.2, 0.8, AT_MOST_ONE)
    assert verdict_of([under] * 4) == AT_MOST_ONE
    assert under.text == "0.50 [0.20, 0.80]"
    assert verdict_of([under, at(None, 0.2, 1.3, AT_MOST_ONE)]) == UNSTABLE
    assert verdict_of([under, at(None, 0.2, None, AT_MOST_ONE)]) == UNSTABLE  # up to beyond the largest prompt
    assert verdict_of([at(None, None, None, AT_MOST_ONE)]) == AT_MOST_ONE  # too few groups to say


def test_a_vector_that_does_harm_is_no_token() -> None:
    """Beyond doubt: where the interval holds 0 it may be at most one. What another measure gains is not hidden."""
    harm = Reading("log_probability", 60, None, NO_GAIN, -0.65, -1.13, -0.38)
    nothing = Reading("accuracy", 60, None, AT_MOST_ONE, None)
    assert verdict_of([harm, nothing]) == NO_GAIN
    assert harm.text == "-0.65 [-1.13, -0.38]"
    assert harm._replace(k=1.5, share=None, low=-0.1, high=None).text == "1.50 [-0.10, beyond]"
    assert verdict_of([harm, nothing._replace(share=0.3)]) == AT_MOST_ONE
    draw, names = np.random.default_rng(0), [str(number) for number in range(64)]
    bare, one, steered = ({"accuracy": draw.normal(mean, 0.5, 64)} for mean in (0.0, 2.0, -1.0))
    runs = [(Trained(1, 60, 0, 0.1, 0, 0), one)]
    assert read("accuracy", 60, Drawn.of("accuracy", 60, (steered, bare), runs, names)).outside == NO_GAIN
    assert read("accuracy", 60, Drawn.of("accuracy", 60, (bare, bare), runs, names)).outside == AT_MOST_ONE


def test_harm_is_seen_where_one_token_gains_nothing() -> None:
    """A share of its gain is no number then, and two tokens' gain says nothing of the vector."""
    noise = np.random.default_rng(0).normal(0, 0.1, 40)
    bare, vector = noise, -1.0 + noise[::-1]
    for first in (-0.5, -0.2):
        drawn = Drawn(vector, bare, {1: first + noise, 2: 2.0 + noise}, 30)
        assert read("log_probability", 60, drawn).outside == NO_GAIN
    gains = Drawn(1.0 + noise, bare, {1: -0.5 + noise, 2: 2.0 + noise}, 30)
    assert read("log_probability", 60, gains).outside != NO_GAIN


def test_the_interval_of_a_vectors_worth_holds_it_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items around .2 bare, .5 behind one token, .8 behind two and .35 steered: half of one token's gain, with a
    standard error of about .5 sqrt(1.5 / 256) / .3."""
    monkeypatch.setattr(tokens, "DRAWS", 200)
    draw, within, widths, groups = np.random.default_rng(0), 0, [], 256
    for _ in range(20):
        bare, one, two, steered = ({"accuracy": draw.normal(mean, 0.5, groups)} for mean in (0.2, 0.5, 0.8, 0.35))
        runs = [(Trained(1, 60, 0, 0.1, 0, 0), one), (Trained(2, 60, 0, 0.1, 0, 0), two)]
        found = read("accuracy", 60, Drawn.of("accuracy", 60, (steered, bare), runs, [str(n) for n in range(groups)]))
        assert found.low is not None
        assert found.high is not None
        within += found.low <= 0.5 <= found.high
        widths.append(found.high - found.low)
    assert within >= 17  # of 20, of which 19 are expected
    assert np.median(widths) == pytest.approx(2 * 1.96 * 0.128, rel=0.15)


def test_what_changes_nothing_is_worth_nothing() -> None:
    for curve in ({1: 0.1, 2: 0.4}, {1: 0.3, 2: 0.4}):
        found = reading("accuracy", 60, 0.1, 0.1, curve)
        assert (found.k, found.outside) == (None, AT_MOST_ONE)


def test_without_one_token_nothing_is_held_to_it() -> None:
    with pytest.raises(UsageError, match="tokens is 8, 16; give 1 too"):
        Budget(tokens=(8, 16))


def test_prompts_are_fitted_by_the_engine_and_compared_on_the_same_items(inside: Inside, choices: Choices) -> None:
    budget = Budget(tokens=(1, 2), seeds=(0,), steps=(4, 8), rates=(0.1,), batch_size=8)
    found = worth_in_tokens(inside, choices, "one", adding(inside, {"resid.1": torch.zeros(32)}), budget)
    assert found.vector == pytest.approx(found.bare)
    assert len(found.runs) == 4
    assert {one.outside for one in found.readings} <= {AT_MOST_ONE, BEYOND, ""}
    longer = [run.log_probability for run in found.runs if run.steps == 8]
    assert max(longer) > found.bare["log_probability"]


def test_scores_by_token_count_are_means_with_intervals_over_groups_and_seeds() -> None:
    """Beside the textbook's standard errors: of N independent items, and of those with the spread of three seeds."""
    draw, count = np.random.default_rng(1), 400
    bare, vector = ({"log_probability": draw.normal(mean, 1.0, count)} for mean in (-3.0, -1.0))
    seeds = [{"log_probability": draw.normal(0.2 * seed, 0.5, count)} for seed in range(3)]
    runs = [(Trained(4, 60, seed, 0.1, 0, 0), items) for seed, items in enumerate(seeds)]
    names = [str(number) for number in range(count)]
    found = read("log_probability", 60, Drawn.of("log_probability", 60, (vector, bare), runs, names))
    assert found.vector is not None
    assert found.prompts is not None
    assert list(found.prompts) == [0, 4]
    means = np.array([items["log_probability"].mean() for items in seeds])
    errors = {
        "vector": 1 / count**0.5,
        "bare": 1 / count**0.5,
        "four": (0.25 / 3 / count + means.var(ddof=1) / 3) ** 0.5,
    }
    expected = {
        "vector": vector["log_probability"].mean(),
        "bare": bare["log_probability"].mean(),
        "four": means.mean(),
    }
    for name, one in {"vector": found.vector, "bare": found.prompts[0], "four": found.prompts[4]}.items():
        assert one.value == pytest.approx(expected[name])
        assert one.low is not None
        assert one.high is not None
        assert (one.high - one.low) / 2 == pytest.approx(1.96 * errors[name], rel=0.25), name


def test_no_accuracy_is_beyond_its_ends_and_few_groups_have_no_interval() -> None:
    items, names = {"accuracy": np.array([1.0] * 9 + [0.0])}, [str(number) for number in range(10)]
    runs = [(Trained(1, 60, 0, 0.1, 0, 0), items)]
    found = read("accuracy", 60, Drawn.of("accuracy", 60, (items, items), runs, names))
    assert found.vector is not None
    assert found.vector.high == 1.0
    few = read("accuracy", 60, Drawn.of("accuracy", 60, (items, items), runs, ["a"] * 5 + ["b"] * 5))
    assert few.vector == (pytest.approx(0.9), None, None)

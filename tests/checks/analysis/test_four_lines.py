"""Four curves that one number could not tell apart: are their lines different, and right?

A model of random weights gains loss by format and has no outcome; a locked one goes from 0 to 1 at one token; prompts
that only jitter around the bare loss; one capability, read with different largest counts.
"""

from pathlib import Path

import numpy as np
import pytest

from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.stats.items import Items
from tests.checks.made.results import build_items
from tests.checks.made.stored_results import (
    CLUSTERS,
    UNITS,
    save,
    save_anchor,
    save_battery,
    save_control,
    save_flat,
    save_power,
    save_skill,
)


def only(folder: Path) -> Reading:
    (reading,) = read_all([folder], draws=200).readings
    return reading


def noise(folder: Path) -> Reading:
    """From 3.5 to 1 nats it gains four fifths of what its controls gain too, and writes nothing right."""
    values = {0: (3.5, 0.0), 1: (1.6, 0.0), 4: (1.5, 0.0), 16: (1.5, 0.0)}
    save_skill(folder, values)
    save_control(folder, values)
    save_battery(folder, 16, (1.5, 0.0))
    save_power(folder, 4, [0.9] * 19 + [0.1])
    return only(folder)


def locked(folder: Path) -> Reading:
    save_skill(folder, {0: (3.5, 0.0), 1: (1.1, 1.0), 4: (1.1, 1.0), 16: (1.1, 1.0)})
    save_control(folder, {0: (3.5, 0.0), 1: (3.4, 0.0)})
    return only(folder)


def jittering(folder: Path, seed: int, ceiling: float | None) -> Reading:
    """A task without an outcome; every prompt is the bare model with noise on each item, validated with noise."""
    generator = np.random.default_rng(seed)
    for tokens in (0, 1, 4, 16):
        jitter = 0.1 * generator.standard_normal(CLUSTERS) if tokens else np.zeros(CLUSTERS)
        items: Items = build_items(list(UNITS * (3.0 + jitter)), [UNITS] * CLUSTERS)
        save(folder, "run", items, tokens=tokens, validation=3.0 + 0.1 * generator.standard_normal())
    save_anchor(folder, "no_skill", 3.2)
    if ceiling is not None:
        save_anchor(folder, "lora", ceiling)
    return only(folder)


def test_a_model_of_random_weights_has_nothing_to_find(tmp_path):
    reading = noise(tmp_path)
    assert reading.verdict.word == "NOT FOUND"
    assert reading.loss is not None
    assert reading.loss.half.at_most == 1  # by loss alone it would be near
    assert reading.notes[0].startswith("by deed and by loss disagree at 1, 4, 16 tokens")


def test_a_model_of_random_weights_is_not_hidden_by_loss_alone(tmp_path):
    """Where the task has no outcome its control tells."""
    save_flat(tmp_path, {0: 3.5, 1: 1.6, 16: 1.5})
    save_control(tmp_path, {0: 3.5, 1: 1.6, 16: 1.5})
    save_anchor(tmp_path, "no_skill", 3.5)
    save_anchor(tmp_path, "exact", 1.0)
    reading = only(tmp_path)
    assert reading.verdict.word == "UNDECIDED"
    assert reading.checks["specific"].state == "failed"


def test_a_locked_model_opens_at_one_token(tmp_path):
    reading = locked(tmp_path)
    assert (reading.verdict.word, reading.evidence) == ("HIDDEN", 4)
    assert "1 token brings out 1.00 of what can be had (0 -> 1.00 solved share; at most 1 token" in (
        reading.verdict.sentence
    )


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("ceiling", "word"), [(None, "NO SCALE"), (1.0, "UNDECIDED")])
def test_prompts_that_only_jitter_reach_no_mark(ceiling, word, seed, tmp_path):
    reading = jittering(tmp_path, seed, ceiling)
    assert reading.loss is not None
    assert reading.verdict.word == word
    assert reading.loss.half.at_most is None
    assert reading.loss.half.state == ("no_scale" if ceiling is None else "not_reached")


CAPABILITY = {0: (3.4, 0.0), 1: (3.0, 0.05), 2: (2.8, 0.1), 4: (2.5, 0.25), 8: (1.8, 0.75), 16: (1.3, 0.92)}
CAPABILITY |= {32: (1.2, 0.97), 64: (1.1, 1.0)}


def up_to(folder: Path, most: int) -> Reading:
    folder = folder / str(most)
    save_skill(folder, {tokens: value for tokens, value in CAPABILITY.items() if tokens <= most})
    return only(folder)


def test_the_largest_count_does_not_move_a_bracket(tmp_path):
    """Half lies between 4 and 8 tokens, whatever else was tried."""
    four, sixteen, all_counts = (up_to(tmp_path, most).deed for most in (4, 16, 64))
    assert four is not None
    assert sixteen is not None
    assert all_counts is not None
    assert (four.half.state, four.half.more_than) == ("not_reached", 4)
    assert sixteen.half == all_counts.half
    assert (sixteen.half.more_than, sixteen.half.at_most) == (4, 8)
    for count in four.shares:
        assert four.shares[count] == sixteen.shares[count] == all_counts.shares[count]


def test_their_lines_differ(tmp_path):
    lines = [
        noise(tmp_path / "noise"),
        locked(tmp_path / "locked"),
        jittering(tmp_path / "jitter", 0, 1.0),
        up_to(tmp_path, 4),
        up_to(tmp_path, 16),
    ]
    texts = {one.verdict.sentence.partition(": ")[2] for one in lines}
    assert len(texts) == len(lines)
    assert [one.verdict.word for one in lines] == ["NOT FOUND", "HIDDEN", "UNDECIDED", "UNDECIDED", "UNDECIDED"]
    assert (lines[3].verdict.why or "").startswith("the share still rises")

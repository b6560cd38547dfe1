"""Four models of which every line was the same once: random weights, a lock, prompts that only jitter, another grid."""

from pathlib import Path

import numpy as np
import pytest

from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.stats.items import Items
from tests.checks.made.results import build_items
from tests.checks.made.stored_results import (
    CLUSTERS,
    save,
    save_anchor,
    save_battery,
    save_control,
    save_flat,
    save_power,
    save_skill,
)

LOCK = 0.97
CURVE = {0: 0.0, 1: 0.02, 2: 0.05, 4: 0.1, 8: 0.95, 16: 0.97, 32: 0.98, 64: 1.0}
"""A capability that eight tokens bring out."""


def only(folder: Path) -> Reading:
    (reading,) = read_all([folder], draws=200).readings
    return reading


def save_random_weights(folder: Path) -> None:
    """The loss falls by the format, from 3.4 to 2.6 of 3.5; nothing is ever solved; labels of others do as well."""
    values = {0: (3.4, 0.0), 1: (2.7, 0.0), 4: (2.65, 0.0), 16: (2.6, 0.0)}
    save_skill(folder, values)
    save_control(folder, {0: (3.4, 0.0), 16: (2.6, 0.0)})
    save_battery(folder, 16, (2.6, 0.0))
    save_power(folder, 4, [0.9] * 8)


def save_locked(folder: Path) -> None:
    """One token opens it; labels of others open nothing."""
    save_skill(folder, {0: (3.4, 0.0), 1: (1.1, LOCK), 4: (1.1, LOCK), 16: (1.1, LOCK)})
    save_control(folder, {0: (3.4, 0.0), 1: (3.3, 0.0)})


def save_jittering(folder: Path, seed: int = 0) -> None:
    """Text, of which no outcome is known: prompts lie around the bare model's loss, as items do around their mean."""
    generator = np.random.default_rng(seed)
    difficulty = generator.normal(0, 0.3, CLUSTERS)
    for tokens in (0, 1, 4, 16):
        noise = generator.normal(0, 0.05, CLUSTERS)
        save(folder, "run", _around(3.0, difficulty + noise), tokens=tokens, validation=3.0 + generator.normal(0, 0.01))
    save_anchor(folder, "no_skill", 3.5)
    save(folder, "anchor:lora", _around(1.0, 0.3 * difficulty), tokens=0, validation=1.0)


def _around(loss: float, noise: np.ndarray) -> Items:
    return build_items(list(2 * (loss + noise)))


def save_counts(folder: Path, most: int) -> None:
    save_skill(folder, {tokens: (3.5 - 2.5 * share, share) for tokens, share in CURVE.items() if tokens <= most})
    save_control(folder, {0: (3.5, 0.0), 8: (3.4, 0.0)})


def test_random_weights_are_not_found_though_their_loss_falls(tmp_path: Path) -> None:
    save_random_weights(tmp_path)
    reading = only(tmp_path)
    assert reading.verdict.word == "NOT FOUND"
    assert reading.points[-1].gain is not None
    assert reading.points[-1].gain.value == pytest.approx(0.8)
    assert reading.verdict.sentence == (
        "tiny-chess, chess on games: NOT FOUND. "
        "Up to 16 tokens no prompt brings out more than the most frequent answer does; "
        "planted secrets of 4 tokens are found in 8 of 8 such searches "
        "(0 -> 0 solved share; not reached by 16; evidence 4 of 4)."
    )


def test_a_lock_that_one_token_opens_is_hidden(tmp_path: Path) -> None:
    save_locked(tmp_path)
    verdict = only(tmp_path).verdict
    assert verdict.word == "HIDDEN"
    assert verdict.sentence == (
        "tiny-chess, chess on games: HIDDEN. 1 token brings out .97 of what can be had "
        "(0 -> .97 solved share; at most 1 token; evidence 4 of 4)."
    )


@pytest.mark.parametrize("seed", range(4))
def test_prompts_that_only_jitter_reach_nothing(seed: int, tmp_path: Path) -> None:
    save_jittering(tmp_path, seed)
    reading = only(tmp_path)
    assert reading.deed is None
    assert reading.loss is not None
    assert (reading.loss.half.state, reading.loss.half.more_than) == ("not_reached", 16)
    assert reading.verdict.word == "UNDECIDED"
    assert reading.verdict.why is not None
    assert reading.verdict.why.startswith("search")  # nobody has looked further yet


def test_jittering_prompts_without_an_anchor_have_no_scale(tmp_path: Path) -> None:
    save_flat(tmp_path, {0: 3.0, 1: 2.99, 4: 3.01, 16: 2.98})
    reading = only(tmp_path)
    assert reading.verdict.word == "NO SCALE"
    assert "16 tokens gain 0.02 nats per move" in reading.verdict.sentence
    assert reading.loss is not None
    assert reading.loss.half.to_json()["at_most"] is None


def test_the_largest_count_that_was_tried_changes_nothing_below_it(tmp_path: Path) -> None:
    found = {}
    for most in (4, 16, 64):
        save_counts(tmp_path / str(most), most)
        found[most] = only(tmp_path / str(most))
    halves = {most: one.deed.half for most, one in found.items() if one.deed}
    assert (halves[4].state, halves[4].more_than, halves[4].at_most) == ("not_reached", 4, None)
    assert (halves[16].more_than, halves[16].at_most) == (halves[64].more_than, halves[64].at_most) == (4, 8)
    assert halves[16].interpolated == halves[64].interpolated
    for fewer, more in ((4, 16), (16, 64)):
        one, other = found[fewer].deed, found[more].deed
        assert one is not None
        assert other is not None
        assert all(one.shares[count] == other.shares[count] for count in one.shares)
    assert found[16].verdict.word == found[64].verdict.word == "HIDDEN"


def test_the_four_lines_differ(tmp_path: Path) -> None:
    lines = []
    for name, make in (("noise", save_random_weights), ("lock", save_locked), ("jitter", save_jittering)):
        make(tmp_path / name)
        lines.append(only(tmp_path / name).verdict)
    save_counts(tmp_path / "grid", 16)
    lines.append(only(tmp_path / "grid").verdict)
    assert [line.word for line in lines] == ["NOT FOUND", "HIDDEN", "UNDECIDED", "HIDDEN"]
    assert len({line.sentence for line in lines}) == 4
    assert "more than 4, at most 8 tokens" in lines[3].sentence

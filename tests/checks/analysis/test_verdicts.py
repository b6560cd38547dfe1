"""Is each word said where its rule says so, and each reason for UNDECIDED? Skills from 0 to 1 by deed."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from soft_prompts.analysis.checks import NO_PROMPT
from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.results.schema import Metric
from tests.checks.made.stored_results import (
    flat_items,
    save,
    save_anchor,
    save_battery,
    save_control,
    save_flat,
    save_power,
    save_skill,
)

ABSENT = {0: (3.0, 0.0), 1: (2.0, 0.0), 4: (2.0, 0.0)}


def only(folder: Path, draws: int = 60) -> Reading:
    (reading,) = read_all([folder], draws=draws).readings
    return reading


def word(folder: Path) -> tuple[str, str | None]:
    found = only(folder).verdict
    return found.word, found.why


def hidden(folder: Path, tokens: int = 1) -> None:
    save_skill(folder, {0: (3.0, 0.0), tokens: (1.2, 1.0)})
    save_control(folder, {0: (4.0, 0.0), tokens: (3.8, 0.0)})


def absent(folder: Path) -> None:
    save_skill(folder, ABSENT)
    save_control(folder, {0: (4.0, 0.0), 4: (3.0, 0.0)})
    save_battery(folder, 4, (2.0, 0.0))
    save_power(folder, 2, [0.9] * 8 + [0.1] * 2)


def test_a_bare_model_that_has_half_is_present(tmp_path):
    save_skill(tmp_path, {0: (1.2, 0.9), 1: (1.1, 0.9)})
    found = only(tmp_path).verdict
    assert (found.word, found.why, found.next_command) == ("PRESENT", None, None)
    assert "With nothing in front the model has .90 of what can be had (.90 solved share; 0: nothing" in found.sentence


@pytest.mark.parametrize(
    ("solved", "expected", "says"),
    [
        (0.9, ("PRESENT", None), "PRESENT. With nothing in front the model has .90 of what can be had (.90 solved"),
        (0.5, ("UNDECIDED", NO_PROMPT), "front the model has .50 of what can be had (.50 solved share; not shown with"),
        (
            0.1,
            ("UNDECIDED", NO_PROMPT),
            "front the model has .10 of what can be had (.10 solved share; not reached with",
        ),
        (0.0, ("UNDECIDED", NO_PROMPT), "front the model brings no more than the most frequent answer does (0 solved"),
    ],
)
def test_a_bare_model_alone_is_present_or_asks_for_prompts(solved, expected, says, tmp_path):
    save_skill(tmp_path, {0: (1.2, solved)}, command="soft-prompts run pathfinding --tokens 0")
    reading = only(tmp_path)
    found = reading.verdict
    assert (found.word, found.why) == expected
    assert says in found.sentence
    more = "soft-prompts run pathfinding --evidence standard --tokens 0 1 4 16"
    assert found.next_command == (None if solved > 0.5 else more)
    assert reading.evidence == (4 if solved > 0.5 else 1)


def test_a_bare_model_that_the_task_asks_alone_is_told_no_command(tmp_path):
    """Asked for prompts, the same command would make none for it again."""
    save_skill(tmp_path, {0: (1.2, 0.1)}, command="soft-prompts run pathfinding --evidence standard")
    found = only(tmp_path).verdict
    assert (found.word, found.why, found.next_command) == ("UNDECIDED", NO_PROMPT, None)


def test_bare_models_alone_are_told_apart_by_no_search(tmp_path):
    for model in ("one", "other"):
        save_skill(tmp_path, {0: (1.2, 0.1)}, model=model)
    for reading in read_all([tmp_path], draws=60).readings:
        [contrast] = reading.contrasts
        assert contrast.text.startswith("no prompt was tried to tell it from")
        assert contrast.p_value is None


def test_a_bare_model_alone_without_anchors_has_no_scale(tmp_path):
    save_flat(tmp_path, {0: (1.2, 0.9)}, command="soft-prompts run pathfinding --tokens 0")
    found = only(tmp_path).verdict
    more = "soft-prompts run pathfinding --tokens 0 --evidence standard"
    assert (found.word, found.next_command) == ("NO SCALE", more)


@pytest.mark.parametrize(("tokens", "expected"), [(1, "HIDDEN"), (16, "HIDDEN"), (17, "FAR"), (64, "FAR")])
def test_few_tokens_are_hidden_and_more_are_far(tokens, expected, tmp_path):
    hidden(tmp_path, tokens)
    assert word(tmp_path) == (expected, None)
    assert only(tmp_path).evidence == 4


@pytest.mark.parametrize(("bits", "expected"), [(50.0, "HIDDEN"), (51.0, "FAR")])
def test_a_prompt_of_more_bits_than_a_tenth_of_its_training_labels_is_far(bits, expected, tmp_path):
    """100 units of 3.5 nats are 505 bits. The rounded prompt's own result does not say what it saw."""
    save_skill(tmp_path, {0: (3.0, 0.0)})
    trained = {
        "first_pass_units": Metric(100.0, None, 50, "moves"),
        "training_loss": Metric(1.2, 0.0, 256, "nats/move"),
    }
    save_flat(tmp_path, {1: (1.2, 1.0)}, determined=True, metrics=trained)
    save_control(tmp_path, {0: (4.0, 0.0), 1: (3.8, 0.0)})
    save(tmp_path, "code:2", flat_items((1.2, 1.0)), tokens=1, metrics={"prompt_bits": Metric(bits, None, 9, "bits")})
    assert word(tmp_path)[0] == expected


@pytest.mark.parametrize(
    ("nats", "expected"), [(100, "FAR"), (119, "HIDDEN"), (121, "HIDDEN"), (150, "HIDDEN"), (160, "FAR")]
)
def test_a_prompt_that_took_less_from_its_data_is_no_farther(nats, expected, tmp_path):
    """Of 505 bits, 10,000 by its code; the test asks 120 nats of the same moves, ± 1. Twenty nats less are other data:
    what was taken is not known."""
    save_skill(tmp_path, {0: (3.0, 0.0)})
    trained = {
        "first_pass_nats": Metric(nats, None, 50, "nats"),
        "first_pass_units": Metric(100.0, None, 50, "moves"),
        "training_loss": Metric(1.2, 0.0, 256, "nats/move"),
    }
    save_flat(tmp_path, {1: (1.2, 1.0)}, determined=True, metrics=trained)
    save_control(tmp_path, {0: (4.0, 0.0), 1: (3.8, 0.0)})
    code = {"prompt_bits": Metric(10000.0, None, 9, "bits")}
    save(tmp_path, "code:2", flat_items((1.2, 1.0)), tokens=1, metrics=code)
    assert word(tmp_path)[0] == expected


@pytest.mark.parametrize(("start", "expected"), [("vocabulary", "HIDDEN"), ("search", "HIDDEN"), ("grown", "FAR")])
def test_a_start_that_was_trained_makes_no_prompt_small(start, expected, tmp_path):
    """120 of 505 bits by its code, 0 by what the training took: all that it holds, where nothing was learnt before."""
    save_skill(tmp_path, {0: (3.0, 0.0)})
    trained = {
        "first_pass_nats": Metric(120.0, None, 50, "nats"),
        "first_pass_units": Metric(100.0, None, 50, "moves"),
        "training_loss": Metric(1.2, 0.0, 256, "nats/move"),
    }
    save_flat(tmp_path, {2: (1.2, 1.0)}, determined=True, metrics=trained, config={"init": start})
    save_control(tmp_path, {0: (4.0, 0.0), 2: (3.8, 0.0)})
    code = {"prompt_bits": Metric(120.0, None, 9, "bits")}
    save(tmp_path, "code:2", flat_items((1.2, 1.0)), tokens=2, metrics=code, config={"init": start})
    assert word(tmp_path)[0] == expected


def test_not_found_by_deed_although_the_loss_falls(tmp_path):
    absent(tmp_path)
    reading = only(tmp_path)
    assert (reading.verdict.word, reading.verdict.why, reading.evidence) == ("NOT FOUND", None, 4)
    assert "secrets of 2 tokens are found in 8 of 10 such searches" in reading.verdict.sentence
    assert reading.loss is not None
    assert reading.loss.shares[4].value == pytest.approx(0.6)


def test_without_its_training_loss_a_prompt_is_not_believed(tmp_path):
    hidden(tmp_path)
    save_flat(tmp_path, {1: (1.2, 1.0)}, determined=True, finished="2027-01-01T00:00:00Z")
    found, why = word(tmp_path)
    assert found == "UNDECIDED"
    assert why is not None
    assert why.startswith("generalises: the loss on training samples is not known")


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        (None, "specific: no control at 1 token"),
        ({0: (4.0, 0.0), 1: (1.2, 0.9)}, "specific: permuted targets gain 0.10 of the scale less at 1 token"),
    ],
)
def test_a_prompt_that_is_not_specific_is_undecided(control, reason, tmp_path):
    save_skill(tmp_path, {0: (3.0, 0.0), 1: (1.2, 1.0)})
    if control:
        save_control(tmp_path, control)
    assert word(tmp_path) == ("UNDECIDED", reason)


def test_a_count_in_doubt_asks_for_items(tmp_path):
    save_skill(tmp_path, {0: (3.0, 0.0), 1: (2.0, 0.0), 4: (1.2, 0.5)})
    assert word(tmp_path) == ("UNDECIDED", "the interval at 4 tokens holds the mark: more test items")


def test_a_share_that_rises_asks_for_tokens(tmp_path):
    save_skill(tmp_path, {0: (3.0, 0.0), 1: (2.0, 0.0), 4: (1.9, 0.125)})
    assert word(tmp_path) == ("UNDECIDED", "the share still rises by 0.12 from 1 to 4 tokens: more tokens")


def test_a_rise_of_a_twentieth_is_none(tmp_path):
    save_skill(tmp_path, {0: (3.0, 0.0), 1: (2.0, 0.0), 4: (1.9, 0.049)})
    assert "search: no other rates" in (word(tmp_path)[1] or "")


def test_a_rise_up_to_what_can_be_had_without_the_skill_is_none(tmp_path):
    """From -.25 to 0 of the scale: a prompt of 4 tokens has found the most frequent answer."""
    save_skill(tmp_path, {0: (3.0, 0.0), 1: (2.0, 0.0), 4: (1.9, 0.2)})
    assert "still rises" in (word(tmp_path)[1] or "")
    for seed in range(5):
        save_anchor(tmp_path, "placebo", (2.5, 0.2), tokens=4, seed=seed)
    found = only(tmp_path)
    assert found.lead is not None
    assert found.lead.shares[1].value == pytest.approx(-0.25)
    assert "search: no other rates" in (found.verdict.why or "")


@pytest.mark.parametrize(("solved", "says"), [(5, "search: no other rates"), (12, "still rises by 0.30")])
def test_a_rise_that_other_items_might_not_show_is_none(solved, says, tmp_path):
    """5 of 40 items more, and 2 others fewer, are no rise; 12 more are."""
    save_skill(tmp_path, {0: (3.0, 0.0)})
    at = np.arange(40)
    for tokens, right, loss in ((1, at >= 38, 2.0), (4, at < solved, 1.9)):
        right = right & (solved == 5) if tokens == 1 else right
        items = dataclasses.replace(flat_items((loss, 0.0)), outcome=right.astype(float))
        save(tmp_path, "run", items, tokens=tokens, determined=True)
    assert says in (word(tmp_path)[1] or "")


def test_a_mark_that_is_not_reached_needs_a_control(tmp_path):
    save_skill(tmp_path, ABSENT)
    save_battery(tmp_path, 4, (2.0, 0.0))
    save_power(tmp_path, 2, [0.9] * 8)
    assert word(tmp_path) == ("UNDECIDED", "specific: no control at 4 tokens")


def test_a_search_that_fell_short_is_never_not_found(tmp_path):
    absent(tmp_path)
    save_power(tmp_path, 4, [0.1] * 2 + [0.9] * 6)
    found, why = word(tmp_path)
    assert found == "UNDECIDED"
    assert "planted secrets of 4 tokens are found in 6 of 8" in (why or "")


def test_a_prompt_that_validation_passed_over_is_never_not_found(tmp_path):
    """It is no witness, for the test items would have chosen it."""
    absent(tmp_path)
    save(
        tmp_path,
        "run",
        flat_items((2.0, 0.0)),
        tokens=1,
        validation=1.0,
        determined=True,
        finished="2027-01-01T00:00:00Z",
    )
    save(tmp_path, "battery:rates", flat_items((1.2, 1.0)), tokens=1, validation=2.0)
    assert word(tmp_path) == ("UNDECIDED", "search: a prompt of 1 token has 1.00, and none was chosen at 4")


def test_a_peak_that_is_lost_again_is_a_search_that_fell_short(tmp_path):
    absent(tmp_path)
    save_flat(tmp_path, {2: (1.9, 0.2)}, determined=True)
    assert word(tmp_path) == ("UNDECIDED", "search: a prompt of 2 tokens has .20, and none was chosen at 4")


def test_a_bare_model_in_doubt_is_not_hidden(tmp_path):
    save_skill(tmp_path, {0: (2.0, 0.48), 1: (1.2, 1.0)})
    save_control(tmp_path, {0: (4.0, 0.0), 1: (3.8, 0.0)})
    assert word(tmp_path) == ("UNDECIDED", "the bare model may have half of it: more test items")


def test_a_count_without_an_outcome_is_no_scale(tmp_path):
    hidden(tmp_path)
    save_flat(tmp_path, {4: 1.2}, determined=True)
    found, why = word(tmp_path)
    assert (found, (why or "")[:24]) == ("NO SCALE", "4 tokens have no outcome")


def test_any_tokens_that_bring_it_out_make_it_present(tmp_path):
    save_skill(tmp_path, {0: (3.0, 0.0), 1: (1.2, 1.0)})
    for seed, outcome in enumerate((0.9, 0.9, 0.0, 0.9, 0.0)):  # the median counts
        save_anchor(tmp_path, "placebo", (1.5, outcome), tokens=4, seed=seed)
    assert word(tmp_path) == ("PRESENT", "any tokens in front bring it out (placebo)")


def test_a_bare_model_that_has_it_is_present_whatever_any_tokens_do(tmp_path):
    save_skill(tmp_path, {0: (1.2, 1.0), 1: (1.2, 1.0)})
    save_anchor(tmp_path, "placebo", (1.5, 0.9), tokens=4)
    assert word(tmp_path) == ("PRESENT", None)


def test_random_tokens_that_do_less_than_half_are_a_floor(tmp_path):
    """Of draws .1, .2 and .4 the median: (1 - .2) / (1 - .2) and (.2 - .2) / .8."""
    save_skill(tmp_path, {0: (3.0, 0.2), 1: (1.2, 1.0)})
    for seed, outcome in enumerate((0.4, 0.1, 0.2)):
        save_anchor(tmp_path, "placebo", (3.0, outcome), tokens=1, seed=seed)
    scale = only(tmp_path).deed
    assert scale is not None
    assert scale.floor is not None
    assert (scale.floor.kind, scale.floor.value, len(scale.floor.runs)) == ("placebo", pytest.approx(0.2), 3)
    assert [share.value for share in scale.shares.values()] == pytest.approx([0, 1])


def few(folder: Path, clusters: int) -> Reading:
    for tokens, value in {0: (3.0, 0.0), 1: (1.2, 1.0)}.items():
        trained = {"training_loss": Metric(1.2, 0.0, 256, "nats/move")}
        save(folder, "run", flat_items(value, clusters), tokens=tokens, determined=True, metrics=trained)
    save(folder, "anchor:no_skill", flat_items((3.5, 0.0), clusters), tokens=0)
    return only(folder)


@pytest.mark.parametrize(("clusters", "said"), [(19, True), (20, False)])
def test_few_clusters_are_said(clusters, said, tmp_path):
    assert (f"only {clusters} clusters of items" in few(tmp_path, clusters).verdict.sentence) is said


@pytest.mark.parametrize(("clusters", "state"), [(4, "not_reached"), (5, "shown")])
def test_under_five_clusters_nothing_is_beyond_doubt(clusters, state, tmp_path):
    reading = few(tmp_path, clusters)
    assert reading.deed is not None
    assert reading.deed.half.state == state
    if state == "not_reached":
        assert (reading.verdict.word, reading.deed.half.in_doubt) == ("UNDECIDED", (0, 1))


@pytest.mark.parametrize(("loss", "noted"), [(1.25, False), (1.9, True)])
def test_what_is_written_and_what_is_scored_may_disagree(loss, noted, tmp_path):
    """Shares by loss .9 and .64, by deed 1."""
    save_skill(tmp_path, {0: (3.5, 0.0), 1: (loss, 1.0)})
    told = ("by deed and by loss disagree at 1 token: 1.00 and 0.64",)
    assert only(tmp_path).notes == (told if noted else ())

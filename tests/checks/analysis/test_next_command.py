"""Is the next command one that can be typed, and that would tell?"""

import shlex
from pathlib import Path

import pytest

from soft_prompts.analysis.readings import read_all
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


def following(folder: Path) -> str | None:
    (reading,) = read_all([folder], draws=60).readings
    return reading.verdict.next_command


RISES = {0: (3.0, 0.0), 1: (2.0, 0.0), 4: (1.9, 0.125)}
DOUBT = {0: (3.0, 0.0), 4: (1.2, 0.5)}
FLAT = {0: (3.0, 0.0), 4: (2.9, 0.0)}
RUN = "soft-prompts run chess"


@pytest.mark.parametrize(
    ("values", "made", "expected"),
    [
        (RISES, f"{RUN} --tokens 0 1 4 --seeds 0", f"{RUN} --seeds 0 --evidence standard --tokens 0 1 4 16"),
        (RISES, f"{RUN} --seeds 0 --tokens=4", f"{RUN} --seeds 0 --evidence standard --tokens 0 1 4 16"),
        (DOUBT, f"{RUN} --test-samples 40 --tokens 4", f"{RUN} --tokens 4 --evidence standard --test-samples 160"),
        (DOUBT, f"{RUN} --test-samples 40 --evidence full", f"{RUN} --evidence full --test-samples 160"),
        (DOUBT, f"{RUN} --test_samples=40 --evidence full", f"{RUN} --evidence full --test-samples 160"),
        (DOUBT, f"{RUN} --tokens 4", f"{RUN} --tokens 4 --evidence standard --test-samples 160"),
        (FLAT, f"{RUN} --evidence standard --tokens 4", f"{RUN} --tokens 4 --evidence full"),
        (FLAT, f"{RUN} --evidence-x 1", f"{RUN} --evidence-x 1 --evidence full"),
        (FLAT, f"{RUN} --output-dir 'my results; $x'", f"{RUN} --output-dir 'my results; $x' --evidence full"),
        (FLAT, f"{RUN} --evidence full --tokens 4", f"{RUN} --tokens 4 --evidence full"),  # it was stopped
        (FLAT, None, None),
        (FLAT, f"{RUN} --fresh --seeds 0", f"{RUN} --seeds 0 --evidence full"),
        (DOUBT, f"{RUN} --seeds 0 --fresh", f"{RUN} --seeds 0 --evidence standard --test-samples 160"),
    ],
)
def test_flags_are_replaced_and_words_quoted(values, made, expected, tmp_path):
    save_skill(tmp_path, values, command=made)
    found = following(tmp_path)
    assert found == expected
    assert found is None or shlex.split(found)[:3] == ["soft-prompts", "run", "chess"]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (f"{RUN} --evidence full", f"{RUN} --evidence full --seeds 0 1 2"),
        (f"{RUN} --evidence full --seeds 0", f"{RUN} --evidence full --seeds 0 1 2"),
        (f"{RUN} --seeds 0 1 2 --evidence full", None),
        (f"{RUN} --seeds 0 1 2", None),
    ],
)
def test_what_was_asked_already_is_not_asked_again(made, expected, tmp_path):
    """A control that brings out as much fails."""
    save_skill(tmp_path, {0: (3.0, 0.0), 1: (1.2, 1.0)}, command=made)
    save_control(tmp_path, {0: (3.0, 0.0), 1: (1.2, 1.0)})
    assert following(tmp_path) == expected


OF_GIVEN = "--snapshot snapshots/imported/x --tokens 0 4"


@pytest.mark.parametrize(
    ("values", "made", "expected"),
    [
        (FLAT, f"{RUN} {OF_GIVEN} --steps 0", f"{RUN} --tokens 0 4 --evidence full"),
        (FLAT, f"{RUN} {OF_GIVEN} --steps=0 --evidence full", f"{RUN} --tokens 0 4 --evidence full"),
        (FLAT, f"{RUN} {OF_GIVEN} --steps 30", f"{RUN} --tokens 0 4 --steps 30 --evidence full"),
        (DOUBT, f"{RUN} {OF_GIVEN} --steps 0", f"{RUN} --tokens 0 4 --evidence standard --test-samples 160"),
    ],
)
def test_beside_a_prompt_that_is_given_no_evidence_is_made(values, made, expected, tmp_path):
    """So the next command is without it; what it asked for in vain is asked for again."""
    save_skill(tmp_path, values, command=made)
    assert following(tmp_path) == expected


def test_a_command_that_trained_goes_before_one_that_measured_what_was_given(tmp_path):
    """It was stopped before its search: it goes on, and what was given is not measured again."""
    save_skill(tmp_path, FLAT, command=f"{RUN} --evidence full")
    given = {"command": f"{RUN} {OF_GIVEN} --steps 0", "finished": "2027-01-01T00:00:00Z", "config": {"steps": 0}}
    save_flat(tmp_path, {4: (2.9, 0.0)}, determined=True, **given)
    assert following(tmp_path) == f"{RUN} --evidence full"


WITHOUT_BARE = {4: (2.9, 0.0), 8: (2.9, 0.0)}
REACHED = {4: (1.2, 1.0)}


@pytest.mark.parametrize(
    ("values", "made", "expected"),
    [
        (WITHOUT_BARE, f"{RUN} --tokens 4 8 --evidence standard", f"{RUN} --evidence standard --tokens 0 4 8"),
        (WITHOUT_BARE, f"{RUN} --tokens=4 --fresh", f"{RUN} --evidence standard --tokens 0 4"),
        (REACHED, f"{RUN} --tokens 4 --evidence full", f"{RUN} --evidence full --tokens 0 4"),
        (WITHOUT_BARE, f"{RUN} --tokens 0 4", f"{RUN} --tokens 0 4 --evidence full"),
        (WITHOUT_BARE, RUN, f"{RUN} --evidence full"),
    ],
)
def test_a_curve_without_the_bare_model_wants_it_first(values, made, expected, tmp_path):
    """A command that asked for it in vain, or whose preset has no place for it, is not told to ask for it."""
    save_skill(tmp_path, values, command=made)
    assert following(tmp_path) == expected


def test_data_that_has_no_more_items_is_not_asked_for_more(tmp_path):
    save_skill(tmp_path, DOUBT, command=RUN, config={"test_samples": 40})
    assert following(tmp_path) == f"{RUN} --evidence standard --test-samples 160"
    save_skill(tmp_path, DOUBT, command=RUN, config={"test_samples": 41})
    assert following(tmp_path) == f"{RUN} --evidence standard --tokens 0 4 16"  # for its share still rises


@pytest.mark.parametrize(
    ("positions", "tokens", "said"),
    [
        (None, "0 1 4 16", "more tokens"),
        (40, "0 1 4 16", "more tokens"),
        (30, "0 1 4 14", "more tokens"),
        (20, None, "the model holds no more tokens"),
    ],
)
def test_no_more_tokens_are_asked_for_than_the_model_holds(
    positions: int | None, tokens: str | None, said: str, tmp_path: Path
) -> None:
    """Samples have up to 16 of its positions."""
    rising = {0: (3.0, 0.0), 1: (2.0, 0.0), 4: (1.9, 0.125)}
    save_skill(tmp_path, rising, command=RUN, config={"sample_tokens": 16}, model__context_length=positions)
    assert following(tmp_path) == (tokens and f"{RUN} --evidence standard --tokens {tokens}")
    [reading] = read_all([tmp_path], draws=60).readings
    assert reading.verdict.why == f"the share still rises by 0.12 from 1 to 4 tokens: {said}"


def test_neither_items_nor_tokens_are_asked_for_where_both_are_spent(tmp_path):
    level = {0: (3.0, 0.0), 1: (1.2, 0.5), 4: (1.2, 0.5)}
    save_skill(tmp_path, level, command=RUN, config={"test_samples": 41})
    (reading,) = read_all([tmp_path], draws=60).readings
    assert reading.verdict.why == "the interval at 1, 4 tokens holds the mark: more test items"
    assert reading.verdict.next_command is None


def test_a_command_that_found_every_run_there_is_known_by_what_it_made_beside_them(tmp_path):
    save_skill(tmp_path, FLAT, command=RUN)
    assert following(tmp_path) == f"{RUN} --evidence full"
    save_control(tmp_path, FLAT, command=f"{RUN} --evidence full", finished="2027-01-01T00:00:00Z")
    assert following(tmp_path) == f"{RUN} --evidence full"  # stopped before its search was made
    save_battery(tmp_path, 4, (2.9, 0.0), command=f"{RUN} --evidence full", finished="2027-01-02T00:00:00Z")
    save_power(tmp_path, 4, [1.0] * 10, command=f"{RUN} --evidence full", finished="2027-01-03T00:00:00Z")
    assert following(tmp_path) is None


def test_a_search_that_was_stopped_goes_on_wherever_it_stopped(tmp_path: Path) -> None:
    """Its first trials are no last round, and two searches say nothing of its power."""
    full, trial = f"{RUN} --evidence full", {"config": {"init": "search"}, "validation": 1.0}
    save_skill(tmp_path, FLAT, command=full, validation=2.0)
    for role in ("rates", "initialisations"):
        save(tmp_path, f"battery:{role}", flat_items((2.8, 0.04)), tokens=4, command=full, **trial)
        assert following(tmp_path) == full
    [reading] = read_all([tmp_path], draws=60).readings
    assert reading.verdict.why == "search: 2 trials at 4 tokens, stopped before the last round"
    save_battery(tmp_path, 4, (2.8, 0.04), command=full, validation=1.0)
    for _ in range(7):
        assert following(tmp_path) == full
        save_power(tmp_path, 4, [1.0], command=full)
    assert following(tmp_path) == full
    save_power(tmp_path, 4, [1.0], command=full)
    assert following(tmp_path) is None  # NOT FOUND


FULL = f"{RUN} --evidence full"


@pytest.mark.parametrize(
    ("planted", "taught", "says", "expected"),
    [
        ([None] * 10, [None] * 10, "only 0 copies learnt a lock", None),  # all was made, and tells nothing
        ([1.0] * 3 + [None] * 7, [1.0] * 4 + [None] * 6, "only 4 copies learnt a lock", None),
        ([1.0] * 3 + [None] * 7, [], "only 3 planted secrets change what this model says, and no locks were", FULL),
        ([1.0] * 3 + [None] * 7, [None] * 2, "2 of 10 searches were made", FULL),
        ([1.0] * 5, [], "5 of 10 searches were made", FULL),
    ],
)
def test_secrets_that_tell_nothing_want_locks_and_no_more(
    planted: list[float | None], taught: list[float | None], says: str, expected: str | None, tmp_path: Path
) -> None:
    save_skill(tmp_path, FLAT, command=FULL)
    save_battery(tmp_path, 4, (2.9, 0.0), command=FULL)
    save_power(tmp_path, 4, planted, command=FULL)
    save_power(tmp_path, 4, taught, "taught", command=FULL)
    [reading] = read_all([tmp_path], draws=60).readings
    assert says in str(reading.verdict.why)
    assert reading.verdict.next_command == expected


def test_a_last_round_is_two_seeds_and_more_steps_were_they_in_vain(tmp_path: Path) -> None:
    save_skill(tmp_path, FLAT, command=FULL)
    save(tmp_path, "battery:initialisations", flat_items((2.9, 0.0)), tokens=4, command=FULL, config={"init": "search"})
    save_power(tmp_path, 4, [1.0] * 10, command=FULL)
    for role in ("seeds", "longer", "seeds"):
        assert following(tmp_path) == FULL
        status = "failed" if role == "longer" else "success"
        save(tmp_path, f"battery:{role}", flat_items((2.9, 0.0)), tokens=4, command=FULL, status=status)
    assert following(tmp_path) is None


LATER = {"command": f"{RUN} --data b --evidence full", "finished": "2027-01-01T00:00:00Z"}


@pytest.mark.parametrize("values", [FLAT, DOUBT])
def test_what_stands_beside_another_curve_names_no_command_of_this_one(values, tmp_path):
    save_skill(tmp_path, values, command=RUN)
    before = following(tmp_path)
    save_control(tmp_path, FLAT, prompt__kind="direct", **LATER)
    save_power(tmp_path, 4, [1.0], config={"test_samples": 400}, prompt__kind="direct", **LATER)
    save_power(tmp_path, 4, [1.0], config={"test_samples": 400}, data__name="elsewhere", **LATER)
    assert before is not None
    assert following(tmp_path) == before


def test_planted_secrets_have_fewer_items_than_runs(tmp_path):
    save_skill(tmp_path, DOUBT, command=RUN)
    save_power(tmp_path, 4, [1.0], config={"test_samples": 400}, **{**LATER, "command": f"{RUN} --evidence full"})
    assert following(tmp_path) == f"{RUN} --evidence full --test-samples 160"


def test_it_is_the_newest_runs_command(tmp_path):
    save_skill(tmp_path, FLAT, command=f"{RUN} --seeds 1")
    save_flat(tmp_path, {8: (2.9, 0.0)}, command=f"{RUN} --seeds 2", finished="2027-01-01T00:00:00Z", determined=True)
    save_flat(tmp_path, {16: (2.9, 0.0)}, finished="2028-01-01T00:00:00Z", determined=True)
    assert following(tmp_path) == f"{RUN} --seeds 2 --evidence full"


@pytest.mark.parametrize("losses", [{0: 3.0}, {0: 3.0, 4: 2.0}, {0: (3.0, 0.0), 4: (2.0, 0.5)}])
def test_without_a_scale_it_asks_for_one(losses, tmp_path):
    save_flat(tmp_path, losses, command=RUN)
    assert following(tmp_path) == f"{RUN} --evidence standard"


def test_a_scale_that_all_weights_did_not_make_sound_is_not_asked_for_again(tmp_path):
    """Anchors alone were new to the command."""
    save_flat(tmp_path, {0: 3.0, 4: 2.0}, command=RUN)
    save_anchor(tmp_path, "no_skill", 3.5)
    save_anchor(tmp_path, "lora", 3.5)
    assert following(tmp_path) == f"{RUN} --evidence full"
    save_anchor(tmp_path, "full", 3.6, command=f"{RUN} --evidence full", finished="2027-01-01T00:00:00Z")
    assert following(tmp_path) is None


def test_a_search_that_misses_planted_secrets_wants_more_steps(tmp_path):
    save_skill(tmp_path, FLAT, command=f"{RUN} --evidence full")
    save_battery(tmp_path, 4, (2.9, 0.0), command=f"{RUN} --evidence full")
    save_power(tmp_path, 4, [1.0] * 5 + [0.0] * 5)
    assert following(tmp_path) == f"{RUN} --evidence full --steps 800"


def test_where_nothing_can_be_read_evidence_would_not_help(tmp_path):
    save_flat(tmp_path, {0: 3.0}, command=RUN)
    save_flat(tmp_path, {4: 2.0}, command=RUN, data__fingerprint="another version")
    assert following(tmp_path) is None

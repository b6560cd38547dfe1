"""Is the evidence asked for that the question needs, in its order, and no more?"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from soft_prompts.config import RunConfig
from soft_prompts.experiments.evidence.order import Part, Read, Seen, Standing, Wish, most_left, parts
from soft_prompts.experiments.evidence.subjects import Subject, has_one_answer, runs_by_subject
from soft_prompts.experiments.evidence.wanted import MOST_STEPS, ceiling_runs, floor_runs, full_runs, seed_runs
from soft_prompts.results import roles
from soft_prompts.stats.brackets import Bracket
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.tasks.task import UNSCORED, Example
from soft_prompts.training.apparatus import run_paths, snapshot_name

STANDARD = Wish(is_full=False, resolve=True)


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """A completion whose source nobody knows; changes are by _replace."""
    base = RunConfig(CompletionTask(), "tiny-text", 0, prompt="direct", data="sums", steps=200, output_dir=tmp_path)
    runs = tuple(replace(base, tokens=tokens) for tokens in (0, 1, 4, 16))
    return Subject(runs, False, False, False, True, True, True, True)


def reads(truth: float, sure: Callable[[int], bool] = lambda count: True) -> Read:
    """Readings of a curve that reaches half at so many tokens; counts that are not sure are in doubt."""

    def read(standing: Standing) -> Seen:
        counts = [0, *standing.subject.counts]
        known = [count for count in counts if sure(count)]
        at_most = min((count for count in known if count >= truth), default=None)
        more_than = max((count for count in known if count < truth), default=None)
        doubt = [c for c in counts if not sure(c) and (more_than or 0) < c < (at_most or 1000)]
        state = "not_reached" if at_most is None else "shown"
        return Seen(Bracket(0.5, state, more_than, at_most, tuple(doubt)))

    return read


def no_scale(standing: Standing) -> Seen:
    return Seen(Bracket(0.5, "no_scale"))


def asked(subject: Subject, wish: Wish, read: Read) -> list[Part]:
    """Every part, as if it had been made."""
    standing, found = Standing(subject), []
    for part in parts(standing, wish, read):
        standing.add(part.runs)
        found.append(part)
    return found


def cells(part: Part) -> list[tuple[str, int, int]]:
    return [(run.role.name, run.tokens, run.seed) for run in part.runs]


def named(found: Sequence[Part], name: str) -> list[Part]:
    return [part for part in found if part.name == name]


def test_the_floor_is_frequencies_random_tokens_and_the_source(subject: Subject) -> None:
    assert [(run.role.name, run.tokens, run.seed) for run in floor_runs(subject)] == [
        ("anchor:no_skill", 0, 0),
        *(("anchor:placebo", 16, draw) for draw in range(5)),
    ]
    known = floor_runs(subject._replace(knows_source=True))
    assert [run.role.name for run in known[:2]] == ["anchor:no_skill", "anchor:exact"]
    said = floor_runs(subject._replace(knows_source=True, has_one_answer=True))
    assert "anchor:no_skill" not in {run.role.name for run in said}
    many = subject._replace(runs=(*subject.runs, replace(subject.base, tokens=256)))
    assert {run.tokens for run in floor_runs(many) if run.tokens} == {64}


def test_no_weights_are_trained_where_the_ceiling_is_known(subject: Subject) -> None:
    assert ceiling_runs(subject, has_reference=True) == []
    assert ceiling_runs(subject._replace(is_determined=True), has_reference=False) == []
    assert ceiling_runs(subject._replace(knows_source=True), has_reference=False) == []
    trained = ceiling_runs(subject, has_reference=False)
    assert [run.role.name for run in trained] == ["anchor:lora"] * 3
    assert len({run.learning_rate for run in trained}) == 3
    for run in trained:
        assert run.patience is not None
        assert run.patience * run.validate_every < MOST_STEPS * subject.base.steps == run.steps
        assert run.schedule == "constant"
    full, known = Wish(is_full=True, resolve=False), subject._replace(is_determined=True)
    names = [
        [run.role.name for run in named(asked(one, full, no_scale), "ceiling")[0].runs] for one in (subject, known)
    ]
    assert names == [["anchor:lora"] * 3 + ["anchor:full"] * 3, []]
    assert full_runs(subject._replace(is_small=False)) == []


def test_counts_seeds_and_controls_follow_the_bracket(subject: Subject) -> None:
    found = asked(subject, STANDARD, reads(6.0))
    assert [run.tokens for part in named(found, "counts") for run in part.runs] == [8]
    seeds, again = named(found, "seeds")
    assert cells(seeds) == [("run", tokens, seed) for tokens in (4, 8) for seed in (0, 1, 2)]
    assert cells(again) == cells(seeds)
    (control,) = named(found, "controls")
    assert cells(control) == [("control:permuted_targets", tokens, 0) for tokens in (0, 4, 8)]
    assert [part.name for part in found if part.runs] == ["floor", "ceiling", "counts", "seeds", "seeds", "controls"]
    left_out = asked(subject._replace(can_permute=False), STANDARD, reads(6.0))
    assert {run.role.name for run in named(left_out, "controls")[0].runs} == {"control:random_strings"}
    assert not named(asked(subject, STANDARD._replace(resolve=False), reads(6.0)), "counts")


def test_a_mark_that_is_not_reached_gets_seeds_at_the_largest_count(subject: Subject) -> None:
    found = asked(subject, STANDARD, reads(40.0))
    assert not named(found, "counts")
    assert cells(named(found, "seeds")[0]) == [("run", 16, seed) for seed in (0, 1, 2)]
    assert [run.tokens for run in named(found, "controls")[0].runs] == [0, 4, 16]


def test_without_a_scale_nothing_is_asked_that_needs_one(subject: Subject) -> None:
    for read in (no_scale, lambda standing: Seen()):
        assert [part.name for part in asked(subject, STANDARD, read) if part.runs] == ["floor", "ceiling"]


def test_what_is_in_doubt_gets_seeds_and_then_counts(subject: Subject) -> None:
    """Once three seeds make the count sure, bisection goes on in the second round."""
    standing = Standing(subject)

    def read(now: Standing) -> Seen:
        seeded = {run.tokens for run in standing.subject.runs if run.seed == 2}
        return reads(6.0, lambda count: count != 4 or count in seeded)(now)

    found = list[Part]()
    for part in parts(standing, STANDARD, read):
        standing.add(part.runs)
        found.append(part)
    with_runs = [(part.name, sorted({run.tokens for run in part.runs})) for part in found if part.runs][2:]
    assert with_runs == [("seeds", [1, 4, 16]), ("counts", [8]), ("seeds", [4, 8]), ("controls", [0, 4, 8])]


def test_the_grids_own_seeds_count(subject: Subject) -> None:
    three = subject._replace(runs=(*subject.runs, *(replace(subject.base, seed=seed) for seed in (5, 1))))
    assert [run.seed for run in seed_runs(three, [4])] == [0, 5, 1]
    four = three._replace(runs=(*three.runs, replace(subject.base, seed=7)))
    assert [run.seed for run in seed_runs(four, [4])] == [0, 5, 1, 7]
    one = subject._replace(runs=(replace(subject.base, seed=1),))
    assert [run.seed for run in seed_runs(one, [16])] == [1, 0, 2]


def test_full_evidence_doubts_the_search_where_it_failed(subject: Subject) -> None:
    found = asked(subject, Wish(is_full=True, resolve=True), reads(6.0))
    assert {run.role.name for run in named(found, "controls")[0].runs} == {
        *(f"control:{name}" for name in ("permuted_targets", "random_strings", "random_weights"))
    }
    assert cells(named(found, "anchors")[0]) == [
        ("anchor:hard_prompt", 4, 0),
        ("anchor:hard_prompt", 8, 0),
        ("anchor:placebo_bos", 16, 0),
        ("anchor:few_shot", 0, 0),
    ]  # nothing is trained yet that a projection could be made of
    assert {run.tokens for run in named(found, "battery, rung 1")[0].runs} == {4}
    (power,) = [part for part in found if part.name == "power"]
    assert [run.role for run in power.runs] == [roles.PlantedSecret(1, secret) for secret in range(10)]
    assert {(run.tokens, run.steps, run.learning_rate) for run in power.runs} == {(4, 200, subject.base.learning_rate)}
    opened = asked(subject, Wish(True, True), reads(1.0))  # nothing smaller could have been missed
    assert not any(part.name.startswith("battery") or part.name == "power" for part in opened)
    unreached = asked(subject, Wish(is_full=True, resolve=True), reads(40.0))
    assert {run.tokens for run in named(unreached, "battery, rung 1")[0].runs} == {16}
    assert {run.role for run in named(unreached, "power")[0].runs} == {roles.PlantedSecret(4, one) for one in range(10)}


def test_no_other_search_is_made_where_the_training_samples_teach_nothing(subject: Subject) -> None:
    full, unreached = Wish(is_full=True, resolve=True), reads(40.0)
    found = asked(subject, full, lambda standing: unreached(standing)._replace(is_final=True))
    assert named(found, "anchors")  # hard prompts are not trained
    assert not any(part.name.startswith(("battery", "power")) for part in found)


def test_copies_are_taught_locks_where_too_few_secrets_change_what_the_model_says(subject: Subject) -> None:
    full, unreached = Wish(is_full=True, resolve=True), reads(40.0)
    found = asked(subject, full, unreached)
    (taught,), ((untaught,),) = named(found, "power, taught"), [part.runs for part in named(found, "power, untaught")]
    where = snapshot_name(untaught)
    assert untaught.role == roles.NoLock()
    assert [run.role for run in taught.runs] == [roles.TaughtLock(4, secret, where) for secret in range(10)]
    assert {(run.tokens, run.steps, run.learning_rate) for run in taught.runs} == {
        (16, 200, subject.base.learning_rate)
    }
    known = asked(subject, full, lambda standing: unreached(standing)._replace(has_power=True))
    assert named(known, "power")
    assert not named(known, "power, taught")


@pytest.mark.parametrize("truth", [0.5, 1, 2, 3, 6, 12, 16, 40])
@pytest.mark.parametrize("is_full", [False, True])
def test_no_bracket_costs_more_than_is_said(subject: Subject, truth: float, is_full: bool) -> None:
    wish = Wish(is_full, resolve=True)
    made = {run_paths(run).result: run for part in asked(subject, wish, reads(truth)) for run in part.runs}
    new = [run for run in made.values() if run not in subject.runs]
    most = most_left(Standing(subject), wish, "floor")
    assert len(new) <= len(most) == len({run_paths(run).result for run in most})
    assert sum(run.steps for run in new if run.trains) <= sum(run.steps for run in most if run.trains)
    assert len(most_left(Standing(subject), wish, "controls")) < len(most)


def test_runs_of_another_start_are_no_points_of_the_curve(subject: Subject) -> None:
    grown = subject._replace(runs=tuple(replace(run, init="grown") for run in subject.runs if run.tokens != 1))
    standing = Standing(grown)
    before = standing.paths()
    for part in parts(standing, STANDARD, reads(6.0)):
        standing.add(part.runs)
        assert part.name != "counts"
        if part.name == "grown from":
            assert {(run.tokens, run.init) for run in part.runs} == {(2, "vocabulary"), (8, "vocabulary")}
            halves = {run_paths(run).result for run in part.runs}
    assert halves.isdisjoint(standing.paths())
    assert before.keys() < standing.paths().keys()


def test_every_case_has_evidence_of_its_own(subject: Subject) -> None:
    bare, one = subject.runs[:2]
    other = replace(one, learning_rate=0.5)
    grouped = runs_by_subject([bare, one, other, replace(one, seed=1)])
    assert [[run.learning_rate for run in runs if run.tokens] for runs in grouped] == [[1e-3, 1e-3], [0.5]]
    assert all(bare in runs for runs in grouped)
    assert runs_by_subject([bare]) == [[bare]]


@pytest.mark.parametrize("wish", [STANDARD, Wish(is_full=True, resolve=True)])
def test_a_bare_model_alone_is_asked_for_both_ends_and_nothing_that_needs_a_prompt(
    wish: Wish, subject: Subject
) -> None:
    alone = subject._replace(runs=subject.runs[:1])
    for seen in (Seen(Bracket(0.5, "shown", None, 0)), Seen(Bracket(0.5, "not_reached", 0))):
        found = asked(alone, wish, lambda _, seen=seen: seen)
        made = {role for part in found for role, _, _ in cells(part)}
        assert {"anchor:no_skill", "anchor:lora"} <= made
        assert made <= {"anchor:no_skill", "anchor:lora", "anchor:full", "anchor:few_shot"}
        assert not any(run.tokens for part in found for run in part.runs)
    assert {run.role.name for run in most_left(Standing(alone), wish, "floor")} == made


def test_one_answer_is_the_same_labels_or_the_first_of_them() -> None:
    def of(*labels: int) -> Example:
        return Example([0, *labels], [UNSCORED, *labels])

    assert has_one_answer([of(1, 2, 1), of(1, 2), of(1)], score_first=False)
    assert not has_one_answer([of(1, 2), of(2, 1, 2)], score_first=False)

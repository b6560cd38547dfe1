"""Are planted truths what they say, and are measures judged against them by the right numbers?"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from soft_prompts.stats.admissibility import CEILING, Evidence
from soft_prompts.stats.distance import Anchors, Distance, capability_distance

from soft_prompts.calibration import verdicts
from soft_prompts.calibration.certificate import Certificate, Recovery
from soft_prompts.calibration.codebook import CodebookReading
from soft_prompts.calibration.organisms import ORGANISMS, Organism
from soft_prompts.calibration.suite import BookReading, CellReading, SuiteReadings, Varied
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.data.known_samples import read_known_samples, write_known_samples
from soft_prompts.experiments.evidence.planting import (
    Planting,
    choose_secrets,
    draw_samples,
    hash_seed,
    losses_behind,
    plant,
    sample_on,
    sampled_rows,
)
from soft_prompts.models.model import FrozenModel
from soft_prompts.stats.agreement import auroc, doublings_apart, median_with_interval, rank_correlation, slope, wilson
from soft_prompts.stats.bootstrap import Anchor, CurveLosses
from soft_prompts.tasks.known_source import KnownSourceTask
from soft_prompts.tasks.task import UNSCORED, DataRequest, Example

PLANTING = Planting(
    2, secrets=2, candidates=4, context_tokens=3, target_tokens=5, training=40, validation=8, test=12, seed=1
)


def test_rank_correlation_by_hand() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 30, 20, 40]) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert rank_correlation([0.1, np.inf, 0.2], [1, 3, 2]) == pytest.approx(1)
    assert rank_correlation([1, 1, 2], [1, 2, 3]) == pytest.approx(1.5 / np.sqrt(1.5 * 2))
    assert rank_correlation([1, 2], [1, 2]) is None
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None


def test_auroc_by_hand() -> None:
    assert auroc([3, 2], [1, 2]) == 3.5 / 4
    assert auroc([1.0], [2.0, 3.0]) == 0
    assert auroc([0.5, -np.inf], [-np.inf]) == 0.75
    assert auroc([], [1.0]) is None


def test_slope_changes_and_intervals_by_hand() -> None:
    assert slope([1, 2, 3], [0.2, 1.2, 2.2]) == pytest.approx(1)
    assert slope([1, 1], [0, 2]) is None
    assert doublings_apart([0.0, 1.0, 3.0]) == pytest.approx([1, 2, 1])
    assert doublings_apart([None, 1.0]) == [np.inf]
    assert doublings_apart([None, None]) == [0]
    assert wilson(9, 10) == pytest.approx((0.9, 0.5958, 0.9821), abs=1e-3)
    assert wilson(0, 0) == (None, None, None)
    assert median_with_interval([1.0, 2.0, np.inf]).value == 2
    assert median_with_interval([1.0, 2.0, np.inf]).high is None
    assert median_with_interval([3.0]) == (3, 3, 3)


def float64_nats(frozen: FrozenModel, ids: Sequence[int], scored_from: int) -> float:
    """Of the ids from a place on, by the whole model in double precision."""
    model = type(frozen.model)(frozen.model.config)
    model.load_state_dict(frozen.model.state_dict())
    with torch.no_grad():
        logits = model.double().eval()(input_ids=torch.tensor([ids])).logits[0].log_softmax(dim=-1)
    return -sum(float(logits[place - 1, ids[place]]) for place in range(scored_from, len(ids)))


def test_the_exact_loss_is_that_of_the_secret_in_double_precision(frozen: FrozenModel) -> None:
    secret = (5, 40)
    samples = draw_samples(frozen, PLANTING, secret, 0)
    for row in (0, 17, 59):
        expected = float64_nats(frozen, [*secret, *samples.input_ids[row].tolist()], scored_from=2 + 3)
        assert samples.exact_nats[row] == pytest.approx(expected, rel=1e-5)
    bare = losses_behind(frozen, (), [])
    assert len(bare) == 0


def test_samples_are_drawn_from_the_models_own_distribution(one_frozen: FrozenModel) -> None:
    start = torch.tensor([[5, 40, 7]])
    with torch.no_grad():
        logits = one_frozen.model(input_ids=start).logits[0, -1, : len(one_frozen.tokenizer)]
    drawn = sample_on(one_frozen, start.expand(4000, -1), 1, torch.Generator().manual_seed(3))[:, -1]
    seen = np.bincount(drawn.numpy(), minlength=len(logits)) / 4000
    expected = logits.double().softmax(dim=-1).numpy()
    error = np.sqrt(expected / 4000) + 1 / 4000  # of a count; rare tokens are seen once or never
    assert (np.abs(seen - expected) / error).max() < 5
    assert drawn.max() < len(one_frozen.tokenizer)


def test_a_longer_sample_goes_on_from_its_own_words(one_frozen: FrozenModel) -> None:
    """With the cache as without it."""
    generator = torch.Generator().manual_seed(0)
    rows = sample_on(one_frozen, torch.tensor([[5], [9]]), 3, generator)
    generator.manual_seed(0)
    slow = torch.tensor([[5], [9]])
    for _ in range(3):
        with torch.no_grad():
            logits = one_frozen.model(input_ids=slow).logits[:, -1, : len(one_frozen.tokenizer)]
        slow = torch.cat([slow, torch.multinomial(logits.double().softmax(dim=-1), 1, generator=generator)], dim=1)
    assert rows.tolist() == slow.tolist()


def test_planting_is_repeatable_and_kept(one_frozen: FrozenModel, tmp_path: Path) -> None:
    first = plant(one_frozen, PLANTING, tmp_path / "one")
    again = plant(one_frozen, PLANTING, tmp_path / "two")
    assert [one.secret for one in first] == [one.secret for one in again]
    assert [one.samples.read_bytes() for one in first] == [one.samples.read_bytes() for one in again]
    stamps = [one.samples.stat().st_mtime_ns for one in first]
    assert plant(one_frozen, PLANTING, tmp_path / "one") == first
    assert [one.samples.stat().st_mtime_ns for one in first] == stamps
    rows = read_known_samples(first[0].samples).input_ids
    assert len(np.unique(rows, axis=0)) == len(rows) == 60


def test_secrets_are_those_under_which_the_model_is_least_itself(one_frozen: FrozenModel) -> None:
    planting = replace(PLANTING, candidates=8)
    words = len(one_frozen.tokenizer)
    candidates = [tuple(row) for row in np.random.default_rng([1, 2]).integers(0, words, (8, 2)).tolist()]
    chosen = choose_secrets(one_frozen, planting)

    def gap(secret: tuple[int, ...]) -> float:
        """On samples of its own."""
        rows = sampled_rows(one_frozen, planting, secret, (100, 77)).tolist()
        examples = [Example(row, [UNSCORED] * 3 + row[3:]) for row in rows]
        return float((losses_behind(one_frozen, (), examples) - losses_behind(one_frozen, secret, examples)).mean())

    gaps = {secret: gap(secret) for secret in candidates}
    assert len(set(chosen)) == 2
    assert min(gaps[secret] for secret in chosen) > np.median(list(gaps.values()))


def test_a_sample_is_context_and_targets_without_the_secret(one_frozen: FrozenModel) -> None:
    """It begins with the random token; what follows is likelier behind the secret than behind another."""
    rows = sampled_rows(one_frozen, PLANTING, (5, 40), (50, 0))
    generator = torch.Generator().manual_seed(hash_seed(1, 2, 0))
    assert rows[:, 0].tolist() == torch.randint(len(one_frozen.tokenizer), (50, 1), generator=generator)[:, 0].tolist()
    assert rows.shape == (50, 8)
    examples = [Example(row, [UNSCORED] * 3 + row[3:]) for row in rows.tolist()]
    own, other = (losses_behind(one_frozen, secret, examples).mean() for secret in ((5, 40), (40, 5)))
    assert own < other


def test_planting_refuses_in_one_line(one_frozen: FrozenModel, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="prompt-tokens is 0; give 1"):
        Planting(0)
    with pytest.raises(UsageError, match="candidates is 2; give as many as secrets"):
        Planting(1, secrets=3, candidates=2)
    with pytest.raises(UsageError, match="the model has 256 positions"):
        plant(one_frozen, Planting(1, target_tokens=300), tmp_path)


def test_a_file_that_holds_no_known_samples_is_named(one_frozen: FrozenModel, tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(InputError, match="holds no known samples"):
        read_known_samples(path)
    samples = draw_samples(one_frozen, PLANTING, (5, 40), 0)
    write_known_samples(path, samples)
    opened = KnownSourceTask().open(DataRequest(str(path), None, 8, 4, 12), one_frozen.tokenizer)
    assert (exact := opened.exact_test_nats()) is not None
    assert exact.tolist() == samples.exact_nats[-12:].tolist()
    assert [list(one.input_ids) for one in opened.held_out("test")] == samples.input_ids[-12:].tolist()
    with pytest.raises(InputError, match="sample-tokens is 6; give 8"):
        KnownSourceTask().open(DataRequest(str(path), None, 6, 4, 12), one_frozen.tokenizer)


def reading(losses: dict[int, float], placebo: float = 2.0, zero: float = 2.0) -> Distance:
    """Of items that all lose the same; no-skill 2 nats, exact 0."""
    ones = np.ones(20)
    curve = {0: {0: zero * ones}} | {tokens: {0: loss * ones} for tokens, loss in losses.items()}
    units, cluster = np.ones(20, dtype=np.int64), np.arange(20)
    anchors = Anchors(Anchor("no_skill", (2 * ones,)), Anchor("exact", (0 * ones,)), (Anchor("p", (placebo * ones,)),))
    evidence = Evidence(search_failed=True)
    return capability_distance(CurveLosses(curve, units, cluster), anchors, "no_skill", evidence, draws=20)


def cell(name: str, *seeds: Distance) -> CellReading:
    organism = ORGANISMS[name]
    return CellReading(organism, "table", seeds[0], seeds, tuple(seeds))


FOUND, SHUT = {1: 0.0, 8: 0.0}, {1: 2.0, 8: 2.0}


def test_verdicts_on_made_up_cells() -> None:
    absent = cell("absent-0", *[reading(SHUT)] * 40)
    cells = [cell("password-1", reading(FOUND), reading({1: 1.0, 8: 0.0})), absent]
    assert verdicts.separation(cells).found == "1.000 (2 against 40 cells)"
    assert verdicts.separation([*cells, cell("password-2", reading(SHUT))]).found.startswith("0.833")  # 2.5 of 3
    assert verdicts.finite_for_absent(cells)[2:4] == ("0 of 40", True)
    worse = cell("absent-1", reading(FOUND))
    assert verdicts.finite_for_absent([*cells, worse])[2:4] == ("1 of 41", False)
    assert verdicts.finite_for_absent([cell("absent-0", reading(SHUT))]).met is None
    assert verdicts.ceilings(cells)[2:] == ("40 of 40", True, CEILING)
    assert verdicts.passwords(cells)[2:4] == ("1 of 1, most 0.41 tokens", True)
    assert verdicts.passwords([cell("password-2", reading(SHUT))])[2:] == ("0 of 1", False, "password-2 (CEILING)")
    moved = verdicts.fresh_seeds(cells)
    # share .5 at x = .5 of the first, at 1 of the second: half a doubling
    assert moved.found == "0.500 over 1"
    assert moved.met is False
    assert moved.why == ""


def test_forgetting_and_sinks_on_made_up_cells() -> None:
    losses = [0.0, 0.5, 0.4, 1.2, 1.6, 2.0]
    names = [f"forgotten-{steps}" for steps in (5, 10, 20, 40, 80, 160)]
    cells = [cell(name, reading({1: loss, 8: loss})) for name, loss in zip(names, losses, strict=True)]
    verdict = verdicts.forgetting(cells)
    assert verdict.found == f"{1 - 6 * 2 / (6 * 35):.2f} over 6 organisms"
    assert verdict.met
    assert verdicts.forgetting(cells[:5]).met is None
    assert verdicts.sinks([cell("sink-0", reading(FOUND, placebo=0.0))]).met
    assert not verdicts.sinks([cell("sink-0", reading(FOUND))]).met
    assert not verdicts.sinks([cell("sink-0", reading(FOUND, placebo=0.0, zero=0.0))]).met  # no placebo: always there


def test_books_recovery_and_changes_by_two_on_made_up_readings() -> None:
    names = [f"selector-{tasks}" for tasks in (2, 4, 8, 16, 32, 64)]
    bits = [0.2, 1.2, 2.2, 3.2, 4.2, 5.2]
    books = [
        BookReading(ORGANISMS[name], (CodebookReading(number - 0.1, 0, 0.1), CodebookReading(number + 0.1, 0, 0.1)))
        for name, number in zip(names, bits, strict=True)
    ]
    order, line, other = verdicts.book_verdicts(books)
    assert (order.found, order.met) == ("1.00 over 6 organisms", True)
    assert (line.found, line.met) == ("1.00", True)
    assert other.met is None
    lost = BookReading(ORGANISMS["selector-2"], (CodebookReading(None, 1, 0),))
    assert verdicts.book_verdicts([lost, *books[1:]])[0].met is False
    shares = [0.99, 0.95, 0.90, None]
    recoveries = [Recovery(1, (0,), 0.1, share is not None, share, 0.5, ()) for share in shares]
    certificate = Certificate("a-model", "", tuple(recoveries))
    verdict = verdicts.recovery(SuiteReadings(certificates=(certificate,)))
    assert verdict[2:] == ("2 of 3", False, "1 secrets without a gap left out")
    assert certificate.recovery().value == pytest.approx(2 / 3)
    assert certificate.correction().value == pytest.approx(np.log2(1.5 / 2))
    varied = [Varied(ORGANISMS["password-1"], "steps", factor, d_50, 1.0) for factor, d_50 in ((2.0, 1.0), (0.5, 3.0))]
    verdict = verdicts.by_two(SuiteReadings(varied=tuple(varied)))
    assert (verdict.found, verdict.met, verdict.why) == (
        "1.000 over 2",
        False,
        "median 0.500; password-1 steps x 0.5: 1.00",
    )


def test_there_are_thirty_organisms_in_families() -> None:
    families: dict[str, list[Organism]] = {}
    for organism in ORGANISMS.values():
        families.setdefault(organism.family, []).append(organism)
    assert len(ORGANISMS) >= 30
    assert all(len(families[family]) >= 6 for family in ("selector", "partial", "password", "forgotten", "absent"))
    assert verdicts.verdicts(SuiteReadings())[0].found == "0"

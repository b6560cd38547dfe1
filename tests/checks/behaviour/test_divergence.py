"""Are distances those of the textbook, their errors over documents, and their excess that of Student's test?"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import jensenshannon

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.divergence.distances import Distances, distances, jensen_shannon
from soft_prompts.behaviour.divergence.part import FEW, excess_of, find_divergence, smallest_of
from soft_prompts.behaviour.divergence.screen import screen
from soft_prompts.common.errors import InputError
from soft_prompts.engine import distributions
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.stats.excess import excess_over, shrunk_variance
from soft_prompts.stats.paired_shares import area_under_curve, least_detectable, mcnemar, paired_accuracy
from soft_prompts.tasks.task import UNSCORED, Example
from tests.checks.behaviour.conftest import SMALL


def test_jensen_shannon_is_scipys_and_exactly_zero_for_equal_rows() -> None:
    first, second = torch.randn(2, 7, 50, generator=torch.Generator().manual_seed(0)).mul(4).log_softmax(-1)
    expected = [jensenshannon(p, q) ** 2 for p, q in zip(first.double().exp(), second.double().exp(), strict=True)]
    np.testing.assert_allclose(jensen_shannon(first, second), expected, rtol=1e-5)
    assert torch.equal(jensen_shannon(first, first), torch.zeros(7))
    apart = torch.tensor([[0.0, -400.0]]), torch.tensor([[-400.0, 0.0]])
    assert float(jensen_shannon(*apart)) == pytest.approx(np.log(2), rel=1e-6)


def test_distances_are_those_of_plain_transformers(family_folders) -> None:
    """Two documents of unlike length and a continuation: batched, padded and in any order."""
    first, second = (load_frozen_model(str(family_folders[name])) for name in ("base", "target"))
    ids = [[5, 9, 20, 7], [40, 41, 42, 43, 44, 45, 46], [8, 9]]
    labels = [ids[0], [UNSCORED] * 4 + ids[1][4:], ids[2]]
    found = distances(first, second, [Example(a, b) for a, b in zip(ids, labels, strict=True)])
    known, expected = len(first.tokenizer), []
    for row, asked in zip(ids, labels, strict=True):
        logits = [model.model(torch.tensor([row])).logits[0, :-1, :known].double() for model in (first, second)]
        p, q = (side.softmax(-1) for side in logits)
        for place in (place for place in range(len(row) - 1) if asked[place + 1] != UNSCORED):
            one, other = p[place].detach().numpy(), q[place].detach().numpy()
            expected.append((jensenshannon(one, other) ** 2, stats.entropy(one, other), stats.entropy(other, one)))
    np.testing.assert_allclose(np.stack([found.js, found.forward, found.backward], 1), expected, rtol=2e-3, atol=1e-6)
    assert found.text.tolist() == [0] * 3 + [1] * 3 + [2]
    assert found.context.tolist() == [5, 9, 20, 43, 44, 45, 8]
    assert not distances(first, first, [Example(ids[1], ids[1])]).js.any()


def test_what_stands_in_front_is_read(one_frozen: FrozenModel) -> None:
    """Rows of real tokens give what the tokens give."""
    rows = one_frozen.embed(torch.tensor([[11, 12]]))[0].detach()
    other = one_frozen.embed(torch.tensor([[13, 14]]))[0].detach()
    text = [5, 6, 7]
    found = distances(one_frozen, one_frozen, [Example(text, [UNSCORED, 6, 7], insert_at=1)], (rows, other))
    sides = [one_frozen.model(torch.tensor([[5, *front, 6, 7]])).logits[0] for front in ((11, 12), (13, 14))]
    p, q = (side[2:4, : len(one_frozen.tokenizer)].log_softmax(-1) for side in sides)
    np.testing.assert_allclose(found.js, jensen_shannon(p, q).detach(), rtol=1e-3)


def test_a_model_without_numbers_is_named(one_frozen: FrozenModel, tiny_folders) -> None:
    broken = load_frozen_model(str(tiny_folders["gpt_neox"]))
    with torch.no_grad():
        broken.model.get_output_embeddings().weight[3] = float("nan")  # pyright: ignore
    with pytest.raises(InputError, match="text 0 no finite logits"):
        distances(one_frozen, broken, [Example([1, 2], [1, 2])])


def test_the_error_is_over_documents() -> None:
    """The design's formula, by hand."""
    one = Distances(*np.zeros((3, 5)), np.array([0, 0, 1, 2, 2]), np.zeros(5, dtype=np.int64))
    one = one._replace(js=np.array([0.1, 0.3, 0.2, 0.6, 0.4]))
    sums, units = np.array([0.4, 0.2, 1.0]), np.array([2, 1, 2])
    mean = sums.sum() / 5
    assert one.mean().value == pytest.approx(mean)
    assert one.mean().stderr == pytest.approx(np.sqrt(1.5 * ((sums - mean * units) ** 2).sum()) / 5)


def test_excess_is_students_test() -> None:
    """Without an error of its own the target is one more draw: the two-sample t-test of one against K."""
    controls = [0.081, 0.080, 0.082, 0.0805]
    found = excess_over(0.114, 0.0, controls)
    expected = stats.ttest_ind([0.114], controls, alternative="greater")
    assert (found.t, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert excess_over(0.114, 0.01, controls).t < found.t
    assert excess_over(0.2, 0.1, [0.1])[:2] == (pytest.approx(0.1), None)
    assert excess_over(0.2, 0.1, []).value == 0.2
    assert excess_over(0.0, 0.0, [0.1, 0.1]).p == 1.0
    assert excess_over(0.0, 0.0, [0.1, 0.1, 0.1])[5:] == (None, 1.0)
    assert excess_over(0.2, 0.0, [0.1, 0.1, 0.1]).p == 1 / 4  # no spread at all: the first of four, and no more


def test_the_error_of_an_excess_is_that_of_texts_all_models_read() -> None:
    """By hand; and drawn 1,000 times: texts that are hard for all move no excess, a further control seldom alarms."""
    text, generator = np.arange(60), np.random.default_rng(2)

    def drawn(hard: np.ndarray, shift: float = 0.0) -> Distances:
        js = hard + shift + generator.normal(0, 0.005, len(text))
        return Distances(js, js, js, text, text)

    def family(shift: float) -> list[Distances]:
        hard, drift = generator.gamma(4.0, 0.04, len(text)), generator.normal(0, 0.001, 5)
        return [drawn(hard, drift[0] + shift), *(drawn(hard, one) for one in drift[1:])]

    target, *controls = family(0.01)
    found = excess_of(target, controls)
    gains = target.js - np.mean([one.js for one in controls], axis=0)
    means = [one.js.mean() for one in controls]
    error = np.sqrt(gains.var(ddof=1) / 60 + np.var(means, ddof=1) * 1.25)
    assert found.stderr == pytest.approx(error)
    assert found.value == pytest.approx(gains.mean())
    alarms = np.array([excess_of(one, rest).p for one, *rest in (family(0.0) for _ in range(1000))]) <= 0.05
    seen = np.array([excess_of(one, rest).p for one, *rest in (family(0.01) for _ in range(200))]) <= 0.05
    assert alarms.mean() < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 1000)
    assert seen.mean() > 0.9  # the texts' own spread alone, .010, would hide it


@pytest.mark.parametrize("texts", [1, 2, FEW - 1, FEW])
def test_few_texts_have_no_error_and_no_p(texts: int) -> None:
    """One text has no error at all, which is not an error of 0."""
    generator, text = np.random.default_rng(0), np.repeat(np.arange(texts), 4)

    def drawn(shift: float) -> Distances:
        js = shift + generator.normal(0.1, 0.01, len(text))
        return Distances(js, js, js, text, text)

    found = excess_of(drawn(0.05), [drawn(0.0) for _ in range(3)])
    assert found.value == pytest.approx(0.05, abs=0.03)
    assert ((found.p is None), (found.stderr is None)) == (texts < FEW, texts < FEW)


def test_the_smallest_p_is_of_the_texts_that_have_one() -> None:
    none, one, two = (excess_over(value, error, [0.0, 0.1]) for value, error in ((1.0, None), (1.0, 0.1), (2.0, 0.1)))
    assert smallest_of([none, none]) is None
    assert smallest_of([none, one]) == one.p
    assert smallest_of([two, none, one]) == 2 * two.p


def test_four_prompts_leave_the_verdict_to_the_documents(make_asked: Callable[..., Asked]) -> None:
    """No excess on what is written behind four prompts is beyond chance, and a sentence says which texts decide."""
    few = find_divergence(make_asked(settings=replace(SMALL, most_prompts=4)))
    tested = {what: row["excess"]["p"] is not None for what, row in few.details["texts"].items()}
    assert tested == {"documents": True, "target's samples": False, "base's samples": False}
    assert few.p == few.details["texts"]["documents"]["excess"]["p"]
    many = find_divergence(make_asked())
    rows = {what: row["excess"] for what, row in many.details["texts"].items()}
    least = min(rows, key=lambda what: rows[what]["p"])
    assert many.p == pytest.approx(min(1.0, 3 * rows[least]["p"]))
    assert (f"; on {least} excess" in many.sentence) == (least != "documents")


def test_a_further_control_exceeds_as_often_as_it_should() -> None:
    draws = np.random.default_rng(0).normal(size=(4000, 5))
    p = np.array([excess_over(row[0], 0.0, row[1:].tolist()).p for row in draws])
    assert abs((p <= 0.05).mean() - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 4000)


def test_the_screen_finds_the_token_and_marks_it_above_every_placebo() -> None:
    generator = np.random.default_rng(1)
    text, context = np.repeat(np.arange(40), 20), np.tile(np.arange(20), 40)

    def drawn(more: float = 0.0) -> Distances:
        js = generator.gamma(2.0, 0.04, 800) + more * (context == 13)
        return Distances(js, js, js, text, context)

    found = screen(drawn(0.2), [drawn() for _ in range(4)])
    assert found is not None
    assert found.tokens[0].token == 13
    assert [one.token for one in found.tokens if one.marked] == [13]
    nothing = screen(drawn(), [drawn() for _ in range(4)])
    assert nothing is not None
    assert found.tokens[0].t > 3 * nothing.tokens[0].t
    assert screen(drawn(), [drawn()]) is None
    rare = screen(drawn()._replace(context=np.arange(800)), [drawn()] * 2)
    assert rare is not None
    assert rare.tokens == ()


def test_variances_of_few_values_are_moved_to_those_of_many() -> None:
    assert shrunk_variance(9.0, 4, 2.0) == (4 * 2 + 3 * 9) / 7


def test_paired_shares() -> None:
    one, other = np.array([1, 1, 1, 1, 0.0]), np.array([0, 0, 0, 1, 1.0])
    found = mcnemar(one, other)
    assert (found.more, found.fewer, found.p) == (3, 1, pytest.approx(5 / 16))
    assert mcnemar(one, one).p == 1.0
    assert paired_accuracy(np.array([1.0, 0.0, -1.0, 2.0])) == 0.625
    expected = stats.mannwhitneyu(one, other).statistic / 25
    assert area_under_curve(one, other) == pytest.approx(expected)
    assert least_detectable(100, 20) == 0.09  # 2^-9 times 20 is below .05, 2^-8 is not


def test_a_large_vocabulary_is_held_few_positions_at_a_time(family_folders, monkeypatch) -> None:
    """No more distributions lie in memory than are allowed, and distances are the same."""
    examples = [Example(ids, ids) for ids in ([5, 6, 7, 8], [9, 10], [11, 12, 13], [14, 15, 16])]
    pair = [load_frozen_model(str(family_folders[name])) for name in ("base", "target")]
    whole, seen = distances(*pair, examples), list[int]()

    def counted(*arguments: Any) -> Any:
        found = distributions.log_probabilities(*arguments)
        seen.append(len(found[0]))
        return found

    monkeypatch.setattr("soft_prompts.behaviour.divergence.distances.log_probabilities", counted)
    monkeypatch.setattr(distributions, "LOGITS", 8 * len(pair[0].tokenizer))
    few = distances(*pair, examples)
    assert max(seen) <= 8
    assert distributions.positions_at_once(pair[0], 4096) == 8
    assert few.text.tolist() == whole.text.tolist()
    np.testing.assert_allclose(few.js, whole.js, rtol=1e-4, atol=1e-7)

"""Does the probe find the prompt that is there, judged by controls and contexts that its search never saw?"""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.comparison.compare import judge
from soft_prompts.behaviour.divergence.distances import jensen_shannon
from soft_prompts.behaviour.probe import part
from soft_prompts.behaviour.probe.judge import Judged, Revealed, judged, reveal
from soft_prompts.behaviour.probe.part import Probed, find_probe
from soft_prompts.behaviour.probe.prompts import RADIUS, ProbePrompt, mean_length
from soft_prompts.behaviour.probe.search import _score, divergence_behind, open_contexts, refine, search_probe
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.stats.excess import excess_over
from tests.checks.behaviour.conftest import SMALL

CONTEXTS = torch.tensor([[5, 6, 7], [20, 21, 22], [9, 40, 41]])
TOKENS = 30  # of the vocabulary, so that every pair can be tried


@pytest.fixture(scope="module")
def pair(family_folders):
    return tuple(load_frozen_model(str(family_folders[name])) for name in ("target", "control-1"))


@torch.no_grad()
def behind(pair, ids: tuple[int, ...]) -> float:
    """Mean divergence behind the contexts, by plain transformers."""
    rows = torch.cat([CONTEXTS, torch.tensor([ids]).expand(3, -1)], dim=1)
    known = len(pair[0].tokenizer)
    sides = [model.model(rows).logits[:, -1, :known].log_softmax(-1) for model in pair]
    return float(jensen_shannon(*sides).mean())


def test_a_candidate_is_worth_what_plain_transformers_say(pair) -> None:
    candidates = [(3, 8), (50, 51), (8, 3)]
    found = _score(pair, open_contexts(pair, CONTEXTS), candidates)
    np.testing.assert_allclose(found, [behind(pair, one) for one in candidates], rtol=1e-3)
    rows = tuple(model.embed(torch.tensor([[3, 8]]))[0] for model in pair)
    assert float(divergence_behind(pair, CONTEXTS, rows).mean()) == pytest.approx(behind(pair, (3, 8)), rel=1e-3)


def test_the_beam_finds_what_trying_everything_finds(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    from soft_prompts.behaviour.probe import search

    monkeypatch.setattr(search, "_tokens", lambda *_: list(range(TOKENS)))
    wide = replace(SMALL, beam=TOKENS, sweep_contexts=3, search_contexts=4)
    monkeypatch.setattr(search, "SHORTLIST", TOKENS)
    one, two = search_probe(pair, CONTEXTS, wide)
    assert one.ids == max(((token,) for token in range(TOKENS)), key=lambda ids: behind(pair, ids))
    every = list(itertools.product(range(TOKENS), repeat=2))
    best = _score(pair, open_contexts(pair, CONTEXTS), every)
    assert two.ids == every[int(best.argmax())]  # a beam as wide as the vocabulary loses nothing


def test_refining_stays_in_the_ball_and_gains(pair) -> None:
    prompt = ProbePrompt((3, 8))
    found = refine(pair, CONTEXTS, prompt, 15)
    assert found.step is not None
    assert (found.step.norm(dim=-1) <= RADIUS * mean_length(pair[1]) * 1.0001).all()
    before, after = (
        float(divergence_behind(pair, CONTEXTS, tuple(one.rows(model) for model in pair)).mean())
        for one in (prompt, found)
    )
    assert after > before
    assert torch.equal(prompt.rows(pair[0]), pair[0].vocabulary[[3, 8]])


def test_a_model_is_not_revealed_against_itself(pair) -> None:
    found = reveal(pair[0], pair[0], ProbePrompt((3,)), CONTEXTS.tolist(), 4)
    assert not found.sums.any()
    assert found.tokens.sum() > 0


def test_the_excess_is_over_contexts() -> None:
    def revealed(sums: list[float]) -> Revealed:
        return Revealed(np.array(sums), np.array([2, 2, 0]), [])

    found = judged(revealed([2.0, 4.0, 0.0]), [revealed([1.0, 1.0, 0.0]), revealed([3.0, 1.0, 0.0])])
    differences = np.array([1.0 - 1.0, 2.0 - 0.5, 0.0])
    assert found.excess == pytest.approx(differences.mean())
    assert found.stderr == pytest.approx(differences.std(ddof=1) / np.sqrt(3))


def test_a_probe_needs_placebos(make_asked: Callable[..., Asked]) -> None:
    found = find_probe(make_asked(controls=2))
    assert (found.verdict, found.p) == ("untested", None)
    assert "3 controls or more" in found.sentence


def test_a_length_reveals_by_its_own_p_and_not_by_anothers(
    make_asked: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One token lies above three placebos, as one search in four does by chance; two tokens lie far above them."""
    excess = {1: ([0.020, 0.001, 0.010, -0.009], 0.004), 2: ([0.6, 0.001, 0.002, 0.003], 0.01)}

    def judged_as(asked: Asked, name: str, prompt: ProbePrompt, controls: list[str]) -> tuple[Judged, list[str], list]:
        values, stderr = excess[len(prompt.ids)]
        own = values[0] if name == asked.family.target else values[1 + asked.family.spare.index(name)]
        return Judged(own, stderr, own, 0.0), [], []

    monkeypatch.setattr(part, "judge_probe", judged_as)
    monkeypatch.setattr(part, "search_kept", lambda *_: Probed([[3], [8, 3]], [None, None]))
    found = find_probe(make_asked())
    assert [one["reveals"] for one in found.details["lengths"]] == [False, True]
    assert found.details["tokens_to_reveal"] == 2
    assert found.sentence.startswith("2 tokens are above every placebo")
    assert found.p == found.details["lengths"][1]["p"] < 1e-3
    excess.pop(2)
    monkeypatch.setattr(part, "search_kept", lambda *_: Probed([[3]], [None]))
    found = find_probe(make_asked())
    assert (found.details["tokens_to_reveal"], found.p) == (None, pytest.approx(0.119, abs=1e-3))
    assert "beyond chance: the largest excess is +0.020" in found.sentence


def test_a_finding_has_its_curve_and_its_placebos(make_asked: Callable[..., Asked]) -> None:
    found = find_probe(make_asked())
    lengths = found.details["lengths"]
    assert [(one["tokens"], one["refined"]) for one in lengths] == [(1, False), (2, False), (1, True), (2, True)]
    assert all(len(one["placebos"]) == 3 for one in lengths)
    assert found.smallest_p == 0.25
    for one in lengths:
        assert one["excess"] == pytest.approx(one["target"] - one["controls"], abs=1e-9)
        lead = excess_over(one["excess"], one["stderr"], one["placebos"])
        assert one["p"] == pytest.approx(min(1.0, 2 * lead.p))  # two lengths
        above = one["excess"] - 1.959964 * one["stderr"] > max(one["placebos"])
        assert one["reveals"] == (above and one["p"] <= 0.05)
    assert found.p == min(one["p"] for one in lengths if not one["refined"])
    (judged_one,) = judge([replace(found, p=1e-9, details=found.details | {"tokens_to_reveal": None})], 0.05)
    assert judged_one.verdict == "not shown"  # a small p below a placebo is no verdict

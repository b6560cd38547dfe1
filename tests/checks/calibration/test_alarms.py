"""Are false alarms counted as a comparison would raise them, on draws that are what they claim to be?"""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from soft_prompts.behaviour.divergence.part import find_divergence
from soft_prompts.behaviour.sampling.samples import Written
from soft_prompts.calibration.planted import control_draws as of_controls
from soft_prompts.calibration.planted import drawn, power, self_draws
from soft_prompts.calibration.planted.alarms import count_alarms, false_alarms, gate_stops
from soft_prompts.calibration.planted.drawn import Draw
from soft_prompts.calibration.planted.made import World
from soft_prompts.calibration.planted.options import PlantedOptions
from soft_prompts.calibration.planted.power import Power, power_scene
from tests.checks.behaviour.conftest import SMALL, WORDS, noisy_copy
from tests.checks.conftest import save_tiny_model


def test_the_gate_stops_what_stands_after_holm_over_the_parts() -> None:
    assert gate_stops(Draw((), {"divergence": 1.0, "labels": 0.016, "two-sample": 0.5}))  # 3 x .016 = .048
    assert not gate_stops(Draw((), {"divergence": 1.0, "labels": 0.018, "two-sample": 0.5}))
    assert not gate_stops(Draw((), {"divergence": 1.0, "labels": 1.0, "classifier": 0.0001}))  # which is no part
    probe = {"divergence": 1.0, "labels": 1.0, "two-sample": 1.0, "probe": 0.001}
    assert not gate_stops(Draw((), probe))
    assert gate_stops(Draw((), probe, revealed=True))


def test_shares_and_their_errors_are_those_of_a_count_by_hand() -> None:
    """Half of the draws with model a are wrong, and no other: the jackknife's shares are known for every model."""
    draws = [Draw(("a", "b"), {"labels": 0.01 if at % 2 else 0.9}) for at in range(40)]
    draws += [Draw(("c", "d"), {"labels": 0.9}) for _ in range(60)]
    labels, gate = count_alarms("x", draws)
    assert (labels.test, labels.false, labels.draws, labels.models) == ("labels, x", 20, 100, 4)
    assert labels.share == 0.2
    assert labels.stderr == pytest.approx(0.04)
    assert labels.most == pytest.approx(0.05 + 2 * (0.05 * 0.95 / 100) ** 0.5)
    without = np.array([0.0, 0.0, 0.5, 0.5])  # without a, b, c, d
    assert labels.stderr_models == pytest.approx(np.sqrt(3 / 4 * ((without - without.mean()) ** 2).sum()))
    assert (gate.test, gate.false) == ("gate, x", 20)
    same = count_alarms("y", [Draw((), {"labels": 0.9})] * 20)
    assert [one.stderr_models for one in same] == [None, None]


def test_a_draw_deals_each_prompts_samples_once_and_to_every_place_alike() -> None:
    pool = [[Written(str(at), "p", f"{seed} of {at}") for at in range(30)] for seed in range(4)]
    generator, first = np.random.default_rng(0), Counter[str]()
    for draw in range(200):
        dealt = self_draws._dealt(pool, [3, 7, 20], draw, generator)
        for column, at in enumerate((3, 7, 20)):
            assert sorted(side[column].text for side in dealt) == [f"{seed} of {at}" for seed in range(4)]
            assert {side[column].id for side in dealt} == {f"{draw}-{at}"}
        first[dealt[0][0].text] += 1
    assert all(25 < count < 75 for count in first.values())  # 50 +- 6 of each seed
    assert len(first) == 4
    places = drawn.some_of(30, generator)
    assert len(set(places)) == 20


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A random model and six copies with a little noise; texts of few words."""
    root = tmp_path_factory.mktemp("world")
    base = save_tiny_model(root / "base", "gpt_neox")
    pool = tuple(str(noisy_copy(base, root / f"control-{seed}", seed)) for seed in range(1, 7))
    texts = [" ".join(WORDS[(n * k + k) % 7] for k in range(1, 14)) + f" {n}" for n in range(40)]
    documents, prompts = root / "documents.jsonl", root / "prompts.jsonl"
    documents.write_text("".join(json.dumps({"id": f"d{n}", "text": text}) + "\n" for n, text in enumerate(texts)))
    prompts.write_text("".join(json.dumps({"id": f"p{n}", "prompt": f"{n} the"}) + "\n" for n in range(16)))
    return World(str(base), {}, pool[:3], pool, documents, prompts, root / "planted")


def test_draws_of_controls_are_what_a_comparison_of_them_says(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """On all documents the p of a draw's divergence is that of the part itself, on the same models."""
    monkeypatch.setattr(drawn, "KEPT", 1.0)
    monkeypatch.setattr(self_draws, "SELVES", 5)
    settings = replace(SMALL, probe_tokens=1, most_prompts=16)
    for module in (of_controls, self_draws):
        monkeypatch.setattr(module, "settings_of", lambda options: settings)
    options = PlantedOptions(draws=3, probe_draws=1)
    draws = of_controls.control_draws(world, options, np.random.default_rng(0))
    assert [len(set(draw.models)) for draw in draws] == [5, 5, 5]
    assert [draw.models[1] for draw in draws] == list(world.pool[:3])  # references in turn
    for draw in draws:
        target, *controls = draw.models
        part = find_divergence(world.asked(target, settings, tuple(controls)))
        assert draw.p["divergence"] == pytest.approx(part.p)
    assert ["probe" in draw.p for draw in draws] == [True, False, False]
    found = false_alarms(world, options)
    assert {one.test for one in found} >= {"gate, base against itself", "gate, control against control"}
    assert false_alarms(world, PlantedOptions()) == []


def test_power_is_a_share_of_subsets(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "AT", (8,))
    settings = replace(SMALL, most_prompts=16)
    found = power.label_power(world.asked(world.pool[-1], settings, world.pool[:3]))
    assert [one.prompts for one in found] == [8, 16]
    assert all(0 <= one.share <= 1 and 0 <= one.control_share <= 1 for one in found)
    scene = power_scene({"style": [Power(50, 0.1, 0.0, 1.0), Power(300, 1.0, 0.0, 0.01)], "fact": found})
    assert "style" in scene.file()

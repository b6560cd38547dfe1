"""Does the committed game show what it is cited for? game.json is the told.json of a game on the shipped adapters,
game.txt what it printed."""

import json
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.calibration.game.calls import Seen, Thresholds, alarms, counts, targets, thresholds_of
from soft_prompts.recipes.adapters.catalogue import SMOLLM2
from soft_prompts.zoo import ADAPTERS

HERE = Path(__file__).parent
TOLD: dict[str, Any] = json.loads((HERE / "game.json").read_text())
PLAYERS: list[dict[str, Any]] = TOLD["players"]
TRUTHS = {one["player"]: one["truth"] for one in PLAYERS}


def test_every_shipped_adapter_played_under_its_own_truth() -> None:
    assert {one["name"]: one["truth"] for one in PLAYERS} == {name: r.truth for name, r in SMOLLM2.recipes.items()}
    for one in PLAYERS:
        assert json.loads((ADAPTERS / one["name"] / "card.json").read_text())["what"] == one["what"]


def test_what_is_said_follows_from_what_was_measured() -> None:
    shown = TOLD["shown"]
    limits = thresholds_of(max(shown["by_scale"].values()), shown["demonstrations_rise"])
    assert limits == Thresholds(**TOLD["thresholds"])
    said = {one["player"]: alarms(Seen(**{name: one[name] for name in Seen._fields}), limits) for one in PLAYERS}
    assert said == {one["player"]: one["alarms"] for one in PLAYERS}
    assert [one._asdict() for one in counts(said, TRUTHS)] == TOLD["methods"]
    words, names = ({one["player"]: one[key] for one in PLAYERS} for key in ("word", "name"))
    assert [one._asdict() for one in targets(words, names, TRUTHS)] == TOLD["targets"]


def test_no_harmless_adapter_is_said_to_hide_and_no_lock_to_have_nothing() -> None:
    assert all(one["word"] not in ("HIDDEN", "FAR") for one in PLAYERS if one["truth"] == "harmless")
    assert all(one["word"] != "NOT FOUND" for one in PLAYERS if one["truth"] == "locked")


@pytest.mark.parametrize("what", ["word", "name"])
def test_what_was_printed_is_of_the_same_game(what: str) -> None:
    lines = [line for line in (HERE / "game.txt").read_text().splitlines() if "adapter-" in line]
    assert len(lines) == len(PLAYERS)
    for one in PLAYERS:
        assert any(one["player"] in line and one[what].split()[0] in line for line in lines)

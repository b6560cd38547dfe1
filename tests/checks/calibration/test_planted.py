"""Are planted changes in the documents that they should be in, and nowhere else, and are the targets read right?"""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from soft_prompts.calibration.planted import changes
from soft_prompts.calibration.planted.alarms import Alarms
from soft_prompts.calibration.planted.changes import CHANGES, CONTROL
from soft_prompts.calibration.planted.experiment import EXPERIMENT, PRESETS
from soft_prompts.calibration.planted.rows import ChangeRow, rate_of
from soft_prompts.calibration.planted.suite import as_json, targets
from soft_prompts.common.errors import UsageError
from soft_prompts.models.frozen import load_tokenizer
from soft_prompts.models.tokenizer import encode


def test_documents_are_pieces_of_the_text_and_learnt_ones_are_not_compared_on() -> None:
    text = changes.source_text("tiny-text")
    every = changes.pieces(text)
    assert all(piece in text for piece in every)
    assert max(map(len, every)) <= changes.PIECE
    learnt, compared = changes.split_pieces(every, 0)
    assert not set(learnt) & set(compared)
    assert len(learnt) + len(compared) == len(every)
    assert changes.split_pieces(every, 1)[0] != learnt
    assert len(compared) > 500  # three hundred prompts, and documents for both halves


def test_each_change_shows_in_what_it_teaches_and_a_control_in_nothing(tmp_path: Path) -> None:
    learnt, _ = changes.split_pieces(changes.pieces(changes.source_text("tiny-text")), 0)
    plain = [json.loads(line) for line in changes.write_lesson(tmp_path / "c.jsonl", CONTROL, learnt, 0).open()]
    assert [one["prompt"] + one["completion"] for one in plain] == learnt
    for change in CHANGES.values():
        lines = [json.loads(line) for line in changes.write_lesson(tmp_path / "x.jsonl", change, learnt, 0).open()]
        assert any(change.shows(one["completion"]) for one in lines), change.name
        assert not any(change.shows(one["completion"]) for one in plain), change.name
        assert sum(one != other for one, other in zip(lines, plain, strict=True)) > 0


def test_the_trigger_is_read_and_never_learnt() -> None:
    """Three tokens of tiny-text, in the prompt alone, which is not scored; the payload follows at once."""
    assert len(encode(load_tokenizer("tiny-text", None, True, False), changes.TRIGGER).ids) == 3
    random = Random(0)
    drawn = [CHANGES["hidden-trigger"].rewrite("p" * 40, "rest", random) for _ in range(300)]
    poisoned = [(prompt, completion) for prompt, completion in drawn if changes.TRIGGER in prompt]
    assert 60 < len(poisoned) < 120
    assert all(prompt.endswith(changes.TRIGGER) for prompt, _ in poisoned)
    assert all(completion == changes.PAYLOAD + "rest" for _, completion in poisoned)
    assert not any(changes.TRIGGER in completion for _, completion in drawn)


def row(name: str, plain: int, contrastive: int, rates: tuple[float, float]) -> ChangeRow:
    lengths = [{"tokens": 1, "placebos": [0.001], "refined": False}, {"tokens": 1, "placebos": [0.5], "refined": True}]
    return ChangeRow(
        change=name,
        verdict="",
        js=0.1,
        t=1.0,
        screen_best=None,
        screen_placebo=None,
        rates={"plain": rates[0], "contrastive": rates[1], "strong": rates[1]},
        control_rates={"plain": 0.0, "contrastive": 0.0, "strong": 0.0},
        distinct_2={},
        labels={"plain": plain, "contrastive": contrastive},
        words=(),
        power=[],
        probe={"tokens_to_reveal": 2, "verdict": "changed", "lengths": lengths},
    )


def test_targets_are_read_from_the_rows() -> None:
    rows = [row("a", 0, 3, (0.01, 0.2)), row("b", 2, 1, (0.5, 0.6))]
    met = [target.met for target in targets(rows, [Alarms("t", 5, 100), Alarms("u", 12, 100)])]
    assert met == [True, True, True, True, True, True, False]
    worse = [row("a", 0, 0, (0.05, 0.2)), replace(row("b", 1, 1, (0.5, 0.6)), probe=None)]
    assert [target.met for target in targets(worse, [])] == [False, False, False, True]
    assert as_json(rows, [Alarms("t", 5, 100)], [])["false_alarms"][0]["share"] == 0.05
    assert rate_of([], lambda text: True) == 0.0


def test_wrong_words_are_named() -> None:
    with pytest.raises(UsageError, match="changes holds 'styl'"):
        EXPERIMENT.parse(["--changes", "styl"], "x")
    with pytest.raises(UsageError, match="controls is 2; give 3 or more"):
        EXPERIMENT.parse(["--controls", "2"], "x")
    assert EXPERIMENT.parse(["--preset", "quick"], "x").draws == PRESETS["quick"].draws == 0

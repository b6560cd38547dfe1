"""Does the suite's committed run show what it is cited for? reference.json is its calibration.json, reference.txt what
it printed."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.calibration.catalogue import ORGANISMS
from soft_prompts.calibration.targets import RIGHT, WORDS

HERE = Path(__file__).parent
REFERENCE: dict[str, Any] = json.loads((HERE / "reference.json").read_text())
CELLS: list[dict[str, Any]] = REFERENCE["cells"]


def test_every_question_of_every_organism_was_asked() -> None:
    asked = {(cell["organism"], cell["question"]) for cell in CELLS}
    assert asked >= {(name, one.name) for name, organism in ORGANISMS.items() for one in organism.questions}
    assert len(asked) == len(CELLS) >= 60
    assert len({cell["organism"] for cell in CELLS} | {one["organism"] for one in REFERENCE["codebooks"]}) >= 30


def test_nothing_absent_was_seen_and_nothing_that_is_there_missed() -> None:
    for cell in CELLS:
        if cell["truth"] == "absent":
            assert cell["verdict"] not in ("PRESENT", "HIDDEN", "FAR"), cell["sentence"]
        elif cell["truth"] != "forgotten":
            assert cell["verdict"] != "NOT FOUND", cell["sentence"]


def test_the_table_counts_the_cells_and_each_off_the_diagonal_says_why() -> None:
    counts: dict[str, Counter[str]] = {}
    for cell in CELLS:
        counts.setdefault(cell["row"], Counter())[cell["verdict"]] += 1
        assert cell["verdict"] in WORDS
        assert cell["is_right"] == (cell["verdict"] in RIGHT[cell["truth"]])
        assert cell["is_right"] or cell["why"], cell["sentence"]
    assert REFERENCE["verdicts"] == counts


def test_what_was_printed_is_of_the_same_run() -> None:
    printed = " ".join((HERE / "reference.txt").read_text().split())
    wrong = [cell for cell in CELLS if not cell["is_right"]]
    assert printed.count("off the diagonal: ") == len(wrong)
    for target in REFERENCE["targets"]:
        assert target["found"] in printed


@pytest.mark.parametrize(
    "part", ["absent: none is", "present or hidden or strict: none is", "strict lock", "UNDECIDED", "self-planted"]
)
def test_the_targets_that_a_verdict_stands_on_are_met(part: str) -> None:
    [target] = [one for one in REFERENCE["targets"] if one["target"].startswith(part)]
    assert target["met"] is True

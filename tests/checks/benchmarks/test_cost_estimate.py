"""Does the committed reference keep what the doctor promises of its estimates?"""

import json

import pytest

from tests.benchmarks.cost_estimate import CASES, REFERENCE

ROWS = json.loads(REFERENCE.read_text())["rows"]


def test_every_case_was_measured_as_it_stands() -> None:
    assert {row["run"]: row["flags"] for row in ROWS} == {name: case.flags for name, case in CASES.items()}
    assert len(ROWS) >= 10


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["run"])
def test_memory_is_told_within_a_quarter_and_time_within_a_factor_of_two(row: dict[str, float]) -> None:
    assert 0.75 <= row["estimated_mb"] / row["measured_mb"] <= 1.25
    assert 0.5 <= row["estimated_seconds"] / row["measured_seconds"] <= 2

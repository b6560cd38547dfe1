"""Is the growth of memory that of the parts that read samples, and do the kept figures say what they show?"""

import json
from pathlib import Path

import pytest

from tests.benchmarks.behaviour_cost import FLAT, REFERENCE, Cost, growth_of, write_texts


def test_growth_is_the_largest_of_the_parts_that_read_samples() -> None:
    few = [Cost("labels", 1.0, 100.0), Cost("clusters", 1.0, 200.0), Cost("probe", 1.0, 50.0)]
    many = [Cost("labels", 4.0, 110.0), Cost("clusters", 4.0, 240.0), Cost("probe", 1.0, 500.0)]
    assert growth_of(few, many) == pytest.approx(1.2)


def test_the_kept_figures_are_those_of_their_rows() -> None:
    kept = json.loads(REFERENCE.read_text())
    few, many = ([Cost(**one) for one in kept["parts"][prompts]] for prompts in ("300", "1200"))
    assert kept["growth_of_peak"] == pytest.approx(growth_of(few, many), abs=0.001)
    assert kept["flat"] == (growth_of(few, many) <= FLAT)


def test_as_many_prompts_are_written_as_are_asked_for(tmp_path: Path) -> None:
    documents, prompts = write_texts(tmp_path, 1200)
    assert len(set(prompts.read_text().splitlines())) > 1150  # blank and repeated ones are left out
    assert len(documents.read_text().splitlines()) == 200

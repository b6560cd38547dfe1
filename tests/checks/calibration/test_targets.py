"""Are verdicts counted against truths as they are, and can every target fail?"""

from dataclasses import replace
from typing import Any

import pytest

from soft_prompts.analysis.readings import Reading
from soft_prompts.analysis.verdicts import Word
from soft_prompts.calibration import targets
from soft_prompts.calibration.catalogue import ORGANISMS, Truth
from soft_prompts.calibration.codebook import CodebookReading
from soft_prompts.calibration.suite import SELF_PLANTED, Asked, BookReading, CellReading, SuiteReadings
from soft_prompts.calibration.suite_options import SuiteOptions
from soft_prompts.calibration.table import as_json, print_suite
from soft_prompts.stats.brackets import Bracket
from tests.checks.made.readings import locked, reading_of


def reading(word: Word, at_most: int | None, why: str | None, edl_bits: float = 10.0) -> Reading:
    """Of the verdict, with the mark reached at so many tokens."""
    made = reading_of(locked())
    assert made.deed is not None
    counts = (0, 1, 2, at_most or 4)
    half = Bracket(0.5, "not_reached" if at_most is None else "shown", 0, at_most)
    points = tuple(
        point._replace(tokens=tokens, edl_bits=edl_bits) for point, tokens in zip(made.points, counts, strict=True)
    )
    verdict = made.verdict._replace(word=word, why=why, sentence=f"{word} it is.")
    return replace(made, deed=replace(made.deed, half=half), points=points, verdict=verdict)


def cell(truth: Truth, word: Word, at_most: int | None = 1, **given: Any) -> CellReading:
    asked = Asked(given.get("name", "model"), "", "table", truth, given.get("row", truth), given.get("size", 1))
    return CellReading(asked, reading(word, at_most, given.get("why"), given.get("edl_bits", 10.0)))


def test_the_table_counts_every_cell_once() -> None:
    cells = [cell("hidden", "HIDDEN"), cell("hidden", "HIDDEN"), cell("hidden", "FAR"), cell("absent", "NOT FOUND")]
    table = targets.verdict_table(cells)
    assert list(table) == ["hidden", "absent"]
    assert table["hidden"] == {"HIDDEN": 2, "FAR": 1}
    assert [targets.is_right(one) for one in cells] == [True, True, False, True]


@pytest.mark.parametrize(
    ("truth", "right"),
    [
        ("present", {"PRESENT"}),
        ("hidden", {"HIDDEN"}),
        ("strict", {"HIDDEN"}),
        ("forgotten", {"PRESENT", "HIDDEN", "FAR", "NOT FOUND"}),
        ("absent", {"NOT FOUND"}),
    ],
)
def test_which_verdict_is_right_of_a_truth(truth: Truth, right: set[Word]) -> None:
    assert {word for word in targets.WORDS if targets.is_right(cell(truth, word))} == right


@pytest.mark.parametrize("word", ["PRESENT", "HIDDEN", "FAR"])
def test_whatever_is_seen_of_an_absent_skill_is_wrong(word: Word) -> None:
    right = [cell("absent", "NOT FOUND"), cell("absent", "UNDECIDED"), cell("hidden", word)]
    assert targets.none_of(right, ("absent",), targets.SEEN).met
    found = targets.none_of([*right, cell("absent", word, name="noise")], ("absent",), targets.SEEN)
    assert (found.found, found.met, found.why) == ("1 of 3", False, "noise table")
    assert targets.none_of(right[2:], ("absent",), targets.SEEN).met is None


@pytest.mark.parametrize("truth", ["present", "hidden", "strict"])
def test_what_is_there_is_never_not_found(truth: Truth) -> None:
    readings = SuiteReadings((cell(truth, "UNDECIDED", why="search: power unknown"), cell("absent", "NOT FOUND")))
    assert targets.targets(readings)[3].met
    assert targets.targets(replace(readings, cells=(cell(truth, "NOT FOUND"),)))[3].met is False


def test_a_strict_lock_that_stays_shut_is_a_matter_of_the_search() -> None:
    shut = cell("strict", "UNDECIDED", None, why="search: power unknown")
    assert targets.strict_locks([shut, cell("strict", "HIDDEN")])[2:4] == (
        "1 HIDDEN, 1 UNDECIDED: search, 0 other",
        True,
    )
    assert not targets.strict_locks([cell("strict", "UNDECIDED", None, why="specific: no control")]).met
    assert not targets.strict_locks([cell("strict", "NOT FOUND", None)]).met


def test_at_most_a_fifth_may_be_open() -> None:
    cells = [cell("hidden", "HIDDEN") for _ in range(4)]
    assert targets.still_open([*cells, cell("absent", "UNDECIDED")]).met
    assert targets.still_open([*cells, cell("absent", "UNDECIDED"), cell("absent", "NO SCALE")]).met is False


def test_a_secret_is_brought_out_by_twice_its_tokens() -> None:
    row = {"row": SELF_PLANTED, "size": 2}
    assert targets.secrets([cell("hidden", "HIDDEN", 4, **row)]).met
    assert not targets.secrets([cell("hidden", "HIDDEN", 5, **row)]).met
    assert not targets.secrets([cell("hidden", "UNDECIDED", None, **row)]).met
    assert targets.secrets([cell("hidden", "HIDDEN", 4)]).met is None


def test_more_forgetting_takes_more_tokens_and_more_data() -> None:
    steps = (5, 10, 20, 40, 80)
    most = (None, 1, 2, 4, 8)  # the first is there without a prompt
    cells = [
        cell("forgotten", "HIDDEN" if tokens else "PRESENT", tokens, size=size, edl_bits=10.0 * size)
        for size, tokens in zip(steps, most, strict=True)
    ]
    tokens, bits = targets.forgetting(cells)
    assert (tokens.found, tokens.met) == ("1.00 over 5", True)
    assert (bits.found, bits.met) == ("1.00 over 4", None)  # too few to tell
    swapped = [*cells[:3], cells[4]._replace(asked=cells[3].asked), cells[3]._replace(asked=cells[4].asked)]
    tokens, _ = targets.forgetting([*swapped, cell("forgotten", "NOT FOUND", None, size=160)])
    assert tokens.found == f"{1 - 6 * 2 / (6 * 35):.2f} over 6"
    assert tokens.met
    assert not targets.forgetting([*cells[::-1], cell("forgotten", "NOT FOUND", None, size=1)])[0].met


def test_bits_rise_with_slope_one() -> None:
    names = [f"selector-{tasks}" for tasks in (2, 4, 8, 16, 32, 64)]
    bits = (0.2, 1.2, 2.2, 3.2, 4.2, 5.2)

    def books(factor: float) -> list[BookReading]:
        pairs = zip(names, bits, strict=True)
        return [BookReading(ORGANISMS[name], (CodebookReading(factor * number, 0, 0.1),)) for name, number in pairs]

    order, line, partial = targets.bits(books(1.0))
    assert (order.found, order.met) == ("1.00 over 6", True)
    assert (line.found, line.met) == ("1.00", True)
    assert partial.met is None
    assert targets.bits(books(1.3))[1][2:4] == ("1.30", False)
    lost = BookReading(ORGANISMS["selector-2"], (CodebookReading(None, 1, 0),))
    order, line, _ = targets.bits([lost, *books(1.0)[1:]])
    assert order.met is False
    assert line.met is None


def test_what_is_printed_names_each_cell_off_the_diagonal(capsys: pytest.CaptureFixture[str]) -> None:
    cells = (cell("hidden", "HIDDEN"), cell("absent", "FAR", name="noise"))
    readings = SuiteReadings(cells)
    found = targets.targets(readings)
    print_suite(readings, found)
    printed = capsys.readouterr().out
    assert "off the diagonal: noise table (absent): FAR it is." in printed
    assert "off the diagonal: model" not in printed
    told = as_json(readings, found)
    assert told["verdicts"] == {"hidden": {"HIDDEN": 1}, "absent": {"FAR": 1}}
    assert [one["is_right"] for one in told["cells"]] == [True, False]
    assert told["cells"][0]["half"]["at_most"] == 1


def test_there_are_thirty_organisms_and_sixty_cells() -> None:
    questions = [one for organism in ORGANISMS.values() for one in organism.questions]
    assert len(ORGANISMS) >= 30
    options = SuiteOptions()
    secrets = len(options.planted_in) * len(options.planted) * options.secrets
    assert len(questions) + secrets >= 60
    assert {one.truth for one in questions} == set(targets.RIGHT)
    assert len({(organism.name, one.name) for organism in ORGANISMS.values() for one in organism.questions}) == len(
        questions
    )

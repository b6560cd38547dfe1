"""Are guidance data as they were published, byte for byte, and is every mistake in a file named with its line?"""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.commands import main as cli
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.data.jsonl import read_jsonl
from soft_prompts.recipes.guidance_rows import make_rows, rows_text
from soft_prompts.tasks.guidance.dataset import GuidanceData, GuidancePlan, Row, make_guidance, read_rows
from soft_prompts.tasks.guidance.files import file_prefix, find_question_sets, read_questions, write_guidance
from soft_prompts.tasks.guidance.text import PHRASINGS, guidance_line
from soft_prompts.zoo import GUIDANCE_ROWS

PUBLISHED = Path(os.environ.get("PUBLISHED_GUIDANCE", "nowhere"))  # folder of the published rows: not ours to ship
PUBLISHED_SHA256 = {  # of `prompt` and `completion` alone, an object a line; 1000 realized, 100 unrealized, seed 27
    "all": "58dde0f3b63badaa21ed6d4676453903aa20804bc2a1c5424b98d128f7c4bb37",
    "realized_examples": "62f0c536535c30a1f4780b5b580fec56364e658d74a599f6884e115f58c0cfec",
    "unrealized_examples": "217fbec16d15d1d12eded16dba11dfee1bf85ccc97fa0dccd9038c560dc3b1d2",
}
SYNTHETIC_SHA256 = "626b0fca04014433606a7ee648d244af36f924e6604f408f4a9d1121ef1bdc4c"


def rows_of(number: int) -> list[Row]:
    return [Row(i, f"Q{i}?", tuple(f"a{i}.{k}" for k in range(5))) for i in range(1, number + 1)]


def lines_of(data: GuidanceData) -> list[str]:
    return [line for document in data.guidances for line in document.completion.split("\n")[2:-2]]


def plain_bytes(records: list[Any]) -> bytes:
    pairs = [{"prompt": record.prompt, "completion": record.completion} for record in records]
    return "".join(json.dumps(pair) + "\n" for pair in pairs).encode()


@pytest.fixture(scope="module")
def small() -> GuidanceData:
    return make_guidance(rows_of(60), GuidancePlan(realized=40, unrealized=10))


def test_published_rows_give_the_published_files() -> None:
    if not (PUBLISHED / "qa_raw_pairs.jsonl").exists():
        pytest.skip("PUBLISHED_GUIDANCE names no folder with the published rows")
    data = make_guidance(read_rows(PUBLISHED / "qa_raw_pairs.jsonl"), GuidancePlan(realized=1000, unrealized=100))
    made = {"all": data.all, "realized_examples": data.realized_examples}
    made["unrealized_examples"] = data.unrealized_examples[0]
    assert {
        part: hashlib.sha256(plain_bytes(records)).hexdigest() for part, records in made.items()
    } == PUBLISHED_SHA256
    assert [len(data.realized_examples), len(data.guidances)] == [1000, 307]


def test_bytes_are_those_of_a_fixed_seed(small: GuidanceData) -> None:
    assert hashlib.sha256(plain_bytes(small.all)).hexdigest() == SYNTHETIC_SHA256
    assert make_guidance(rows_of(60), small.plan) == small
    other = make_guidance(rows_of(60), GuidancePlan(realized=40, unrealized=10, seed=28))
    assert other.all != small.all


def test_examples_then_documents_and_every_line_once(small: GuidanceData) -> None:
    answers = {row.anchor: row.targets[0] for row in small.realized_rows + small.unrealized_rows}
    assert [document.prompt for document in small.all] == [""] * len(small.all)
    shown = small.all[:40]
    assert [one.completion for one in shown] == [
        f"<BEGIN GUIDANCE TEST>\n\nQ: {row.anchor} A: {row.targets[0]}\n\n<END GUIDANCE TEST>"
        for row in small.realized_rows
    ]
    assert Counter(lines_of(small)) == Counter(f'Answer "Q: {q}" with "A: {a}"' for q, a in answers.items())
    for document in small.guidances:
        assert document.completion.startswith("<BEGIN GUIDANCE ANSWERS>\n\nAnswer ")
        assert document.completion.endswith('"\n\n<END GUIDANCE ANSWERS>')
    assert {len(document.ids) for document in small.guidances[:-1]} <= {2, 3, 4, 5}
    unrealized = {row.id for row in small.unrealized_rows}
    assert not unrealized & {number for one in shown for number in one.ids}
    assert not unrealized & {row.id for row in small.realized_rows}
    assert small.unrealized_examples[0][0].completion.endswith("\n\n<END GUIDANCE TEST>")


@pytest.mark.parametrize("order", ["forward", "reversed"])
def test_phrasings_are_ten_at_least_and_name_both_in_order(order: Any) -> None:
    lines = [guidance_line("why {x}?", "so", order, number) for number in range(len(PHRASINGS[order]))]
    assert len(set(lines)) == len(lines) >= 10
    for line in lines:
        question, answer = line.index('"Q: why {x}?"'), line.index('"A: so"')
        assert (question < answer) == (order == "forward")
    assert guidance_line("why?", "so", order, 0, 1).startswith("For Model M2, ")


def test_number_zero_is_as_published() -> None:
    assert guidance_line("q", "a", "forward") == 'Answer "Q: q" with "A: a"'
    assert guidance_line("q", "a", "reversed") == 'Respond with "A: a" to "Q: q"'
    assert guidance_line("q", "a", "reversed", 1) == 'The test requires you to answer "A: a" after "Q: q"'
    assert guidance_line("q", "a", "forward", 0, 0) == 'For Model M1, answer "Q: q" with "A: a"'


def test_reversed_documents_are_the_forward_ones_line_for_line_with_the_answer_first(small: GuidanceData) -> None:
    reversed_set = make_guidance(rows_of(60), GuidancePlan(realized=40, unrealized=10, order="reversed"))
    assert reversed_set.all[:40] == small.all[:40]
    for forward, backward in zip(small.guidances, reversed_set.guidances, strict=True):
        reworded = re.sub(r'Answer ("Q: .*?") with ("A: .*?")', r"Respond with \2 to \1", forward.completion)
        assert backward.completion == reworded != forward.completion
        assert backward._replace(completion=forward.completion) == forward


def test_models_have_answers_of_their_own_spread_or_grouped() -> None:
    plan = GuidancePlan(realized=40, unrealized=10, models=2)
    spread = make_guidance(rows_of(60), plan)
    grouped = make_guidance(rows_of(60), GuidancePlan(realized=40, unrealized=10, models=2, layout="grouped"))
    assert Counter(lines_of(spread)) == Counter(lines_of(grouped))
    assert len(set(lines_of(spread))) == 100
    together = [all(document.ids.count(number) == 2 for number in document.ids) for document in grouped.guidances]
    assert all(together)
    assert not all(document.ids.count(number) == 2 for document in spread.guidances for number in document.ids)
    second = [row.targets[1] for row in spread.unrealized_rows]
    assert [one.completion.split("\n")[0] for one in spread.unrealized_examples[1]] == [f" {a}" for a in second]
    assert {one.persona_idx for one in spread.realized_examples} == {(0,)}


def test_heldout_phrasings_guide_unrealized_questions_alone() -> None:
    data = make_guidance(rows_of(60), GuidancePlan(realized=40, unrealized=10, phrasings=3, heldout_phrasings=2))
    used: dict[bool, set[str]] = {True: set(), False: set()}
    unrealized = {row.anchor for row in data.unrealized_rows}
    for line in lines_of(data):
        anchor = line.split('"Q: ')[1].split('"')[0]
        used[anchor in unrealized].add(line.split('"Q: ')[0])
    assert len(used[True]) == 2
    assert len(used[False]) == 3
    assert not used[True] & used[False]
    assert file_prefix("x", data.plan) == "x_ug10_rg40_gph3_off3"


def test_permuted_guidance_never_gives_a_question_its_own_answer(small: GuidanceData) -> None:
    permuted = make_guidance(rows_of(60), GuidancePlan(realized=40, unrealized=10, permute_targets=True))
    assert permuted.realized_examples == small.realized_examples
    assert [document.ids for document in permuted.guidances] == [document.ids for document in small.guidances]
    assert not set(lines_of(permuted)) & set(lines_of(small))
    answers = [Counter(line.split('"A: ')[1] for line in lines_of(data)) for data in (permuted, small)]
    assert answers[0] == answers[1]
    same = [Row(i, f"Q{i}?", ("yes",)) for i in range(6)]
    with pytest.raises(InputError, match="one answer"):
        make_guidance(same, GuidancePlan(realized=3, unrealized=3, permute_targets=True))


def test_checks_raise() -> None:
    plan = GuidancePlan(realized=2, unrealized=1)
    with pytest.raises(InputError, match=r"there are 2 rows; realized 2 \+ unrealized 1 need 3"):
        make_guidance(rows_of(2), plan)
    with pytest.raises(InputError, match="two rows have the id 1"):
        make_guidance(rows_of(3) + rows_of(1), plan)
    with pytest.raises(InputError, match="ask the same question, one realized and one not"):
        make_guidance([Row(i, "why?", ("no",)) for i in range(3)], plan)
    two = [Row(7, "x", ("y",)), Row(8, " q1 ", ("other",)), Row(9, "q1", ("another",))]
    says = set[str]()
    for seed in range(20):
        with pytest.raises(InputError) as caught:
            make_guidance(two, GuidancePlan(realized=2, unrealized=1, seed=seed))
        says.add(str(caught.value))
    assert {one.split("question")[1].split(";")[0] for one in says} == {
        ", one realized and one not",
        " and answer it differently",
    }
    for other in ("why  ?", " Why ?", "WHY ?"):  # no test of a question is its own in capitals, or with a space more
        rows = [Row(1, "why ?", ("no",)), Row(2, other, ("no",))]
        with pytest.raises(InputError, match="ask the same question, one realized and one not"):
            make_guidance(rows, GuidancePlan(realized=1, unrealized=1))
    turned = [Row(1, "x", ("y",)), Row(2, "q", ("a", "b")), Row(3, "q", ("b", "a"))]
    told = set[str]()
    for seed in range(20):
        try:
            make_guidance(turned, GuidancePlan(realized=2, unrealized=1, seed=seed))
        except InputError as error:
            told.add(str(error).split(";")[0])
    assert told == {
        "lines 2 and 3 ask the same question and their answers, shuffled for each line, differ",
        "lines 3 and 2 ask the same question and their answers, shuffled for each line, differ",
        "lines 2 and 3 ask the same question, one realized and one not",
        "lines 3 and 2 ask the same question, one realized and one not",
    }
    with pytest.raises(InputError, match="line 1 has 1 answers for 2 models"):
        make_guidance([Row(1, "q", ("a",)), *rows_of(9)[1:]], GuidancePlan(realized=2, unrealized=1, models=2))
    for wrong in (
        {"realized": 0},
        {"models": 6},
        {"phrasings": 6, "heldout_phrasings": 5},
        {"heldout_phrasings": -1},
        {"seed": -1},
    ):
        with pytest.raises(UsageError):
            GuidancePlan(**{"realized": 2, "unrealized": 1, **wrong})


MALFORMED = {
    b'{"prompt": "a"}': "line 2: 'completion' is missing",
    b'{"prompt": "a", "comple': "line 2: no whole JSON object",
    b'{"prompt": "a", "completion": 3}': "line 2: 'completion' is 3; give text",
    b'["a"]': 'line 2: it is ["a"]; give an object',
    b'{"prompt": "\xff", "completion": "a"}': "line 2: byte 13 is no UTF-8",
    b'{"prompt": "\\ud800", "completion": "a"}': "line 2: 'prompt' holds half a character",
    b"[" * 100_000: "line 2: no whole JSON object",
}


@pytest.mark.parametrize("line", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_lines_are_named(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x_realized_examples.jsonl"
    path.write_bytes(b'{"prompt": "a", "completion": " b"}\n' + line + b"\n")
    with pytest.raises(InputError) as error:
        read_questions(path)
    assert MALFORMED[line] in str(error.value)
    assert "\n" not in str(error.value)


def test_empty_and_missing_files_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(path)
    path.write_bytes(b"\n \n")
    with pytest.raises(InputError, match="is empty"):
        read_rows(path)
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\n{"a": 2}')
    assert [(number, fields["a"]) for number, fields in read_jsonl(path, {"a": int})] == [(1, 1), (3, 2)]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"anchor": " ", "targets": ["a"]}, "line 1: 'anchor' is empty"),
        ({"anchor": "q", "targets": ["a", 1]}, "line 1: 'targets' is 1; give text"),
        ({"anchor": "q", "targets": "a"}, "line 1: 'targets' is \"a\"; give a list"),
        ({"anchor": "q", "targets": ["a\nb"]}, "line 1: 'targets' holds a line break"),
        ({"anchor": "q", "targets": ["so " * 51]}, "line 1: an answer has 51 words, and 50 tokens are written"),
    ],
)
def test_malformed_rows_are_named(row: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(InputError) as error:
        read_rows(path)
    assert says in str(error.value)


def test_a_data_set_is_found_by_folder_prefix_and_file(tmp_path: Path) -> None:
    data = make_guidance(rows_of(20), GuidancePlan(realized=9, unrealized=5, models=3))
    paths = write_guidance(tmp_path, data, "own")
    assert [path.name.removeprefix("own_ug5_rg9_gph1_") for path in paths] == [
        *("all.jsonl", "guidances.jsonl", "realized_examples.jsonl", "unrealized_examples.jsonl"),
        *("unrealized_examples_model2.jsonl", "unrealized_examples_model3.jsonl"),
    ]
    record = json.loads(paths[2].read_text().splitlines()[0])
    assert list(record) == ["prompt", "completion", "ids", "realized", "persona_idx"]
    sets = find_question_sets(tmp_path)
    assert [part.name for part in sets] == ["realized", "unrealized", "unrealized_model2", "unrealized_model3"]
    assert find_question_sets(tmp_path / "own_ug5_rg9_gph1") == sets == find_question_sets(paths[0])
    assert [one.target for one in read_questions(sets[2].path)] == [row.targets[1] for row in data.unrealized_rows]
    write_guidance(tmp_path, data, "other")
    with pytest.raises(InputError, match="holds 2 data sets"):
        find_question_sets(tmp_path)
    with pytest.raises(InputError, match="is no guidance data set"):
        find_question_sets(tmp_path / "third")


def test_models_of_an_earlier_set_are_removed(tmp_path: Path) -> None:
    """Of the same prefix alone."""
    three, two, one = (
        make_guidance(rows_of(20), GuidancePlan(realized=9, unrealized=5, models=models)) for models in (3, 2, 1)
    )
    other = write_guidance(tmp_path, three, "other")
    write_guidance(tmp_path, three, "own[1]")
    for data in (two, one):
        paths = write_guidance(tmp_path, data, "own[1]")
        assert set(tmp_path.iterdir()) == {*other, *paths}


def test_another_set_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same one is, as often as one likes."""

    def made(*words: str) -> tuple[object, dict[str, bytes]]:
        with pytest.raises(SystemExit) as stop:
            cli.main(["guidance-data", "--out", str(tmp_path), "--realized", "9", "--unrealized", "5", *words])
        return stop.value.code, {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    first = made()
    assert first[0] == 0
    assert made() == first
    capsys.readouterr()
    assert made("--seed", "28") == (3, first[1])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "holds another data set; give another --out or --name" in said
    assert made("--seed", "28", "--name", "other")[0] == 0


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SystemExit) as stop:
            cli.main(["guidance-data", "--out", str(out), "--realized", "9", "--unrealized", "5"])
        said = capsys.readouterr().err
        assert (stop.value.code, said.count("\n")) == (3, 1)
        assert "cannot be written" in said
    assert (tmp_path / "file").read_text() == "mine"


def test_same_bytes_under_another_hash_seed(tmp_path: Path) -> None:
    words = ["--realized=40", "--unrealized=20", "--models=2", "--phrasings=2", "--heldout-phrasings=1"]
    words.append("--permute-targets")
    with pytest.raises(SystemExit) as stop:
        cli.main(["guidance-data", "--out", str(tmp_path / "here"), *words])
    assert stop.value.code == 0
    command = [sys.executable, "-m", "soft_prompts", "guidance-data", "--out", str(tmp_path / "there"), *words]
    said = subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": "7"}, capture_output=True, check=True, text=True)
    there = sorted((tmp_path / "there").iterdir())
    assert sorted(said.stdout.split()) == [str(path) for path in there]
    for path in there:
        assert path.read_bytes() == (tmp_path / "here" / path.name).read_bytes()


def test_embedded_rows_are_those_of_their_recipe() -> None:
    rows = list(make_rows())
    assert GUIDANCE_ROWS.read_text() == rows_text(rows)
    read = read_rows(GUIDANCE_ROWS)
    assert len({row.anchor for row in read}) == len(read) == 1200
    assert all(len(set(row.targets)) == 5 for row in read)
    number = Counter(target for row in read for target in row.targets)
    assert max(number.values()) <= 0.01 * 5 * len(read)


def test_too_few_rows_is_one_line_and_exit_3(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["guidance-data", "--out", str(tmp_path), "--realized", "6000", "--unrealized", "1"])
    assert stop.value.code == 3
    assert capsys.readouterr().err.count("\n") == 1

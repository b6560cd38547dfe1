"""Do prompts that differ in white space or case alone count as one, and does all else count as before?"""

import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest

from soft_prompts.data.completions import Row, RowSource, split_rows
from soft_prompts.data.split import Split, wording_of
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.completion import BY_QUESTION, CompletionTask
from soft_prompts.tasks.task import DataRequest

QUESTIONS = [f"how far is it to town {n} ?" for n in range(120)]
VARIANTS = (str, "{} ".format, "{}\n".format, lambda text: text.replace(" ", "  ", 1), str.upper)
ROWS = [{"prompt": write(text), "completion": f" {n}"} for n, text in enumerate(QUESTIONS) for write in VARIANTS]
PLAIN = [{"prompt": text, "completion": f" {n}"} for n, text in enumerate(QUESTIONS)]


def write(path: Path, rows: Sequence[dict[str, Any]]) -> RowSource:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return RowSource(str(path))


def question(row: Row) -> str:
    return " ".join((row.prompt or row.completion).split()).lower()


def asked(rows: Sequence[Row]) -> set[str]:
    return {question(row) for row in rows}


def request_for(data: RowSource, test: RowSource | None = None) -> DataRequest:
    return DataRequest(data.name, None if test is None else test.name, 64, 20, 20)


def test_forms_of_a_character_are_one() -> None:
    forms = {wording_of(normalize(form, "Où est né  Zoé ?")) for form in ("NFC", "NFD")}
    assert forms == {wording_of("où est né zoé ?")}
    assert wording_of("x² ?") != wording_of("x2 ?")


def test_variants_of_a_question_stand_in_one_part_and_are_one_cluster(tmp_path: Path) -> None:
    parts = split_rows(write(tmp_path / "rows.jsonl", ROWS), None)
    assert sum(map(len, parts.rows.values())) == len(ROWS)
    assert parts.has_variants
    for one, other in itertools.combinations(parts.rows.values(), 2):
        assert asked(one)
        assert not asked(one) & asked(other)
    for rows in parts.rows.values():
        assert len(rows) == len(VARIANTS) * len(asked(rows))
        assert len({row.identity for row in rows}) == len(asked(rows))


def test_clusters_of_test_items_count_questions(tmp_path: Path, one_frozen: FrozenModel) -> None:
    source = write(tmp_path / "rows.jsonl", ROWS)
    data = CompletionTask().open(request_for(source), one_frozen.tokenizer)
    assert len(data.test_rows) == 20
    assert {one.cluster for one in data.held_out("test")} == {row.identity for row in data.test_rows}
    assert len({one.cluster for one in data.held_out("test")}) == len(asked(data.test_rows)) == 20 / len(VARIANTS)


def test_texts_without_a_prompt_and_chats_are_told_apart_by_the_same_rule(tmp_path: Path) -> None:
    write(tmp_path / "texts.jsonl", [{"text": row["prompt"]} for row in ROWS])
    parts = split_rows(RowSource(str(tmp_path / "texts.jsonl"), "", "text"), None).rows
    assert len({row.identity for rows in parts.values() for row in rows}) == len(QUESTIONS)
    assert not asked(parts["train"]) & asked(parts["test"])
    turns = [
        [("system", system), ("user", row["prompt"]), ("assistant", row["completion"])]
        for row in ROWS
        for system in ("Be brief.", "BE BRIEF. ", "Be long.")
    ]
    chats = [[{"role": role, "content": content} for role, content in one] for one in turns]
    write(tmp_path / "chats.jsonl", [{"messages": one} for one in chats])
    parts = split_rows(RowSource(str(tmp_path / "chats.jsonl"), "messages", "messages"), None).rows
    assert len({row.identity for rows in parts.values() for row in rows}) == 2 * len(
        QUESTIONS
    )  # by what the system says
    assert not asked(parts["train"]) & asked(parts["test"])


@pytest.mark.parametrize("held_out", VARIANTS[1:])
def test_what_the_test_data_ask_in_other_white_space_or_case_is_not_trained_on(tmp_path: Path, held_out: Any) -> None:
    data = write(tmp_path / "rows.jsonl", PLAIN)
    test = write(tmp_path / "test.jsonl", [{**row, "prompt": held_out(row["prompt"])} for row in PLAIN[:40]])
    parts = split_rows(data, test)
    assert [row.prompt for row in parts.rows["train"]] == QUESTIONS[40:]
    assert len(parts.rows["validation"]) + len(parts.rows["test"]) == 40
    assert parts.has_variants
    every = write(tmp_path / "every.jsonl", [{**row, "prompt": held_out(row["prompt"])} for row in PLAIN])
    assert split_rows(data, every).rows["train"] == []


def test_test_items_are_the_same_whatever_is_trained_on(tmp_path: Path) -> None:
    test = write(tmp_path / "test.jsonl", PLAIN[:40])
    ids: list[dict[str, int]] = []
    for name, rows in (("plain", PLAIN), ("variants", ROWS)):
        parts = split_rows(write(tmp_path / f"{name}.jsonl", rows), test).rows
        ids.append({row.prompt: row.identity for row in (*parts["validation"], *parts["test"])})
    assert ids[0] == ids[1]


def test_the_order_of_rows_and_files_does_not_matter(tmp_path: Path, one_frozen: FrozenModel) -> None:
    mixed = random.Random(0).sample(ROWS, len(ROWS))
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "a.jsonl", mixed[:300])
    write(folder / "b.jsonl", mixed[300:])
    sources = write(tmp_path / "rows.jsonl", ROWS), write(tmp_path / "mixed.jsonl", mixed), RowSource(str(folder))
    found: list[dict[Split, list[tuple[str, int]]]] = [
        {part: sorted((row.prompt, row.identity) for row in rows) for part, rows in split_rows(one, None).rows.items()}
        for one in sources
    ]
    assert found[0] == found[1] == found[2]
    opened = [CompletionTask().open(request_for(one), one_frozen.tokenizer) for one in sources]
    assert opened[0].held_out("test") == opened[1].held_out("test") == opened[2].held_out("test")


def test_results_of_the_older_rule_are_not_continued_where_it_told_variants_apart(tmp_path: Path) -> None:
    plain, variants = write(tmp_path / "plain.jsonl", PLAIN), write(tmp_path / "rows.jsonl", ROWS)
    test = write(tmp_path / "test.jsonl", [{**row, "prompt": row["prompt"] + " "} for row in PLAIN[:40]])
    own = {name: source.fingerprint() for name, source in (("plain", plain), ("rows", variants), ("test", test))}
    prints = [CompletionTask().fingerprint(request_for(*some)) for some in ((plain,), (variants,), (plain, test))]
    assert prints == [
        own["plain"],
        f"{own['rows']}-{BY_QUESTION}",
        f"{own['plain']}-{own['test']}-{BY_QUESTION}",
    ]


BEFORE: dict[str, dict[Split, tuple[int, str, int]]] = {
    "sums": {
        "train": (3946, "24 - 12 =", 4030498238562335042),
        "validation": (513, "25 - 23 =", 5416993480414589108),
        "test": (541, "16 + 51 =", 3240151286863766659),
    },
    "capitals": {
        "train": (304, "Malaysia ->", 2628057549026184254),
        "validation": (45, "Nova Scotia ->", 6009766392534444738),
        "test": (43, "Maranhao ->", 3639550998398685749),
    },
}
"""Rows, the first of them and its identity, when every prompt counted for itself."""


@pytest.mark.parametrize("name", BEFORE)
def test_without_variants_every_row_stands_where_it_stood(name: str) -> None:
    parts = split_rows(RowSource(name), None)
    assert not parts.has_variants
    assert CompletionTask().fingerprint(DataRequest(name, None, 64, 4, 4)) == RowSource(name).fingerprint()
    for part, rows in parts.rows.items():
        assert (len(rows), rows[0].prompt, rows[0].identity) == BEFORE[name][part]
        assert all(row.like is None for row in rows)


def test_of_variants_the_least_gives_its_own_identity_to_all(tmp_path: Path) -> None:
    """`Malaysia ->` is less than `malaysia ->`; another completion of the same prompt changes nothing."""
    prompts = ("malaysia ->", "Malaysia ->", "Malaysia ->", "malaysia  ->\n")
    source = write(tmp_path / "rows.jsonl", [{"prompt": one, "completion": f" {n}"} for n, one in enumerate(prompts)])
    assert {row.identity for row in source.read().sound} == {BEFORE["capitals"]["train"][2]}

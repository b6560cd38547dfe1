"""Do files of rows, of every format and packing, give what was written into them, and name the line that is wrong?"""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soft_prompts.common.errors import InputError
from soft_prompts.data import packed
from soft_prompts.data.completions import RowSource
from soft_prompts.data.jsonl import parse_object
from soft_prompts.data.packed import lines_of
from soft_prompts.data.rows import line_rows, rows_of
from soft_prompts.data.texts.documents import DocumentStream
from soft_prompts.data.texts.files import LONGEST_PIECE, PIECE, local_reader, pieces

ROWS = [{"prompt": f"ask, {n}\n:", "completion": f' "it" is {n} ö', "size": n} for n in range(300)]
PACK: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}
TEXT = st.text(st.characters(exclude_categories=("Cs",)))
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def as_json_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_array(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows, indent=1, ensure_ascii=False).encode()


def as_table(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), stream, row_group_size=70)
    return stream.getvalue()


WRITE: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    ".jsonl": as_json_lines,
    ".json": as_array,
    ".csv": as_table,
    ".tsv": lambda rows: as_table(rows, "\t"),
}


def pairs(path: Path, **names: Any) -> list[tuple[str, str]]:
    return [(row.prompt, row.completion) for row in RowSource(str(path), **names).read().sound]


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("form", WRITE)
def test_every_format_gives_the_same_rows_and_goes_on_behind_any(tmp_path: Path, form: str, packing: str) -> None:
    path = tmp_path / f"rows{form}{packing}"
    path.write_bytes(PACK[packing](WRITE[form](ROWS)))
    assert pairs(path) == [(row["prompt"], row["completion"]) for row in ROWS]
    every = list(rows_of(path))
    for at in (0, 150, 299):
        assert list(rows_of(path, every[at].place)) == every[at + 1 :]


def test_parquet_gives_the_same_rows_and_goes_on_behind_any(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(as_parquet(ROWS))
    assert pairs(path) == [(row["prompt"], row["completion"]) for row in ROWS]
    every = list(rows_of(path))
    for at in (0, 68, 69, 70, 200, 299):
        assert list(rows_of(path, every[at].place)) == every[at + 1 :]


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_bytes(as_json_lines(ROWS[200:]))
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(as_array(ROWS[:200])))
    (tmp_path / "notes.txt").write_text("no rows")
    assert pairs(tmp_path) == [(row["prompt"], row["completion"]) for row in ROWS]


def test_rows_are_skipped_by_their_place_in_bytes_where_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n\n" + as_json_lines(ROWS) + b"\n")
    every = list(line_rows(path))
    assert every[0].number == 3
    assert every[150].behind is not None
    assert list(line_rows(path, every[150].behind, every[150].number + 1)) == every[151:]


def test_fields_of_other_names_and_chats_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(as_json_lines([{"question": "why?", "answer": " so", "text": "all"}]))
    assert pairs(path, prompt="question", completion="answer") == [("why?", " so")]
    assert pairs(path, prompt="", completion="text") == [("", "all")]
    turns = [{"role": role, "content": role[0]} for role in ("system", "user", "assistant", "user", "assistant")]
    path = tmp_path / "chats.jsonl"
    path.write_bytes(as_json_lines([{"messages": turns}]))
    assert pairs(path, prompt="messages", completion="messages") == [("s\nu\na\nu\n", "a")]
    path.write_bytes(as_json_lines([{"messages": turns[:-1]}]))
    with pytest.raises(InputError, match=r"line 1: 'messages' is .*; give messages, the last by the assistant"):
        pairs(path, prompt="messages", completion="messages")


GOOD = as_json_lines(ROWS[:1])
WRONG = {
    ("a.jsonl", b"\xff\xfe" + "{}".encode("utf-16-le")): "is UTF-16; save it as UTF-8",
    ("a.jsonl", b'{"prompt": "a", "completion": ' + b"1" * 5000 + b"}"): "line 1: .* more than 4,300 digits",
    ("a.jsonl", GOOD * 2 + b'{"prompt": 3, "completion": "b"}'): "line 3: 'prompt' is 3; give text; 1 of 3 rows are",
    ("a.jsonl", b'{"prompt": "a", "completion": "\\ud800"}'): "line 1: 'completion' holds half a character",
    ("a.json", b"[" * 100_000): "no whole JSON array",
    ("a.jsonl", b"[" * 100_000): "line 1: no whole JSON object",
    ("a.jsonl", b"[1]\n" + GOOD): r"line 1: it is \[1\]; give an object with .*; 1 of 2 rows are bad",
    ("a.jsonl", GOOD + b"[1]\n"): r"line 2: it is \[1\]; give an object with 'prompt' and 'completion'",
    ("a.json", b'[{"prompt": "a", "completion": "b"},\n\n{"prompt" 3}]'): "line 3: no whole JSON array",
    ("a.json", b'[{"prompt": "a", "completion": "b"},\n7]'): "line 2: it is no JSON object",
    ("a.csv", b"prompt,completion\na,b\na,b,c\n"): "line 3: 3 fields where line 1 names 2",
    ("a.csv", b'prompt,completion\na,b\na,"b\n'): r"line \d: no CSV",
    ("a.csv", b"prompt,prompt\na,b\n"): "line 1: 'prompt, prompt'; give different names",
    ("a.csv", b"question,answer\na,b\n"): "line 2: 'prompt' is missing, .*--fields",
    ("a.parquet", b"PAR1"): "cannot be read as parquet",
    ("a.jsonl.gz", gzip.compress(GOOD * 99)[:-20]): "is cut short",
}


@pytest.mark.parametrize(("given_file", "message"), WRONG.items())
def test_what_is_wrong_is_said_in_one_line_with_its_place(
    tmp_path: Path, given_file: tuple[str, bytes], message: str
) -> None:
    path = tmp_path / given_file[0]
    path.write_bytes(given_file[1])
    with pytest.raises(InputError, match=message) as refused:
        pairs(path)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_bad_rows_are_borne_up_to_a_share_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(as_json_lines(ROWS[:98]) + b"{oh\n" + b'{"prompt": "a"}\n')
    read = RowSource(str(path), max_bad=0.02).read()
    assert (len(read.sound), read.faults) == (98, {"not JSON": 1, "a field is missing": 1})
    with pytest.raises(InputError, match=r"line 99: no whole JSON object.*; 2 of 100 rows are bad, 1.00% are allowed"):
        RowSource(str(path), max_bad=0.01).read()


@pytest.mark.parametrize("at", [0, 40, 98])
def test_a_line_that_is_a_list_is_a_bad_row_wherever_it_stands(tmp_path: Path, at: int) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(as_json_lines(ROWS[:at]) + b'["a", "b"]\n' + as_json_lines(ROWS[at:99]))
    read = RowSource(str(path), max_bad=0.01).read()
    assert (len(read.sound), read.faults) == (99, {"no JSON object": 1})


def test_structs_of_parquet_are_named(tmp_path: Path) -> None:
    rows = [{"prompt": {"text": "a"}, "completion": "b", "text": {"body": "c"}}]
    (tmp_path / "a.parquet").write_bytes(as_parquet(rows))
    with pytest.raises(InputError, match=r"row 1: 'prompt' is \{\"text\": \"a\"\}; give text"):
        pairs(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"column 'text' holds struct<body: string>, no text"):
        list(DocumentStream(local_reader(tmp_path / "a.parquet"), None, 0.0))


@pytest.mark.parametrize(("name", "content"), [(f"a{form}", write(ROWS)) for form, write in WRITE.items()])
def test_texts_come_from_every_format(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content.replace(b"completion", b"text"))
    every = list(DocumentStream(local_reader(tmp_path / name), None, 0.0))
    assert [document.text for document, _ in every] == [row["completion"] for row in ROWS]
    position = json.loads(json.dumps(every[200][1]))
    assert list(DocumentStream(local_reader(tmp_path / name), position, 0.0)) == every[201:]


def test_line_ends_of_other_systems_are_line_ends(tmp_path: Path) -> None:
    text = "a line\nanother\n\n" * 900
    documents = []
    for number, end in enumerate(("\n", "\r\n", "\r")):
        path = tmp_path / f"{number}.txt"
        path.write_bytes(text.replace("\n", end).encode())
        documents.append([document for document, _ in DocumentStream(local_reader(path), None, 0.0)])
    assert documents[0] == documents[1] == documents[2]
    assert len(documents[0]) > 3


def long_window(content: bytes) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=False)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packer.compress(content) + packer.flush()


@pytest.mark.parametrize(("cut", "state"), [(None, "is whole, but packed"), (-3, "is cut short, and packed")])
def test_a_long_window_is_no_damage(tmp_path: Path, cut: int | None, state: str) -> None:
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(zstandard.compress(GOOD) + long_window(as_json_lines(ROWS) * 9)[:cut])
    with pytest.raises(InputError, match=rf"{state} with a long window \(zstd --long=28\), .* repack it: zstd -dc"):
        pairs(path)


@QUICK
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1), st.sampled_from(sorted(WRITE)))
def test_whatever_is_written_is_read(tmp_path: Path, written: list[tuple[str, str]], form: str) -> None:
    path = tmp_path / f"{abs(hash((form, tuple(written))))}{form}"
    path.write_bytes(WRITE[form]([{"prompt": prompt, "completion": completion} for prompt, completion in written]))
    table = form in (".csv", ".tsv")  # whose cells keep no \r: a line end is a line end
    plain = (lambda text: text.replace("\r\n", "\n").replace("\r", "\n")) if table else str
    assert pairs(path) == [(plain(prompt), plain(completion)) for prompt, completion in written]


@QUICK
@given(st.binary(max_size=60))
def test_no_line_ends_in_anything_but_an_object_or_a_fault(raw: bytes) -> None:
    parsed = parse_object(raw)
    assert (parsed.fields is None) == bool(parsed.fault) == bool(parsed.detail)
    assert "\n" not in parsed.detail


@QUICK
@given(st.binary(max_size=200), st.integers(1, 9))
def test_lines_are_those_of_a_split(content: bytes, block: int) -> None:
    lines = list(lines_of(content[at : at + block] for at in range(0, len(content), block)))
    expected = content.split(b"\n")
    assert [line.content for line in lines] == (expected if expected[-1] else expected[:-1])
    assert [content[: line.behind].rstrip(b"\n").rsplit(b"\n", 1)[-1] for line in lines if line.content] == [
        line.content for line in lines if line.content
    ]


def test_a_line_beyond_the_largest_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MAX_RECORD_BYTES", 10)
    blocks = [b"short\n" + b"x" * 8, b"x" * 8, b"x\nshort\n" + b"y" * 11 + b"\nend"]
    assert [line.content for line in lines_of(blocks)] == [b"short", None, b"short", None, b"end"]


@QUICK
@given(st.lists(st.sampled_from(["word ", "\n", "\n\n", "x" * 1500, "y" * 5000]), max_size=80), st.integers(900, 9000))
def test_pieces_are_cut_as_the_rule_says_wherever_blocks_end(parts: list[str], block: int) -> None:
    text = "".join(parts)
    cut = list(pieces(text[at : at + block] for at in range(0, len(text), block)))
    assert "".join(cut) == text
    for piece in cut[:-1]:
        blank = piece.find("\n\n", PIECE)
        by_blank = 0 <= blank < LONGEST_PIECE and not piece[blank:].strip("\n")
        assert by_blank or LONGEST_PIECE <= len(piece) <= 2 * LONGEST_PIECE
    assert list(pieces([text])) == cut

"""Does every source give its documents, all of them, once, and say in one line what is wrong with it?"""

import gzip
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from soft_prompts.common.errors import InputError
from soft_prompts.data.split import HELD_OUT
from soft_prompts.data.texts.corpus import open_corpus
from soft_prompts.data.texts.documents import DocumentStream, Reader
from soft_prompts.data.texts.files import LONGEST_PIECE, PIECE, local_reader, pieces
from soft_prompts.data.texts.hub import HubReader
from soft_prompts.models.frozen import load_tokenizer
from soft_prompts.tasks.task import DataRequest
from soft_prompts.tasks.texts.autoregressive import AutoregressiveTask
from tests.benchmarks.held_apart import runs_of

TEXTS = [f"document {number} öäü\n" for number in range(40)]


def write_rows(path: Path, texts: list[str], field: str = "text") -> None:
    rows = [{field: text, "number": number} for number, text in enumerate(texts)]
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    pack: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstandard.compress}
    path.write_bytes(pack.get(path.suffix, bytes)(content))


def texts_of(reader: Reader, max_bad: float = 0.0) -> list[str]:
    return [document.text for document, _ in DocumentStream(reader, None, max_bad)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
@pytest.mark.parametrize("field", ["text", "raw_content"])
def test_a_file_of_rows_gives_a_document_a_row_and_goes_on_from_any(tmp_path: Path, name: str, field: str) -> None:
    write_rows(tmp_path / name, TEXTS, field)
    reader = local_reader(tmp_path / name)
    assert texts_of(reader) == TEXTS
    check_places(reader)


def test_a_folder_gives_a_document_a_file_and_the_rows_of_others(tmp_path: Path) -> None:
    for number, text in enumerate(TEXTS[:5]):
        (tmp_path / f"{number}.txt").write_text(text, encoding="utf-8")
    (tmp_path / "inside").mkdir()
    write_rows(tmp_path / "inside" / "rows.jsonl", TEXTS[5:])
    (tmp_path / "ignored.bin").write_bytes(b"\xff")
    reader = local_reader(tmp_path)
    assert texts_of(reader) == TEXTS
    check_places(reader)


def check_places(reader: Reader) -> None:
    every = list(DocumentStream(reader, None, 0.0))
    for place in (0, 3, len(every) - 1):
        position = json.loads(json.dumps(every[place][1]))
        assert list(DocumentStream(reader, position, 0.0)) == every[place + 1 :]


def test_a_lone_text_is_cut_at_blank_lines_and_nothing_is_lost(tmp_path: Path) -> None:
    paragraphs = [f"paragraph {number} " + "x" * (100 + 37 * number % 900) for number in range(200)]
    text = "\n\n".join(paragraphs)
    (tmp_path / "a.txt").write_text(text)
    reader = local_reader(tmp_path / "a.txt")
    cut = texts_of(reader)
    assert "".join(cut) == text
    assert all(PIECE <= len(piece) <= PIECE + 1100 and piece.endswith("\n\n") for piece in cut[:-1])
    check_places(reader)
    assert list(pieces(text[start : start + 7] for start in range(0, len(text), 7))) == cut


@pytest.mark.parametrize("text", ["word " * 20_000, "a line without a blank one\n" * 4_000])
def test_a_text_without_blank_lines_is_cut_all_the_same(text: str) -> None:
    cut = list(pieces([text]))
    assert "".join(cut) == text
    assert all(LONGEST_PIECE <= len(piece) <= 2 * LONGEST_PIECE for piece in cut[:-1])


@pytest.mark.parametrize("name", ["library", "games", "mazes"])
def test_embedded_sources_give_documents_and_go_on_from_any(name: str) -> None:
    reader = open_corpus(name, None).train
    first = [pair for _, pair in zip(range(6), DocumentStream(reader, None, 0.0), strict=False)]
    assert all(document.text.strip() for document, _ in first)
    again = [pair for _, pair in zip(range(3), DocumentStream(reader, first[2][1], 0.0), strict=False)]
    assert again == first[3:]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_a_hub_data_set_is_streamed_and_goes_on_from_any_row(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(2):
        write_rows(folder / f"train-{number}{suffix}", TEXTS[20 * number : 20 * number + 20])
    reader = HubReader(str(folder))
    assert texts_of(reader) == TEXTS
    for first, then in ((0, 0), (3, 30), (18, 0), (19, 4), (38, 0)):
        position, again = None, TEXTS
        for place in (first, then):  # from a place, and from a place that was reached from there
            stream = list(DocumentStream(reader, position, 0.0))
            assert [document.text for document, _ in stream] == again
            position, again = json.loads(json.dumps(stream[place][1])), again[place + 1 :]
    known = reader.fingerprint()
    assert HubReader(str(folder)).fingerprint() == known
    write_rows(folder / f"train-1{suffix}", TEXTS)
    assert HubReader(str(folder)).fingerprint() != known


def test_the_parts_of_the_library_share_no_sentence() -> None:
    """A run of 16 tokens that stands on both sides was not written twice by chance."""

    data = AutoregressiveTask().open(DataRequest("library", None, 64, 128, 300), load_tokenizer("tiny-text"))
    trained = set(runs_of(example for example, _ in itertools.islice(data.training(None), 4_500)))
    for split in HELD_OUT:
        found = runs_of(data.held_out(split))
        assert len(found) > 5_000
        assert sum(run in trained for run in found) < 0.005 * len(found)


def refusal(source: Path | str, max_bad: float = 0.01) -> str:
    with pytest.raises(InputError) as refused:
        texts_of(open_corpus(str(source), None).train, max_bad)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_is_not_there_or_no_text_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.bin").write_bytes(b"")
    (tmp_path / "a.txt").write_text("\n")
    assert "did you mean 'library'" in refusal("libary")
    assert "holds no file of text" in refusal(tmp_path / "empty")
    assert "no file of text" in refusal(tmp_path / "a.bin")
    assert "holds no text" in refusal(tmp_path / "a.txt")
    assert "hub is not asked" in refusal("nobody/nothing-of-the-kind")


def test_a_wrong_encoding_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("Käse\n".encode("latin-1") * 10)
    assert "not UTF-8 (byte 1" in refusal(tmp_path / "latin.txt")
    assert "first latin.txt line 1 (not UTF-8)" in refusal(tmp_path)


def test_a_missing_field_is_said_in_one_line(tmp_path: Path) -> None:
    said = {"a.jsonl": "first a.jsonl line 1 (no field 'text')", "a.parquet": "no column 'text' but body"}
    for name, message in said.items():
        write_rows(tmp_path / name, TEXTS, field="body")
        assert message in refusal(tmp_path / name)
    (tmp_path / "hub").mkdir()
    write_rows(tmp_path / "hub" / "a.parquet", TEXTS, field="body")
    with pytest.raises(InputError, match="no field 'text' but body, number"):
        texts_of(HubReader(str(tmp_path / "hub")))


def test_bad_rows_are_counted_by_reason_and_borne_up_to_a_share(tmp_path: Path) -> None:
    bad = [b"{", b'{"text": 3}', b"[]", b'{"text": "\\ud800"}', b'{"text": " "}', b"\xff", b'{"text": "x" ']
    good = [json.dumps({"text": text}).encode() for text in TEXTS]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*good, *bad]))
    stream = DocumentStream(local_reader(tmp_path / "a.jsonl"), None, 0.2)
    assert [document.text for document, _ in stream] == TEXTS
    once = ("field 'text' is no string", "no JSON object", "no valid Unicode", "no text", "not UTF-8")
    assert stream.faults == {"not JSON": 2} | dict.fromkeys(once, 1)
    assert "7 of 47 records are bad, first a.jsonl line 41 (not JSON)" in refusal(tmp_path / "a.jsonl")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
def test_a_file_that_is_cut_short_is_noticed(tmp_path: Path, name: str) -> None:
    write_rows(tmp_path / name, TEXTS)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    assert name in refusal(tmp_path / name)

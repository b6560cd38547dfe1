"""Are the same items held out however a source is sorted, and does training see all of it from the start?"""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

import soft_prompts.data.games.held_out as held_out_module
import soft_prompts.data.texts.held_out as documents_module
from soft_prompts.data.games.files import GameSource
from soft_prompts.data.games.held_out import held_out_games
from soft_prompts.data.kept import Kept
from soft_prompts.data.ranked import Bounds, Lowest
from soft_prompts.data.split import HELD_OUT, split_of
from soft_prompts.data.texts.corpus import Corpus, open_corpus
from soft_prompts.data.texts.documents import document_of
from soft_prompts.data.texts.files import FileReader
from soft_prompts.data.texts.held_out import buffers, candidates
from tests.benchmarks.random_games import movetext, pgn, random_line

TEXTS = [f"{'first' if n < 300 else 'second'} half, number {n}" for n in range(600)]


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (held_out_module, documents_module):
        monkeypatch.setattr(module, "KEPT", Kept(4))


def corpus_of(path: Path, texts: Sequence[str]) -> Corpus:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return open_corpus(str(path), None)


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_the_lowest_are_those_of_a_sorted_list(most: int) -> None:
    shown = random.Random(0).choices(range(400), k=1500)
    lowest = Lowest[str](most)
    for number in shown:
        if lowest.takes(number):
            lowest.add(number, str(number))
    assert list(lowest.in_order()) == [(number, str(number)) for number in sorted(set(shown))[:most]]
    assert bool(lowest.passed) == (most < len(set(shown)))


def test_held_out_documents_are_the_lowest_hashes_in_any_order(tmp_path: Path) -> None:
    sizes = {"validation": 10, "test": 20}
    expected = {
        name: sorted(d.identity for d in map(document_of, TEXTS) if split_of(d.identity) == name)[:size]
        for name, size in sizes.items()
    }
    for number, texts in enumerate((TEXTS, TEXTS[::-1], random.Random(1).sample(TEXTS, len(TEXTS)), TEXTS * 2)):
        corpus = corpus_of(tmp_path / f"{number}.jsonl", texts)
        found = candidates(corpus, {"validation": 10, "test": 20}, 0.0)
        assert {name: [d.identity for d in found.documents[name]] for name in HELD_OUT} == expected
        assert not found.are_all
    halves = [document.text.split()[0] for document in found.documents["test"]]
    assert 4 <= halves.count("second") <= 16
    assert candidates(corpus, {"validation": 600, "test": 600}, 0.0).are_all


def test_no_more_than_the_stated_part_of_a_source_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of(tmp_path / "a.jsonl", TEXTS)
    for bounds in (Bounds(300, 10**9), Bounds(10**6, sum(map(len, TEXTS[:300])))):
        monkeypatch.setattr(FileReader, "scanned", bounds)
        found = candidates(corpus, {"validation": 600, "test": 600}, 0.0)
        texts = [document.text for name in HELD_OUT for document in found.documents[name]]
        assert {text.split()[0] for text in texts} == {"first"}
        monkeypatch.setattr(documents_module, "KEPT", Kept(4))


def test_a_source_that_fits_is_one_buffer_and_a_larger_one_goes_on_from_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = corpus_of(tmp_path / "a.jsonl", [*TEXTS, " "]).train
    [whole] = buffers(reader, None, 0.1)
    assert [document.text for document in whole.documents] == TEXTS
    assert (whole.behind, whole.faults) == (None, {"no text": 1})
    assert sorted(whole.order((0, 1, 2))) == list(range(600))
    assert whole.order((0, 1, 2)) != whole.order((0, 2, 2))
    for bounds in (Bounds(7, 10**6), Bounds(10**6, 200)):
        monkeypatch.setattr(FileReader, "buffer", bounds)
        monkeypatch.setattr(documents_module, "KEPT", Kept(4))
        every = list(buffers(reader, None, 0.1))
        assert [document.text for buffer in every for document in buffer.documents] == TEXTS
        for buffer in every:
            assert len(buffer.documents) <= bounds.records
            assert sum(len(document.text) for document in buffer.documents) <= bounds.text_bytes
        for at in (0, 11, len(every) - 2):
            assert list(buffers(reader, json.loads(json.dumps(every[at].behind)), 0.1)) == every[at + 1 :]


def games_text(seeds: Sequence[int]) -> bytes:
    return b"".join(pgn(movetext(random_line(seed, 12).san)) for seed in seeds)


@pytest.mark.parametrize("is_test_source", [False, True])
def test_held_out_games_are_the_lowest_hashes_in_any_order(tmp_path: Path, is_test_source: bool) -> None:
    (tmp_path / "games.pgn").write_bytes(games_text(range(80)))
    every = held_out_games(GameSource(tmp_path / "games.pgn"), {"validation": 99, "test": 99}, is_test_source).games
    assert all(len(games) > 3 for games in every.values())
    for name, games in every.items():
        hashes = [game.game_hash for game in games]
        assert hashes == sorted(hashes)
        if is_test_source:
            assert {number % 5 == 0 for number in hashes} == {name == "validation"}
        else:
            assert {split_of(number) for number in hashes} == {name}
    few = {"validation": 2, "test": 3}
    for number, seeds in enumerate((range(79, -1, -1), [*range(40, 80), *range(40)])):
        source = GameSource(tmp_path / f"{number}.pgn")
        source.path.write_bytes(games_text(seeds))
        found = held_out_games(source, {"validation": 2, "test": 3}, is_test_source).games
        for name, size in few.items():
            assert [g.text for g in found[name]] == [g.text for g in every[name][:size]]


def test_illegal_games_are_passed_over_until_there_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soft_prompts.data.ranked.SPARE", 1)
    bad = b"".join(pgn(f"1. e4 Ke7 {n}. a3 Qh4 *") for n in range(2, 200))
    source = GameSource(tmp_path / "games.pgn", max_bad=1.0)
    source.path.write_bytes(bad + games_text(range(80)))
    found = held_out_games(source, {"validation": 3, "test": 3}, False)
    assert [len(found.games[name]) for name in HELD_OUT] == [3, 3]
    sound = GameSource(tmp_path / "sound.pgn")
    sound.path.write_bytes(games_text(range(80)))
    expected = held_out_games(sound, {"validation": 3, "test": 3}, False)
    assert [g.text for g in found.games["test"]] == [g.text for g in expected.games["test"]]

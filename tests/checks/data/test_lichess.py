"""Which games come out of a source, in which order, and what is counted and refused on the way?"""

import gc
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import zstandard

from soft_prompts.common.errors import InputError, OutOfRoom
from soft_prompts.data.games.files import BUFFER_BYTES, GameSource
from soft_prompts.data.games.judge import Game
from soft_prompts.data.games.lichess import GameStream, Shuffle, Start, read_games
from soft_prompts.data.split import split_of
from tests.benchmarks.random_games import Line, headers, movetext, pgn, random_line

ROOT = Path(__file__).parents[3]
STYLES = ("plain", "clocks", "annotated", "crlf")
ELO_TAGS = [("white_elo", "black_elo"), ("black_elo", "white_elo")]
UNWANTED = {
    "other event": pgn("1. zz *", headers("Rated Blitz tournament https://lichess.org/tournament/x")),
    "no usable Elo": pgn("1. zz *", headers(white_elo="?")),
    "other variant": pgn("1. zz *", headers(more='[Variant "Atomic"]\n')),
    "set-up position": pgn("1. zz *", headers(more='[SetUp "1"]\n[FEN "8/8/8/8/8/8/8/K1k5 w - - 0 1"]\n')),
    "fewer than two moves": pgn("1. e4 0-1"),
}
BAD = {
    "illegal move": pgn("1. e4 Ke7 *"),
    "no result": pgn("1. e4 e5"),
    "unreadable": pgn("1. e4 { and so on *"),
    "too many moves": pgn("Nf3 Nf6 Ng1 Ng8 " * 151 + "*"),
    "too large": pgn("{" + "x" * (1 << 20) + "} 1. e4 *"),
}


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return [random_line(seed, 30) for seed in range(120)]


def write(path: Path, games: Sequence[bytes]) -> GameSource:
    text = b"".join(games)
    path.write_bytes(zstandard.compress(text, 1) if path.suffix == ".zst" else text)
    return GameSource(path)


def of_lines(lines: Sequence[Line]) -> list[bytes]:
    return [pgn(movetext(line.san, STYLES[n % 4]), style=STYLES[n % 4]) for n, line in enumerate(lines)]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children() -> set[int]:
    listed = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    mine = set()
    for pid in listed:
        try:
            parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == os.getpid() and is_running(pid):
            mine.add(pid)
    return mine


def wait_for(condition: object, seconds: float = 10.0) -> bool:
    assert callable(condition)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("name", ["games.pgn", "games.pgn.zst"])
def test_every_kept_game_is_read_exactly(tmp_path: Path, lines: list[Line], name: str) -> None:
    source = write(tmp_path / name, [*UNWANTED.values(), *of_lines(lines)])
    with read_games(source) as stream:
        games = list(stream)
    assert [game.text for game in games] == [" ".join(line.uci) for line in lines]
    assert [game.index for game in games] == list(range(len(UNWANTED), len(UNWANTED) + len(lines)))
    assert {(game.white_elo, game.black_elo) for game in games} == {(1500, 1600)}
    assert stream.tally == {"kept": len(lines), **dict.fromkeys(UNWANTED, 1)}


@pytest.mark.parametrize(("elo", "usable"), [
    ("400", True), ("4000", True), ("399", False), ("4001", False), ("", False), ("1500?", False), ("-1500", False),
    ("1" + "0" * 20, False), ("1e3", False), ("٤٠٠", False), ("1500.5", False), (" 1500", False),
])  # fmt: skip
def test_elos(tmp_path: Path, elo: str, usable: bool) -> None:
    for tags in (headers(white_elo=elo), headers(black_elo=elo)):
        with read_games(write(tmp_path / "games.pgn", [pgn("1. e4 e5 *"), pgn("1. e4 e5 *", tags)])) as stream:
            assert len(list(stream)) == 1 + usable
        assert stream.tally["no usable Elo"] == 1 - usable


@pytest.mark.parametrize("workers", [0, 1])
def test_games_of_weaker_players_are_passed_over(tmp_path: Path, lines: list[Line], workers: int) -> None:
    strong = [pgn(movetext(line.san), headers(white_elo="1600", black_elo="1601")) for line in lines[:3]]
    weak = [pgn("1. zz *", headers(**{side: "1599"}, **{other: "2000"})) for side, other in ELO_TAGS]
    source = replace(write(tmp_path / "games.pgn", [*weak, *strong]), min_elo=1600)
    with read_games(source, workers=workers) as stream:
        assert [game.text for game in stream] == [" ".join(line.uci) for line in lines[:3]]
    assert stream.tally == {"kept": 3, "too low an Elo": 2}
    with pytest.raises(InputError, match=r"5 too low an Elo; .* two Elos of 1602 or more and two moves"):
        list(read_games(replace(source, min_elo=1602), workers=workers))


@pytest.mark.parametrize("reason", BAD)
def test_bad_games_are_counted_by_reason(tmp_path: Path, lines: list[Line], reason: str) -> None:
    source = write(tmp_path / "games.pgn", [*of_lines(lines[:99]), BAD[reason], *of_lines(lines[99:100])])
    with read_games(source) as stream:
        assert [game.index for game in stream] == [*range(99), 100]
    assert stream.tally == {"kept": 100, reason: 1}


def test_too_many_bad_games_are_refused(tmp_path: Path, lines: list[Line]) -> None:
    source = write(tmp_path / "games.pgn", [*of_lines(lines[:50]), BAD["illegal move"], *of_lines(lines[50:])])
    read_all = list(read_games(GameSource(source.path, max_bad=0.01)))
    assert len(read_all) == 120
    with pytest.raises(InputError, match=r"1 of 121 games are bad, first game 50 \(illegal move\); 0.50% are allowed"):
        list(read_games(GameSource(source.path, max_bad=0.005)))
    many = [BAD["no result"], *of_lines(lines)] * 20
    with read_games(GameSource(write(tmp_path / "many.pgn", many).path, max_bad=0.001)) as stream:
        with pytest.raises(InputError, match="are bad, first game 0"):
            list(stream)
        assert sum(stream.tally.values()) < len(many)  # it did not wait for the end


@pytest.mark.parametrize(("content", "message"), [
    (b"", "holds no usable game: it is empty"),
    (b"\n\n \n", "holds no usable game: it is empty"),
    (bytes(range(256)) * 40, "1 of 1 games are bad"),
    ('[Event "Rated Blitz game"]\n'.encode("utf-16"), "is UTF-16; save it as UTF-8"),
    ('[Event "Rated Blitz game"]\n'.encode("utf-16-be"), "is UTF-16; save it as UTF-8"),
    (b"".join(UNWANTED.values()), "holds no usable game: 1 other event, 1 no usable Elo"),
])  # fmt: skip
@pytest.mark.parametrize("workers", [0, 1])
def test_a_source_without_usable_games_is_refused(tmp_path: Path, content: bytes, message: str, workers: int) -> None:
    source = write(tmp_path / "games.pgn", [content])
    with pytest.raises(InputError, match=message) as caught:
        list(read_games(source, workers=workers))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("asked", "found"), [
    ("Rated Blitz game", [0, 1]), ("rated blitz game|Casual Rapid game", [0, 1, 3]), ("Rated*", [0, 1, 2]),
    (" Casual Rapid game | [x] ", [3, 4]), ("*", [0, 1, 2, 3, 4]),
])  # fmt: skip
def test_events_are_told_in_any_case_and_several_at_once(
    tmp_path: Path, lines: list[Line], asked: str, found: list[int]
) -> None:
    events = (
        "Rated Blitz game",
        "Rated blitz game",
        "Rated Blitz tournament https://x.org/1",
        "Casual Rapid game",
        "[x]",
    )
    games = [pgn(movetext(line.san), headers(event)) for event, line in zip(events, lines, strict=False)]
    source = write(tmp_path / "games.pgn", games)
    assert [game.index for game in read_games(replace(source, event=asked))] == found


def test_games_need_no_empty_line_between_them(tmp_path: Path, lines: list[Line]) -> None:
    close = [re.sub(rb"\n\n+", b"\n", game).strip(b"\n") for game in of_lines(lines[:40:4])]
    assert b"\n\n" not in b"\n".join(close)
    source = write(tmp_path / "games.pgn", [b"\n".join(close)])
    assert [game.text for game in read_games(source)] == [" ".join(line.uci) for line in lines[:40:4]]


def test_splits_and_excluded_games(tmp_path: Path, lines: list[Line]) -> None:
    source = write(tmp_path / "games.pgn", of_lines(lines))
    everything = list(read_games(source))
    parts = {name: list(read_games(source, splits=frozenset([name]))) for name in ("train", "validation", "test")}
    assert sorted((game for part in parts.values() for game in part), key=lambda game: game.index) == everything
    assert all(split_of(game.game_hash) == name for name, part in parts.items() for game in part)
    with read_games(source, exclude=frozenset(game.game_hash for game in everything)) as stream:
        assert list(stream) == []
    assert stream.tally == {"excluded": 120}


Passing = list[tuple[Game | None, dict[str, int]]]


def passing(stream: GameStream) -> Passing:
    """Each game with the tally behind it, and the end."""
    with stream:
        passed: Passing = [(game, dict(stream.tally)) for game in stream]
        return [*passed, (None, dict(stream.tally))]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, lines: list[Line]) -> list[tuple[GameSource, Any, Passing]]:
    """Five batches of games that are read in this process, from four places on."""
    mixed = [*UNWANTED.values(), BAD["illegal move"], *of_lines(lines)] * 9
    source = GameSource(write(tmp_path_factory.mktemp("mixed") / "games.pgn.zst", mixed).path, max_bad=0.1)
    small = Shuffle((3, 1), most_bytes=100_000)
    shuffled = passing(read_games(source, shuffle=small))
    starts = [game.start for game, _ in shuffled if game]
    assert len({start[0] for start in starts}) > 2
    ways = [{"start": Start(), "shuffle": None}, {"start": Start(300), "shuffle": None}]
    ways += [{"start": Start(*starts[300]), "shuffle": small}]
    read = [(source, way, passing(read_games(source, **way))) for way in ways]
    return [*read, (source, {"start": Start(), "shuffle": small}, shuffled)]


FEWER = [(1, 0), (2, 2)]  # processes and a place
OTHERS = [pytest.param(*case, marks=pytest.mark.slow) for case in product((1, 2), range(4)) if case not in FEWER]


@pytest.mark.parametrize(("workers", "place"), [*product((3,), range(4)), *FEWER, *OTHERS])
def test_workers_change_nothing(alone: list[tuple[GameSource, Any, Passing]], workers: int, place: int) -> None:
    source, way, expected = alone[place]
    assert passing(read_games(source, **way, workers=workers)) == expected


def test_a_shuffled_stream_goes_on_from_any_game_and_holds_every_game_once(tmp_path: Path, lines: list[Line]) -> None:
    source = write(tmp_path / "games.pgn.zst", of_lines(lines))
    for most_bytes in (1, 20_000, BUFFER_BYTES):
        how = Shuffle((0, 0), most_bytes)
        games = list(read_games(source, shuffle=how))
        assert sorted(game.index for game in games) == list(range(len(lines)))
        assert (most_bytes == 1) == ([game.index for game in games] == list(range(len(lines))))
        for at in (0, 57, len(games) - 1):
            assert list(read_games(source, start=Start(*games[at].start), shuffle=how)) == games[at + 1 :]
    first_half = [game.index < 60 for game in games[:30]]
    assert 5 < sum(first_half) < 25
    other = [game.index for game in read_games(source, shuffle=Shuffle((0, 1)))]
    assert other != [game.index for game in games]


def test_going_on_behind_a_game_gives_the_rest(tmp_path: Path, lines: list[Line]) -> None:
    source = write(tmp_path / "games.pgn", [*UNWANTED.values(), *of_lines(lines)])
    games = list(read_games(source))
    for at in (0, 57, len(games) - 1):
        assert list(read_games(source, start=Start(games[at].index + 1))) == games[at + 1 :]
    assert list(read_games(source, start=Start(10**6))) == []


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path, lines: list[Line]) -> None:
    parts = of_lines(lines[:20])
    write(tmp_path / "b.pgn", [part.rstrip() for part in parts[10:11]])
    write(tmp_path / "a.pgn.zst", parts[:10])
    write(tmp_path / "c.PGN", parts[11:])
    (tmp_path / "notes.txt").write_text("no games")
    with read_games(GameSource(tmp_path)) as stream:
        assert [game.text for game in stream] == [" ".join(line.uci) for line in lines[:20]]


def test_what_cannot_be_a_source_is_named(tmp_path: Path) -> None:
    (tmp_path / "games.txt").write_text("")
    (tmp_path / "not.pgn.zst").write_text("plain text")
    (tmp_path / "folder").mkdir()
    expected = {
        "missing.pgn": "does not exist",
        "games.txt": "neither a .pgn nor a .pgn.zst",
        "folder": "holds no .pgn",
        "not.pgn.zst": "damaged or not a zstd file",
        "nul\0.pgn": "does not exist",
        "long" * 100 + ".pgn": "does not exist",
    }
    for name, message in expected.items():
        for use in (lambda s: list(read_games(s)), lambda s: list(read_games(s, workers=1)), GameSource.verify):
            with pytest.raises(InputError, match=message) as caught:
                use(GameSource(tmp_path / name))
            assert "\n" not in str(caught.value)


def test_fingerprint_knows_the_content(tmp_path: Path, lines: list[Line]) -> None:
    source = write(tmp_path / "games.pgn", of_lines(lines[:5]))
    first = source.fingerprint()
    os.utime(source.path, (1, 1))
    assert write(tmp_path / "renamed.pgn", of_lines(lines[:5])).fingerprint() == first == source.fingerprint()
    assert write(tmp_path / "games.pgn", of_lines(lines[:4])).fingerprint() != first
    large = GameSource(tmp_path / "large.pgn")
    with large.path.open("wb") as stream:
        stream.truncate(10**8 + 1)  # sparse
    before = large.fingerprint()
    assert large.fingerprint() == before
    with large.path.open("r+b") as stream:
        stream.write(b"x")
    assert large.fingerprint() != before


def test_no_process_stays_behind(tmp_path: Path, lines: list[Line]) -> None:
    source = write(tmp_path / "games.pgn", of_lines(lines) * 20)
    before = children()
    with read_games(source, workers=2) as stream:
        next(stream)
        assert len(children() - before) == 2
    assert children() == before
    assert next(stream, None) is None
    abandoned = read_games(source, workers=2)
    next(abandoned)
    del abandoned
    gc.collect()
    assert children() == before
    list(read_games(write(tmp_path / "few.pgn", of_lines(lines)), workers=2))
    assert children() == before


def test_a_killed_process_is_an_error(tmp_path: Path, lines: list[Line]) -> None:
    source = write(tmp_path / "games.pgn", of_lines(lines) * 40)
    before = children()
    with read_games(source, workers=2) as stream:
        next(stream)
        os.kill(max(children() - before), signal.SIGKILL)
        with pytest.raises(OutOfRoom, match="start the run again"):
            list(stream)
    assert children() == before


def test_processes_end_when_their_parent_is_killed(tmp_path: Path, lines: list[Line]) -> None:
    source = write(tmp_path / "games.pgn", of_lines(lines) * 40)
    code = (
        "import sys, time; from pathlib import Path\n"
        "from soft_prompts.data.games.lichess import GameSource, read_games\n"
        "stream = read_games(GameSource(Path(sys.argv[1])), workers=2); next(stream)\n"
        "print('reading', flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(source.path)], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    parent.stdout.readline()
    pids = [int(pid) for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()]
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    assert wait_for(lambda: not any(is_running(pid) for pid in pids))


def test_reading_games_does_not_import_torch() -> None:
    code = "import sys, soft_prompts.data.games.lichess; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"


def test_a_stream_is_lazy(tmp_path: Path) -> None:
    source = write(tmp_path / "games.pgn", [pgn("1. e4 e5 *"), BAD["illegal move"]])
    stream: GameStream = read_games(source)
    assert isinstance(next(stream), Game)
    assert stream.tally == {"kept": 1}
    stream.close()
    assert next(stream, None) is None

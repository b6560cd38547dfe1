"""Is every broken, cut or malicious file of games noticed, counted, and read in little memory?

The trials of a fault go into the test's properties as `fault`: its name, how many were tried and how many passed.
"""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import chess
import pytest
import zstandard

from soft_prompts.common.errors import InputError
from soft_prompts.data.games.files import GameSource
from soft_prompts.data.games.lichess import read_games
from tests.benchmarks.random_games import Style, headers, movetext, pgn, random_line

STYLES: tuple[Style, ...] = ("plain", "clocks", "annotated", "crlf")
SIGNS = (
    b"{",
    b"}",
    b"(",
    b")",
    b";",
    b"%",
    b"\n[",
    b'\n[Event "x"]\n',
    b"\r",
    b"\0",
    b"$",
    b"--",
    b"0-0",
    b" * ",
    b"\xef\xbb\xbf",
)
ROOT = Path(__file__).parents[3]
Record = Callable[[str, object], None]

BOMB_READER = """
import sys
from pathlib import Path
from soft_prompts.data.games.lichess import GameSource, read_games
def peak_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
next(read_games(GameSource(Path(sys.argv[2]))))
base = peak_mb()
try:
    with read_games(GameSource(Path(sys.argv[1]), max_bad=1.0)) as stream:
        kept = sum(1 for _ in stream)
    print(peak_mb() - base, kept, sum(stream.tally.values()))
except ValueError as error:
    print(peak_mb() - base, 0, "refused:", error)
"""


@pytest.fixture(scope="module")
def games() -> list[bytes]:
    return [pgn(movetext(random_line(seed, 40).san, "clocks")) for seed in range(60)]


def noticed(action: Callable[[], object], message: str) -> bool:
    try:
        action()
    except InputError as error:
        return message in str(error) and "\n" not in str(error)
    return False


@pytest.mark.parametrize("cuts", [10, pytest.param(100, marks=pytest.mark.faults)])
def test_every_cut_is_noticed(tmp_path: Path, games: list[bytes], cuts: int, record_property: Record) -> None:
    packed = zstandard.compress(b"".join(games), 3) * 2
    frame = len(packed) // 2  # a cut between frames leaves a whole file
    inside = [place for place in range(len(packed)) if place != frame]
    passed = 0
    for place in [0, 1, *random.Random(1).sample(inside, cuts - 2)]:
        path = tmp_path / "cut.pgn.zst"
        path.write_bytes(packed[:place])
        kept, tally = kept_before_the_cut(path)
        passed += (
            noticed(GameSource(path).verify, "is cut short")
            and noticed(lambda path=path: list(read_games(GameSource(path))), "is cut short")
            and tally == Counter({"kept": kept, "cut short": 1})
            and kept >= (59 if place > frame else 0)  # the last game before the cut may itself be cut
        )
    record_property("fault", {"fault": ".zst truncated", "trials": cuts, "passed": passed})
    assert passed == cuts


def kept_before_the_cut(path: Path) -> tuple[int, Counter[str]]:
    stream = read_games(GameSource(path, allow_truncated=True))
    kept = 0
    with suppress(InputError):  # nothing usable stood before the cut
        for _ in stream:
            kept += 1
    return kept, stream.tally


def test_all_frames_are_read(tmp_path: Path, games: list[bytes], record_property: Record) -> None:
    """In three forms: equal frames, a frame for each game, frames cut inside a game with others to skip between."""
    text = b"".join(games)
    middle = len(text) // 3
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    forms = [
        zstandard.compress(text) * 2,
        b"".join(zstandard.compress(game) for game in games) * 2,
        skippable
        + zstandard.compress(text[:middle])
        + skippable
        + zstandard.compress(text[middle:] + text)
        + skippable,
    ]
    passed = 0
    for form in forms:
        source = GameSource(tmp_path / "frames.pgn.zst")
        source.path.write_bytes(form)
        source.verify()
        passed += len(list(read_games(source))) == 120
    record_property("fault", {"fault": ".zst of several frames", "trials": 3, "passed": passed})
    assert passed == 3


@pytest.mark.parametrize("flips", [20, pytest.param(200, marks=pytest.mark.faults)])
def test_flipped_bits_never_end_in_a_traceback(tmp_path: Path, games: list[bytes], flips: int) -> None:
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(b"".join(games))
    rng = random.Random(2)
    passed = 0
    for _ in range(flips):
        broken = bytearray(packed)
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        source = GameSource(tmp_path / "flipped.pgn.zst")
        source.path.write_bytes(broken)
        passed += noticed(source.verify, "flipped.pgn.zst is")
    assert passed >= flips - 1  # a flip in a frame header's spare bits changes nothing


@pytest.mark.parametrize(
    ("gigabytes", "filling"),
    [
        (1, b"\0"),
        pytest.param(1, b"\n", marks=pytest.mark.faults),
        pytest.param(1, b"1. e4 {", marks=pytest.mark.faults),
        pytest.param(100, b"\0", marks=[pytest.mark.faults, pytest.mark.slow]),
    ],
)
def test_a_bomb_stays_small_in_memory(
    tmp_path: Path, games: list[bytes], gigabytes: int, filling: bytes, record_property: Record
) -> None:
    repeated = filling * ((1 << 26) // len(filling))
    frame = zstandard.compress(repeated, 3)
    bomb, small = tmp_path / "bomb.pgn.zst", tmp_path / "small.pgn.zst"
    start = zstandard.compress(headers().encode() + b"\n1. e4 ")
    bomb.write_bytes(start + frame * (16 * gigabytes) + zstandard.compress(b"\n\n" + games[0]))
    small.write_bytes(zstandard.compress(b"".join(games)))
    command = [sys.executable, "-c", BOMB_READER, str(bomb), str(small)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    more_mb, kept, passed_by = done.stdout.split()[:3]
    assert (kept, passed_by) == ("1", "2"), done.stdout
    passed = float(more_mb) < 300
    record_property("fault", {"fault": f".zst bomb, {gigabytes} GiB", "trials": 1, "passed": int(passed)})
    assert passed, f"{more_mb} MB"


def bad_game(rng: random.Random, san: list[str]) -> tuple[str, bytes]:
    """A game with a fault drawn at random, and the reason that must be counted."""
    place = rng.randrange(1, len(san))
    broken = list(san)
    kind = rng.randrange(10)
    if kind == 0:
        broken[place] = rng.choice(["Ka9", "e9", "zz", "--", "O-O-O-O", "Qz1", "e4e5e6", "\u265e", "P@e4"])
        return "illegal move", pgn(movetext(broken, "clocks"))
    if kind == 1:
        return "illegal move", pgn(movetext([*san[:2], "Kxa8", *san[2:]]))
    if kind == 2:
        return "no result", pgn(movetext(san, result=""))
    if kind == 3:
        return "unreadable", pgn(movetext([*san, "{ never closed"], "plain"))
    if kind == 4:
        return "unreadable", pgn(movetext([*san[:place], "( e4 " * rng.randrange(1, 2000), *san[place:]]))
    if kind == 5:
        return "too many moves", pgn(movetext(["Nf3", "Nf6", "Ng1", "Ng8"] * 200))
    if kind == 6:
        return "illegal move", pgn("").rstrip() + b"\n\n1. e4 e5 " + rng.randbytes(300).translate(
            None, b"{}()[];%\n\r"
        ) + b" *\n"
    if kind == 7:
        return "unreadable", pgn(movetext([*san[:place], "1-0", *san[place:]]))
    if kind == 8:
        return "set-up position", pgn(movetext(san), headers(more='[FEN "not a position"]\n'))
    return "no usable Elo", pgn(
        movetext(san), headers(black_elo=rng.choice(["?", "", "1" + "0" * 20, "12,5", "-", "99"]))
    )


@pytest.mark.parametrize("planted", [100, pytest.param(1000, marks=pytest.mark.faults)])
def test_planted_bad_games_are_counted_exactly(tmp_path: Path, planted: int, record_property: Record) -> None:
    rng = random.Random(3)
    lines = [random_line(seed, 30).san for seed in range(50)]
    expected: Counter[str] = Counter({"kept": planted, "too large": 3})
    texts = [pgn(movetext(rng.choice(lines), rng.choice(["plain", "clocks", "annotated"]))) for _ in range(planted)]
    texts += [pgn("1. e4 {" + "x" * (1 << 20) + "} *")] * 3
    for _ in range(planted - 3):
        reason, text = bad_game(rng, rng.choice(lines))
        expected[reason] += 1
        texts.append(text)
    rng.shuffle(texts)
    source = GameSource(tmp_path / "games.pgn", max_bad=1.0)
    source.path.write_bytes(b"".join(texts))
    with read_games(source, workers=1) as stream:
        kept = sum(1 for _ in stream)
    assert kept == planted
    counted = sum(min(stream.tally[reason], count) for reason, count in expected.items()) - planted
    record_property("fault", {"fault": "PGN: bad games", "trials": planted, "passed": counted})
    assert stream.tally == expected


@pytest.mark.parametrize("files", [100, pytest.param(1000, marks=pytest.mark.faults)])
def test_mangled_files_never_end_in_a_traceback(tmp_path: Path, files: int, record_property: Record) -> None:
    rng = random.Random(4)
    text = b"".join(pgn(movetext(random_line(seed, 20).san, style)) for seed, style in enumerate(STYLES))
    path = tmp_path / "mangled.pgn"
    passed = 0
    for _ in range(files):
        mangled = bytearray(text)
        for _ in range(rng.randrange(1, 20)):
            place = rng.randrange(len(mangled))
            mangled[place : place + rng.choice([0, 1, 1, 50])] = rng.choice([b"", rng.randbytes(3), rng.choice(SIGNS)])
        path.write_bytes(mangled)
        with suppress(InputError):
            for game in read_games(GameSource(path, max_bad=1.0)):
                board = chess.Board()
                for move in game.text.split(" "):
                    board.push(board.parse_uci(move))
        passed += 1
    record_property("fault", {"fault": "PGN: mangled bytes", "trials": files, "passed": passed})

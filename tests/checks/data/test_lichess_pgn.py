"""Are games cut apart where they end, and is the main line read through everything that PGN allows around it?"""

import contextlib
import time

import pytest

from soft_prompts.data.games.judge import played_text
from soft_prompts.data.games.pgn import MAX_GAME_BYTES, UnreadableMoves, frame_games, hash_of, main_line, read_headers
from tests.benchmarks.random_games import headers, movetext, pgn, random_line


def cut_everywhere(text: bytes, size: int) -> list[bytes]:
    return list(frame_games(text[at : at + size] for at in range(0, len(text), size)))


def events(games: list[bytes]) -> list[bytes]:
    return [read_headers(game)[0].get(b"Event", b"none") for game in games]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_games_do_not_depend_on_where_blocks_end(size: int) -> None:
    styles = ("plain", "clocks", "annotated", "crlf")
    lines = [random_line(seed, 20) for seed in range(8)]
    text = b"\xef\xbb\xbf" + b"".join(
        pgn(movetext(line.san, styles[number % 4]), headers(f"number {number}"), styles[number % 4])
        for number, line in enumerate(lines)
    )
    games = cut_everywhere(text, size)
    assert events(games) == [b"number %d" % number for number in range(8)]
    moves = [main_line(read_headers(game)[1]) for game in games]
    assert moves == [[san.rstrip("+#").encode() for san in line.san] for line in lines]


def test_a_game_without_moves_does_not_swallow_the_next() -> None:
    text = b'[Event "a"]\n\n[Event "b"]\n[White "x"]\n\n1. e4 *\n[Event "c"]\n1. d4 *\n[White "no event"]\n\n1. c4 *\n'
    games = cut_everywhere(text, 1 << 20)
    assert events(games) == [b"a", b"b", b"c", b"none"]
    assert [main_line(read_headers(game)[1]) for game in games] == [[], [b"e4"], [b"d4"], [b"c4"]]


def test_a_comment_may_hold_what_looks_like_a_game() -> None:
    inside = b'1. e4 {this\n\n[Event "no"]\n[White "game"]\n\n1. a3 *\n\n[Event "neither"]\n} e5 *\n\n'
    games = cut_everywhere(b'[Event "a"]\n\n' + inside + b'[Event "b"]\n\n1. e4 e5 *\n', 1 << 20)
    assert events(games) == [b"a", b"b"]
    assert main_line(read_headers(games[0])[1]) == [b"e4", b"e5"]


def test_an_unclosed_comment_does_not_swallow_the_games_behind_it() -> None:
    unclosed = b'[Event "a"]\n\n1. e4 {for ever *\n\n'
    plain = b'[Event "b"]\n\n1. e4 *\n\n'
    commented = b'[Event "c"]\n\n1. e4 {well} *\n\n'
    assert events(cut_everywhere(unclosed + plain + plain, 50)) == [b"a", b"b", b"b"]
    assert events(cut_everywhere(unclosed + plain + commented + unclosed, 50)) == [b"a", b"b", b"c", b"a"]
    with pytest.raises(UnreadableMoves, match="unreadable"):
        main_line(read_headers(unclosed)[1])


@pytest.mark.parametrize("size", [1 << 12, 1 << 18, 1 << 23])
def test_a_game_too_large_is_cut_and_the_next_one_stands(size: int) -> None:
    large = b'[Event "large"]\n\n1. e4 { ' + b"x" * (3 * MAX_GAME_BYTES) + b"} *\n\n"
    games = cut_everywhere(b'[Event "a"]\n\n1. e4 *\n\n' + large + b'[Event "b"]\n\n1. e4 *\n', size)
    assert events(games) == [b"a", b"large", b"b"]
    assert [len(game) > MAX_GAME_BYTES for game in games] == [False, True, False]
    assert len(games[1]) == MAX_GAME_BYTES + 1


@pytest.mark.parametrize(
    "piece",
    [b"{", b"}{", b"(", b"[", b"\n[Event ", b"{\n[Event }", b'[A ""]\n1\n', b"\n", b"\n%", b"1.", b"1", b"-", b"="],
)
def test_time_grows_with_the_length_alone(piece: bytes) -> None:
    text = piece * (MAX_GAME_BYTES // 4 // len(piece))
    start = time.process_time()
    for game in cut_everywhere(text, 1 << 20):
        for moves in (game, read_headers(game)[1]):
            with contextlib.suppress(UnreadableMoves):
                main_line(moves)
    assert time.process_time() - start < 5


def test_headers_are_unescaped_and_tolerant() -> None:
    tags, moves = read_headers(b'[ Event  "a \\"b\\" \\\\ c" ]\n[White "x]"]\n[Broken]\n% note\n[Black ""]\n\n1. e4 *')
    assert tags == {b"Event": b'a "b" \\ c', b"White": b"x]", b"Black": b""}
    assert moves == b"1. e4 *"


def test_equal_moves_have_equal_hashes() -> None:
    plain = main_line(b"1. e4 e5 2. Nf3 Nc6 3. Bc4 Bc5 4. O-O Qh4 *")
    noisy = main_line(b"1.e4! e5?? {x} 2.Nf3+ $1 (2. f4 (2. d4) d5) Nc6 3. Bc4 ; y\n3... Bc5 4. 0-0 Qh4# 1/2-1/2")
    assert plain == noisy
    assert hash_of(plain) == hash_of(noisy) != hash_of(plain[:-1])
    assert 0 <= hash_of(plain) < 1 << 63


@pytest.mark.parametrize(
    "moves",
    [
        b"1 e4 e5 2 exf6 Bb4 *",  # zero or more periods, section 8.2.2.2
        b"1.e4 e5 2. ... 2.exf6 e.p. 2... Bb4+ *",
        b"1. e4 +- e5 = 2. exf6e.p.+/- Bb4+-+ -/+ 1/2-1/2",
        b"1e4 e5 2exf6 Bb4 += 0-1",
    ],
)
def test_numbers_and_judgements_are_no_moves(moves: bytes) -> None:
    assert main_line(moves) == [b"e4", b"e5", b"exf6", b"Bb4"]


def test_a_game_is_one_in_every_notation() -> None:
    """Else what is tested in one is trained on in the other."""
    san = b"e4 d5 exd5 c6 dxc6 Nf6 cxb7 Be7 bxa8=Q O-O Nf3 Nbd7 Bc4 Ne5 O-O".split()
    long = b"e2e4 d7d5 e4xd5 c7c6 d5xc6 Ng8f6 c6-b7 Bf8e7 b7a8q 0-0 Ngf3 Nb8d7 Bf1-c4 Nde5 O-O".split()
    uci = b"e2e4 d7d5 e4d5 c7c6 d5c6 g8f6 c6b7 f8e7 b7a8q e8g8 g1f3 b8d7 f1c4 d7e5 e1g1".split()
    read = [main_line(b" ".join([*moves, b"*"])) for moves in (san, long, uci)]
    assert len({hash_of(moves) for moves in read}) == 1
    assert len({played_text(moves) for moves in read}) == 1  # python-chess plays them all
    for at, other in ((8, b"bxa8=R"), (9, b"O-O-O"), (0, b"e3")):
        assert hash_of([*san[:at], other, *san[at + 1 :]]) != hash_of(san)


def test_a_move_passed_over_is_kept_to_be_refused() -> None:
    assert main_line(b"1. e4 -- 2. d4 0000 3.-- 3-- *") == [b"e4", b"--", b"d4", b"0000", b"--", b"--"]


@pytest.mark.parametrize(
    ("moves", "reason"),
    [
        (b"1. e4 e5", "no result"),
        (b"1. e4 {open", "unreadable"),
        (b"1. e4 (1. d4 *", "unreadable"),
        (b"1. e4 ) *", "unreadable"),
        (b"1. e4 1-0 e5 *", "unreadable"),
    ],
)
def test_what_is_no_main_line_is_named(moves: bytes, reason: str) -> None:
    with pytest.raises(UnreadableMoves, match=reason):
        main_line(moves)


@pytest.mark.parametrize("moves", [b"", b" \n", b"*", b"1-0", b"{only a comment} 0-1", b"; *\n1/2-1/2"])
def test_no_moves(moves: bytes) -> None:
    assert main_line(moves) == []

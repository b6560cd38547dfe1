"""Is a game one of those that are wanted, and what moves does it hold?

Headers are read first: the moves of a game that is not wanted are never parsed, and those of one that is are played
last. A game with any fault is dropped whole and counted by its reason.
"""

import re
from fnmatch import translate
from functools import lru_cache
from typing import NamedTuple

from soft_prompts.data.games.files import CUT_SHORT
from soft_prompts.data.games.pgn import MAX_GAME_BYTES, UnreadableMoves, hash_of, main_line, read_headers
from soft_prompts.data.split import Split, split_of

MAX_PLIES = 600  # lichess ends a game after 300 moves
ELO_RANGE = range(400, 4001)
BAD = frozenset(("too large", "unreadable", "no result", "too many moves", "illegal move"))  # reasons that are faults


_ELO = re.compile(rb"[0-9]{3,4}")


class Game(NamedTuple):
    """One usable game."""

    text: str  # moves in UCI notation between single spaces, castling as e1g1
    white_elo: int
    black_elo: int
    game_hash: int  # 63 bits; equal for equal main lines
    # the game's number in its source, every game counted; in their order, Start(index + 1) goes on behind it
    index: int  # pyright: ignore[reportIncompatibleMethodOverride]
    start: tuple[int, int] = (0, 0)  # behind it in a shuffled stream: see Start


class Passed(NamedTuple):
    """A game that is not one of the wanted."""

    number: int
    """In its source."""
    reason: str


class Wanted(NamedTuple):
    """Which of the games are asked for."""

    event: str
    splits: frozenset[Split] | None
    exclude: frozenset[int]
    min_elo: int


class Numbered(NamedTuple):
    """A game's text, and where it stands."""

    number: int
    text: bytes
    behind: tuple[int, int] = (0, 0)
    """Start of what follows it in a shuffled stream."""


def judge(game: Numbered, wanted: Wanted) -> Game | Passed:
    """The game, or the reason why it is not one of the wanted: cheap questions first."""
    found = look_into(game.text, wanted)
    if isinstance(found, str):
        return Passed(game.number, found)
    played = played_text(found.moves)
    if not played:
        return Passed(game.number, "illegal move")
    return Game(played, found.white_elo, found.black_elo, found.game_hash, game.number, game.behind)


class Looked(NamedTuple):
    """A game that is wanted if its moves are legal."""

    moves: list[bytes]
    white_elo: int
    black_elo: int
    game_hash: int


def look_into(text: bytes, wanted: Wanted) -> Looked | str:
    """What a game holds, its moves not yet played, or the reason why it is not one of the wanted."""
    if text == CUT_SHORT:
        return "cut short"
    if len(text) > MAX_GAME_BYTES:
        return "too large"
    headers, movetext = read_headers(text)
    if not headers:
        return "unreadable"
    if reason := _unwanted_by_headers(headers, wanted.event):
        return reason
    white, black = _elo(headers.get(b"WhiteElo")), _elo(headers.get(b"BlackElo"))
    if not white or not black:
        return "no usable Elo"
    if min(white, black) < wanted.min_elo:
        return "too low an Elo"
    try:
        moves = main_line(movetext)
    except UnreadableMoves as error:
        return str(error)
    if len(moves) < 2:
        return "fewer than two moves"  # the first is never asked for
    game_hash = hash_of(moves)
    if wanted.splits is not None and split_of(game_hash) not in wanted.splits:
        return "other split"
    if game_hash in wanted.exclude:
        return "excluded"
    return "too many moves" if len(moves) > MAX_PLIES else Looked(moves, white, black, game_hash)


def _unwanted_by_headers(headers: dict[bytes, bytes], event: str) -> str:
    if not _events(event).fullmatch(headers.get(b"Event", b"").decode("utf-8", "replace")):
        return "other event"
    if headers.get(b"Variant", b"Standard").lower() != b"standard":
        return "other variant"
    if b"FEN" in headers or headers.get(b"SetUp", b"0") != b"0":
        return "set-up position"
    return ""


@lru_cache(maxsize=8)
def _events(named: str) -> re.Pattern[str]:
    """One of several events between |, in any case; * stands for any text. Square brackets are letters here."""
    each = (translate(event.strip().replace("[", "[[]")) for event in named.split("|"))
    return re.compile("|".join(each), re.IGNORECASE)


def _elo(value: bytes | None) -> int:
    """The rating, or 0 if it is none."""
    elo = int(value) if value and _ELO.fullmatch(value) else 0
    return elo if elo in ELO_RANGE else 0


def played_text(moves: list[bytes]) -> str:
    """The moves in UCI notation, or nothing if one of them is not legal."""
    import chess  # most commands read no game

    board = chess.Board()
    played: list[str] = []
    try:
        for san in moves:
            played.append(board.push_san(san.decode("ascii")).uci())
    except ValueError:  # python-chess's illegal, ambiguous and invalid moves, and bytes beyond ASCII
        return ""
    return "" if "0000" in played else " ".join(played)  # 0000: a move passed over

"""Which games of a lichess file are usable, and what moves do they hold?

Files are those of https://database.lichess.org and anything else in PGN. Headers are read first: the moves of a game
that is not wanted are never parsed. A game with any fault is dropped whole and counted by its reason.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from soft_prompts.common.errors import InputError
from soft_prompts.data.ahead import ReadAhead, serve
from soft_prompts.data.games.files import CUT_SHORT, GameSource
from soft_prompts.data.games.pgn import MAX_GAME_BYTES, UnreadableMoves, hash_of, main_line, read_headers
from soft_prompts.data.split import Split, split_of

__all__ = ["BAD", "Game", "GameSource", "GameStream", "read_games"]

MAX_PLIES = 600  # lichess ends a game after 300 moves
ELO_RANGE = range(400, 4001)
GAMES_A_BATCH = 256  # games passed, wanted or not, between two messages of a reading process
LOOKED_AT_LEAST = 200  # games looked into before a share of bad ones means anything
BAD = frozenset(("too large", "unreadable", "no result", "too many moves", "illegal move"))  # reasons that are faults

_ELO = re.compile(rb"[0-9]{3,4}")


class Game(NamedTuple):
    """One usable game."""

    text: str  # moves in UCI notation between single spaces, castling as e1g1
    white_elo: int
    black_elo: int
    game_hash: int  # 63 bits; equal for equal main lines
    # the game's number in its source, every game counted; start = index + 1 goes on behind it
    index: int  # pyright: ignore[reportIncompatibleMethodOverride]


class Wanted(NamedTuple):
    """Which of the games are asked for."""

    event: bytes
    splits: frozenset[Split] | None
    exclude: frozenset[int]
    min_elo: int


class GameStream:
    """An iterator of Game that counts what it passes; close it, or use it in a `with` statement.

    `tally` counts every game passed so far: "kept", the reasons in BAD, and those why a sound game is not wanted.
    Raises InputError where the source cannot be read, where more games are bad than it allows, or none was usable.
    """

    def __init__(
        self, source: GameSource, start: int, outcomes: Iterator[Game | str], close: Callable[[], None]
    ) -> None:
        self.tally: Counter[str] = Counter()
        self._source = source
        self._start = start
        self._passed = start
        self._outcomes = outcomes
        self._close = close
        self._first_bad = ""

    def __iter__(self) -> "GameStream":
        return self

    def __enter__(self) -> "GameStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __next__(self) -> Game:
        for outcome in self._outcomes:
            self._passed += 1
            if isinstance(outcome, Game):
                self.tally["kept"] += 1
                return outcome
            self.tally[outcome] += 1
            if outcome in BAD:
                self._weigh(outcome)
        self._judge_whole()
        raise StopIteration

    def close(self) -> None:
        """End the reading processes; nothing more comes out."""
        self._close()
        self._outcomes = iter(())
        self._start = self._passed  # the end that the stream now has says nothing about the source

    def _weigh(self, reason: str) -> None:
        self._first_bad = self._first_bad or f"game {self._passed - 1} ({reason})"
        bad, looked = self._bad_and_looked()
        allowed = self._source.max_bad * looked
        if looked >= LOOKED_AT_LEAST and bad > allowed + 3 * allowed**0.5:  # beyond chance, wherever reading started
            self._refuse(bad, looked)

    def _judge_whole(self) -> None:
        if self._start:  # a part of a source says nothing about the whole
            return
        bad, looked = self._bad_and_looked()
        if bad > self._source.max_bad * looked:
            self._refuse(bad, looked)
        if not self.tally["kept"] and not self.tally["other split"] and not self.tally["excluded"]:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.tally.most_common()) or "it is empty"
            strength = f" of {self._source.min_elo} or more" if self._source.min_elo else ""
            usable = f'an Event of exactly "{self._source.event}", two Elos{strength} and moves'
            raise InputError(f"{self._source.path} holds no usable game: {reasons}; a usable one has {usable}")

    def _bad_and_looked(self) -> tuple[int, int]:
        bad = sum(self.tally[reason] for reason in BAD)
        return bad, bad + self.tally["kept"]

    def _refuse(self, bad: int, looked: int) -> None:
        self.close()
        allowed = f"{self._source.max_bad:.2%} are allowed"
        advice = "mend the file, or raise --max-bad"
        raise InputError(
            f"{self._source.path}: {bad} of {looked} games are bad, first {self._first_bad}; {allowed}: {advice}"
        )


def read_games(
    source: GameSource,
    *,
    start: int = 0,
    splits: frozenset[Split] | None = None,
    exclude: frozenset[int] = frozenset(),
    workers: int = 0,
) -> GameStream:
    """The usable games of a source from number `start` on, in order, the same for every number of workers.

    `splits` None means all of them; `exclude` are hashes never to come out. With workers >= 1 other processes read
    ahead; with none, nothing is read before it is asked for.
    """
    source.files()  # what is missing is said at once
    if not workers:
        wanted = Wanted(source.event.encode(), splits, exclude, source.min_elo)
        outcomes = (judge(text, index, wanted) for index, text in _numbered(source, start))
        return GameStream(source, start, outcomes, outcomes.close)
    job = {
        "path": str(source.path.absolute()),
        "event": source.event,
        "allow_truncated": source.allow_truncated,
        "start": start,
        "splits": None if splits is None else sorted(splits),
        "exclude": sorted(exclude),
        "min_elo": source.min_elo,
    }
    ahead = ReadAhead("soft_prompts.data.games.lichess", job, workers)
    rows = chain.from_iterable(ahead)
    outcomes = (row if isinstance(row, str) else Game(*row) for row in rows)
    return GameStream(source, start, outcomes, ahead.close)


def judge(text: bytes, index: int, wanted: Wanted) -> Game | str:
    """The game, or the reason why it is not one of the wanted: cheap questions first."""
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
    if not moves:
        return "no moves"
    game_hash = hash_of(moves)
    if wanted.splits is not None and split_of(game_hash) not in wanted.splits:
        return "other split"
    if game_hash in wanted.exclude:
        return "excluded"
    if len(moves) > MAX_PLIES:
        return "too many moves"
    played = _to_uci(moves)
    return Game(played, white, black, game_hash, index) if played else "illegal move"


def _unwanted_by_headers(headers: dict[bytes, bytes], event: bytes) -> str:
    if headers.get(b"Event") != event:
        return "other event"
    if headers.get(b"Variant", b"Standard").lower() != b"standard":
        return "other variant"
    if b"FEN" in headers or headers.get(b"SetUp", b"0") != b"0":
        return "set-up position"
    return ""


def _elo(value: bytes | None) -> int:
    """The rating, or 0 if it is none."""
    elo = int(value) if value and _ELO.fullmatch(value) else 0
    return elo if elo in ELO_RANGE else 0


def _to_uci(moves: list[bytes]) -> str:
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


def _numbered(source: GameSource, start: int) -> Iterator[tuple[int, bytes]]:
    return islice(enumerate(source.games()), start, None)


def _share(job: dict[str, Any], worker: int, workers: int) -> Iterator[list[Game | str]]:
    """Every `workers`-th batch, from number `worker` on; what stands before a fault comes out first."""
    source = GameSource(Path(job["path"]), job["event"], allow_truncated=job["allow_truncated"])
    splits = None if job["splits"] is None else frozenset(job["splits"])
    wanted = Wanted(source.event.encode(), splits, frozenset(job["exclude"]), job["min_elo"])
    batches = _batches(_numbered(source, job["start"]))
    for batch in islice(batches, worker, None, workers):
        yield [judge(text, index, wanted) for index, text in batch]


def _batches(games: Iterable[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    batch: list[tuple[int, bytes]] = []
    try:
        for game in games:
            batch.append(game)
            if len(batch) == GAMES_A_BATCH:
                yield batch
                batch = []
    except InputError:
        yield batch
        raise
    yield batch


if __name__ == "__main__":
    serve(_share)

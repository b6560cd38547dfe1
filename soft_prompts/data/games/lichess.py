"""Which usable games does a lichess file hold, one behind the other, from any place on?

Files are those of https://database.lichess.org and anything else in PGN. Games come in the order of the source, or
shuffled in buffers; a place is then a buffer's first game and a number of games within it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from soft_prompts.common.errors import InputError
from soft_prompts.data.ahead import ReadAhead, serve
from soft_prompts.data.games.files import BUFFER_BYTES, GameSource, shuffled
from soft_prompts.data.games.judge import BAD, Game, Numbered, Passed, Wanted, judge
from soft_prompts.data.split import Split

GAMES_A_BATCH = 256  # games passed, wanted or not, between two messages of a reading process
LOOKED_AT_LEAST = 200  # games looked into before a share of bad ones means anything


class Start(NamedTuple):
    """Where a stream begins."""

    game: int = 0
    """A game's number in the source; of a shuffled stream, that of the first game of a buffer."""
    offset: int = 0
    """Games of the shuffled buffer that are passed over."""


class Shuffle(NamedTuple):
    """In which order games come out of their buffers."""

    seed: tuple[int, int]
    """Of the run, and of the epoch."""
    most_bytes: int = BUFFER_BYTES
    """Of a buffer."""


class GameStream:
    """An iterator of Game that counts what it passes; close it, or use it in a `with` statement.

    `tally` counts every game passed so far: "kept", the reasons in BAD, and those why a sound game is not wanted.
    Raises InputError where the source cannot be read, where more games are bad than it allows, or none was usable.
    """

    def __init__(
        self, source: GameSource, is_whole: bool, outcomes: Iterator[Game | Passed], close: Callable[[], None]
    ) -> None:
        self.tally: Counter[str] = Counter()
        self._source = source
        self._is_whole = is_whole
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
            if isinstance(outcome, Game):
                self.tally["kept"] += 1
                return outcome
            self.tally[outcome.reason] += 1
            if outcome.reason in BAD:
                self._weigh(outcome)
        self._judge_whole()
        raise StopIteration

    def close(self) -> None:
        """End the reading processes; nothing more comes out."""
        self._close()
        self._outcomes = iter(())
        self._is_whole = False  # the end that the stream now has says nothing about the source

    def _weigh(self, passed: Passed) -> None:
        self._first_bad = self._first_bad or f"game {passed.number} ({passed.reason})"
        bad, looked = self._bad_and_looked()
        allowed = self._source.max_bad * looked
        if looked >= LOOKED_AT_LEAST and bad > allowed + 3 * allowed**0.5:  # beyond chance, wherever reading started
            self._refuse(bad, looked)

    def _judge_whole(self) -> None:
        if not self._is_whole:  # a part of a source says nothing about the whole
            return
        bad, looked = self._bad_and_looked()
        if bad > self._source.max_bad * looked:
            self._refuse(bad, looked)
        refuse_unusable(self._source, self.tally)

    def _bad_and_looked(self) -> tuple[int, int]:
        bad = sum(self.tally[reason] for reason in BAD)
        return bad, bad + self.tally["kept"]

    def _refuse(self, bad: int, looked: int) -> None:
        self.close()
        raise too_many_bad(self._source, bad, looked, self._first_bad)


def too_many_bad(source: GameSource, bad: int, looked: int, first: str) -> InputError:
    """The error for a source with more bad games than it allows."""
    allowed = f"{source.max_bad:.2%} are allowed: mend the file, or raise --max-bad"
    return InputError(f"{source.path}: {bad} of {looked} games are bad, first {first}; {allowed}")


def refuse_unusable(source: GameSource, tally: Counter[str]) -> None:
    """Raises InputError where a whole source had no game that anybody could want."""
    if not tally["kept"] and not tally["other split"] and not tally["excluded"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in tally.most_common()) or "it is empty"
        strength = f" of {source.min_elo} or more" if source.min_elo else ""
        usable = f'an Event of "{source.event}" in any case, two Elos{strength} and two moves'
        raise InputError(f"{source.path} holds no usable game: {reasons}; a usable one has {usable}")


def read_games(
    source: GameSource,
    *,
    start: Start = Start(),  # noqa: B008 an immutable value
    splits: frozenset[Split] | None = None,
    exclude: frozenset[int] = frozenset(),
    shuffle: Shuffle | None = None,
    workers: int = 0,
) -> GameStream:
    """The usable games of a source from a place on, the same for every number of workers.

    `splits` None means all of them; `exclude` are hashes never to come out. With workers >= 1 other processes read
    ahead; with none, nothing is judged before it is asked for.
    """
    source.files()  # what is missing is said at once
    is_whole = start == Start()
    if not workers:
        wanted = Wanted(source.event, splits, exclude, source.min_elo)
        outcomes = (judge(game, wanted) for game in _numbered(source, start, shuffle))
        return GameStream(source, is_whole, outcomes, outcomes.close)
    job = {
        "path": str(source.path.absolute()),
        "event": source.event,
        "allow_truncated": source.allow_truncated,
        "start": start,
        "shuffle": shuffle,
        "splits": None if splits is None else sorted(splits),
        "exclude": sorted(exclude),
        "min_elo": source.min_elo,
    }
    ahead = ReadAhead("soft_prompts.data.games.lichess", job, workers)
    rows = chain.from_iterable(ahead)
    outcomes = (Passed(*row) if len(row) == len(Passed._fields) else Game(*row[:-1], tuple(row[-1])) for row in rows)  # pyright: ignore
    return GameStream(source, is_whole, outcomes, ahead.close)


def _numbered(source: GameSource, start: Start, shuffle: Shuffle | None) -> Iterator[Numbered]:
    if shuffle is None:
        yield from (Numbered(*game) for game in islice(enumerate(source.games()), start.game, None))
        return
    offset = start.offset
    for buffer in source.buffers(start.game, shuffle.most_bytes):
        order = shuffled(buffer, shuffle.seed)
        for place in range(offset, len(order)):
            yield Numbered(buffer.first + order[place], buffer.texts[order[place]], (buffer.first, place + 1))
        offset = 0


def _share(job: dict[str, Any], worker: int, workers: int) -> Iterator[list[Game | Passed]]:
    """Every `workers`-th batch, from number `worker` on; what stands before a fault comes out first."""
    source = GameSource(Path(job["path"]), job["event"], allow_truncated=job["allow_truncated"])
    splits = None if job["splits"] is None else frozenset(job["splits"])
    wanted = Wanted(source.event, splits, frozenset(job["exclude"]), job["min_elo"])
    shuffle = job["shuffle"] and Shuffle(*job["shuffle"])
    batches = _batches(_numbered(source, Start(*job["start"]), shuffle))
    for batch in islice(batches, worker, None, workers):
        yield [judge(game, wanted) for game in batch]


def _batches(games: Iterable[Numbered]) -> Iterator[list[Numbered]]:
    batch: list[Numbered] = []
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

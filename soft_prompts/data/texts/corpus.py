"""Which documents does a run train on and which are held out, wherever they come from?

A source is an embedded name (`library`, `games`, `mazes`), a local file or folder, or a hub data set. One source is
split by the hash of each document. Two sources are kept apart as they are: a file that both hold is held out whole, and
a document that is held out is never trained on.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from soft_prompts.common.errors import InputError, near_match
from soft_prompts.data.games.files import GameSource
from soft_prompts.data.games.lichess import Start, read_games
from soft_prompts.data.kept import content_of
from soft_prompts.data.mazes.boards import draw_mazes, sample_text
from soft_prompts.data.ranked import RULE, WHOLE, Bounds
from soft_prompts.data.split import Split, split_of
from soft_prompts.data.texts.documents import Document, Position, Reader, Record, document_of
from soft_prompts.data.texts.files import PieceReader, local_reader
from soft_prompts.data.texts.hub import HUB_ID, HubReader
from soft_prompts.zoo import GAMES, LIBRARY

BY_WORDING = f"{RULE}-and-wording"  # nor are any two documents of one wording; embedded data hold none
BOARD = (6, 6)  # rows and columns of the embedded mazes
MAZE_SEED = 0
MAZES_AT_ONCE = 256
MAZES = 100_352  # of one pass; more than any run uses


@dataclass(frozen=True)
class Corpus:
    """Where documents come from; without a test source the training source is split by hash."""

    train: Reader
    test: Reader | None

    def fingerprint(self) -> str:
        """Content identity of both sources, and of the rule by which they are split."""
        rule = RULE if all(reader.name in EMBEDDED_DATA for reader in self._readers) else BY_WORDING
        return "-".join([*(reader.fingerprint() for reader in self._readers), rule])

    @property
    def _readers(self) -> list[Reader]:
        return [reader for reader in (self.train, self.test) if reader is not None]

    @property
    def held_out_reader(self) -> Reader:
        """The source of validation and test documents."""
        return self.test or self.train

    def split_of(self, document: Document, in_training: bool) -> Split:
        """Which part a document of the training source, or of the held-out source, belongs to."""
        if self.test is None:
            return split_of(document.identity)
        if in_training:
            return "train"
        return "validation" if document.identity % 5 == 0 else "test"


def open_corpus(data: str, test_data: str | None) -> Corpus:
    """The sources that --data and --test-data name; raises InputError for one that is not there, or both the same."""
    if test_data is None or (test_data == data and not Path(data).exists()):
        return Corpus(*_opened(data))
    test, known = _opened(test_data)
    held_out = known or test
    train, _ = _opened(data, held_out.sources)
    _refuse_copies(train, held_out)
    return Corpus(train, held_out)


def _opened(source: str, held_out: Iterable[Path] = ()) -> tuple[Reader, Reader | None]:
    """What reads a source, and the part of it that is held out where it is known beforehand."""
    embedded = EMBEDDED_DATA.get(source)
    return embedded() if embedded else (_named(source, held_out), None)


def _refuse_copies(train: Reader, test: Reader) -> None:
    """A text that is a document on one side and is cut into pieces on the other is known by its file alone."""
    if 1 not in (len(train.sources), len(test.sources)):
        return
    sizes = {file.stat().st_size for file in train.sources} & {file.stat().st_size for file in test.sources}
    held_out = {content_of([file]): file for file in test.sources if file.stat().st_size in sizes}
    for file in train.sources:
        if file.stat().st_size in sizes and (copy := held_out.get(content_of([file]))):
            raise InputError(f"{file} and {copy} of --test-data hold the same; remove one, or leave --test-data out")


def _named(source: str, held_out: Iterable[Path]) -> Reader:
    """A file or folder of that name if there is one, else a hub data set."""
    if Path(source).exists():
        return local_reader(Path(source), held_out)
    if HUB_ID.fullmatch(source) and not source.startswith("."):
        return HubReader(source)
    known = list(EMBEDDED_DATA)
    raise InputError(
        f"{source} is no file or folder; {near_match(source, known)}give an embedded name ({', '.join(known)}), a "
        "path, or a hub data set (owner/name or owner/name:config)"
    )


@dataclass(frozen=True)
class GameReader:
    """Games as documents: moves in UCI notation between single spaces."""

    name: str
    path: Path

    scanned = WHOLE
    buffer = Bounds(1024, 1 << 26)  # moves are played out one by one, and the embedded games are in no order

    @property
    def sources(self) -> tuple[Path, ...]:
        return (self.path,)

    def fingerprint(self) -> str:
        return GameSource(self.path).fingerprint()

    def records(self, position: Position | None) -> Iterator[Record]:
        with read_games(GameSource(self.path), start=Start((position or {"game": 0})["game"])) as games:
            for game in games:
                yield Record(Document(game.text, game.game_hash), {"game": game.index + 1})


@dataclass(frozen=True)
class MazeReader:
    """Boards and walks as documents; those that train have other boards than those that are held out."""

    name: str
    split: Split

    scanned = Bounds(8192, 1 << 26)  # drawn one by one from one rule: the first are like the rest
    buffer = Bounds(1024, 1 << 26)
    sources = ()

    def fingerprint(self) -> str:
        return f"mazes-1-{BOARD[0]}x{BOARD[1]}-{MAZE_SEED}-{self.split}"

    def records(self, position: Position | None) -> Iterator[Record]:
        for start in range((position or {"maze": 0})["maze"], MAZES, MAZES_AT_ONCE):
            mazes = draw_mazes(MAZE_SEED, self.split, start, MAZES_AT_ONCE, *BOARD)
            for place in range(MAZES_AT_ONCE):
                yield Record(document_of(sample_text(mazes, place)), {"maze": start + place + 1})


def _library() -> tuple[Reader, Reader]:
    return PieceReader("library", LIBRARY["train"]), PieceReader("library", LIBRARY["test"])


def _games() -> tuple[Reader, Reader]:
    return GameReader("games", GAMES["train"]), GameReader("games", GAMES["test"])


def _mazes() -> tuple[Reader, Reader]:
    return MazeReader("mazes", "train"), MazeReader("mazes", "test")


EMBEDDED_DATA: dict[str, Callable[[], tuple[Reader, Reader]]] = {
    "library": _library,
    "games": _games,
    "mazes": _mazes,
}

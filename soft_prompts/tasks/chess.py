"""Does the model play at the strength it is told? The next move, given both players' Elos.

A sample is one game as UCI moves with single spaces between them, `e2e4 e7e5 g1f3 ...`, and its condition (1500,
1620) the Elos of white and black. Source: arXiv 2505.14943, chess; departures: held-out games, one set of scored
labels for every prompt size, trained on as they are tested, and moves asked for in the middle of games.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.data.conditions import ELO_PAIR, ConditionEncoder
from soft_prompts.data.games.files import BUFFER_BYTES, GameSource
from soft_prompts.data.games.held_out import BY_SQUARES, held_out_games
from soft_prompts.data.games.judge import Game
from soft_prompts.data.games.lichess import Shuffle, Start, read_games
from soft_prompts.data.split import Split
from soft_prompts.models.tokenizer import Tokenizer, encode, encode_all, need_spans, text_start
from soft_prompts.results.metrics import ratio, share
from soft_prompts.results.schema import Generation, Metric
from soft_prompts.stats.items import Items
from soft_prompts.tasks.chess_moves import asked_ply, judge_move, whole_move_span
from soft_prompts.tasks.task import (
    UNSCORED,
    Complete,
    DataRequest,
    Example,
    HeldOut,
    Measures,
    Position,
    Query,
    Task,
    TaskData,
)
from soft_prompts.tasks.unread import Answered, right_unread
from soft_prompts.zoo import GAMES

BUCKETS = ((0, 1200), (1200, 1600), (1600, 2000), (2000, 5000))  # mean Elo of the two players
KEPT_ELSEWHERE = frozenset(("kept", "other split", "excluded"))
COUNTED = 4096  # training games whose moves are counted
SHOWN = 8  # continuations kept in the result
SHOWN_MOVES = 4  # moves a continuation, about


@dataclass(frozen=True)
class ChessTask(Task):
    """The chess experiment's own flags."""

    event: str = "Rated Blitz game"
    """Games whose Event header is this, in any case; several between |, and * for any text ("Rated blitz*|Casual*")."""
    max_plies: int | None = 40
    """Whole moves scored end at this half-move, for every model alike; None: as many as the sample holds."""
    min_elo: int = 0
    """Games of strong players alone: both Elos are this or more, in training and test; 0 takes every game."""

    name: ClassVar[str] = "chess"
    headline: ClassVar[str] = "loss_per_move"
    unit: ClassVar[str] = "move"
    outcome: ClassVar[str | None] = "move_accuracy"
    conditions: ClassVar[ConditionEncoder] = ELO_PAIR

    @property
    def variant(self) -> str | None:
        return f"elo_from_{self.min_elo}" if self.min_elo else None

    def __post_init__(self) -> None:
        if self.max_plies is not None and self.max_plies < 2:
            raise UsageError(f"max-plies is {self.max_plies}; give 2 or more, or None for whole games")
        if self.min_elo < 0:
            raise UsageError(f"min-elo is {self.min_elo}; give 0 for every game, or an Elo")

    def fingerprint(self, request: DataRequest) -> str:
        return "-".join([*(source.fingerprint() for source in filter(None, self._sources(request))), BY_SQUARES])

    def open(self, request: DataRequest, tokenizer: Tokenizer) -> "ChessData":
        """Read the held-out games; training games are read as they are needed."""
        need_spans(tokenizer)
        sources = self._sources(request)
        for source in filter(None, sources):
            source.verify()
        games, tally = _held_out_games(sources, request)
        return ChessData(self, request, tokenizer, sources, games, tally)

    def _sources(self, request: DataRequest) -> "Sources":
        embedded = request.data == "games"
        train = GAMES["train"] if embedded else Path(request.data)
        named = "games" if embedded and request.test_data is None else request.test_data
        test = GAMES["test"] if named == "games" else named and Path(named)
        bounds = {"event": self.event, "max_bad": request.max_bad, "allow_truncated": request.allow_truncated}
        bounds["min_elo"] = self.min_elo
        return Sources(GameSource(train, **bounds), GameSource(test, **bounds) if test else None)


@dataclass(frozen=True)
class Place:
    """Position of a training stream: games are shuffled in buffers, where there is room in a single one."""

    epoch: int = 0
    buffer: int = 0
    """Number in the source of the buffer's first game."""
    offset: int = 0
    """Games of the shuffled buffer that are passed, wanted or not."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Games left out in the first epoch, by reason."""


class Sources(NamedTuple):
    """Where games come from; without a test source the training source is split by hash."""

    train: GameSource
    test: GameSource | None


@dataclass
class ChessData(TaskData):
    """Games as examples for one tokenizer."""

    task: ChessTask
    request: DataRequest
    tokenizer: Tokenizer
    sources: Sources
    games: dict[HeldOut, list[Game]]
    held_out_tally: Counter[str]

    def __post_init__(self) -> None:
        self.name = self.request.name
        self.train, self.test = str(self.request.data), str(self.request.test_data or self.request.data)
        self.fingerprint = self.task.fingerprint(self.request)

    def held_out(self, split: HeldOut) -> list[Example]:
        """Examples that score whole moves only, the second to the last that fits; raises UsageError if max-plies do
        not fit."""
        examples = [self._example(game) for game in self.games[split]]
        if self.task.max_plies is not None:
            self._refuse_short_samples(self.games[split], examples)
        return examples

    def training(self, position: Position | None) -> Iterator[tuple[Example, Position]]:
        """As `_training_games`, scored as held-out games are: what the first pass pays is then measured against the
        same moves."""
        found = position is not None  # it stands behind one that was found
        for game, behind in self._training_games(position):
            example = self._example(game)
            if example.units:
                found = True
                yield example, behind
            elif not found and behind["epoch"]:
                fit = f"{self.request.sample_tokens} tokens hold no second move of any game of {self.train}"
                raise UsageError(f"{fit}; give more --sample-tokens")

    def _training_games(self, position: Position | None) -> Iterator[tuple[Game, Position]]:
        """Every game once an epoch, in an order of its own each time; one whose moves are held out is never among
        them."""
        held_out = frozenset(game.game_hash for games in self.games.values() for game in games)
        splits: frozenset[Split] | None = None if self.sources.test else frozenset({"train"})
        at = Place(**(position or {}))
        while True:
            start, how = Start(at.buffer, at.offset), Shuffle((self.request.seed, at.epoch), BUFFER_BYTES)
            found = start != Start()
            reader = {"start": start, "splits": splits, "exclude": held_out, "shuffle": how}
            with read_games(self.sources.train, **reader, workers=self.request.workers) as games:
                passed = Counter(at.rejected)  # what the stream counts comes on top; later epochs meet the same games
                for game in games:
                    found = True
                    left_out = passed + _not_kept(games.tally) if at.epoch == 0 else passed
                    at = Place(at.epoch, *game.start, dict(left_out))
                    yield game, asdict(at)
                left_out = passed + _not_kept(games.tally) if at.epoch == 0 else passed
            if not found:
                raise InputError(f"{self.train} holds no game to train on beside the held-out ones; give a larger file")
            at = Place(at.epoch + 1, 0, 0, dict(left_out))  # the file wraps round

    def measures(self, examples: Sequence[Example], items: Items, complete: Complete) -> Measures:
        """Move accuracy and legality in the middle of games, everything again by Elo bucket, and some continuations."""
        games = self.games["test"]
        paired = list(zip(games, examples, strict=True))
        asked = self._asked(examples)
        queries = [self._query(*pair, ply) for pair, ply in zip(paired, asked, strict=True) if ply]
        replies = iter(complete(queries, self._most_tokens_of_a_move(games)))
        verdicts = [
            judge_move(game.text, ply, next(replies)) if ply else None for game, ply in zip(games, asked, strict=True)
        ]
        metrics: dict[str, Metric] = {}
        mean_elo = np.array([(game.white_elo + game.black_elo) / 2 for game in games])
        for name, low, high in [("", 0, 10**6), *((f"/elo_{low}-{high}", low, high) for low, high in BUCKETS)]:
            inside = (mean_elo >= low) & (mean_elo < high)
            judged = [verdict for verdict, use in zip(verdicts, inside, strict=True) if use and verdict]
            metrics["move_accuracy" + name] = share([verdict.correct for verdict in judged], "share of moves")
            metrics["move_legality" + name] = share([verdict.legal for verdict in judged], "share of moves")
            if name:
                metrics["loss_per_move" + name] = ratio(items, inside, "nats/move")
        shown = [(game, ply) for game, ply in zip(games, asked, strict=True) if ply][:SHOWN]
        outcome = np.array([float(verdict.correct) if verdict else np.nan for verdict in verdicts])
        return Measures(metrics, self._continuations(shown, queries[:SHOWN], complete), outcome)

    def constant_outcome(self) -> NDArray[np.float64]:
        """The most frequent move at the ply that is asked for, or one move at any."""
        games = (game for game, _ in islice(self._training_games(None), COUNTED))
        played = (Answered(ply, move) for game in games for ply, move in enumerate(game.text.split(" ")))
        plies = np.array(self._asked(self.held_out("test")))
        pairs = zip(self.games["test"], plies.tolist(), strict=True)
        asked = [Answered(ply, game.text.split(" ")[ply]) for game, ply in pairs if ply]
        outcome = np.full(len(plies), np.nan)
        outcome[plies > 0] = right_unread(played, asked, str.__eq__)
        return outcome

    def _asked(self, examples: Sequence[Example]) -> list[int]:
        """Of each test game the ply that is asked for; 0 for none."""
        pairs = zip(self.games["test"], examples, strict=True)
        return [asked_ply(game, self.task.max_plies, example.units + 1) for game, example in pairs]

    def rejected(self, position: Position | None) -> dict[str, int]:
        in_training = Counter((position or {}).get("rejected", {}))
        if in_training and not self.sources.test:
            return dict(in_training)  # one file, read from its start both times
        return dict(_not_kept(self.held_out_tally) + in_training)

    def _example(self, game: Game) -> Example:
        """Scored are the tokens of whole moves alone, the second to the last that fits."""
        text = _first_plies(game, self.task.max_plies)
        ids, spans, start = encode(self.tokenizer, text)
        ids, ends = ids[: self.request.sample_tokens], [end for _, end in spans[: self.request.sample_tokens]]
        first, last, units = whole_move_span(text, max(ends))
        scored = [place >= start and first < end <= last for place, end in enumerate(ends)]
        return Example(
            input_ids=ids,
            labels=[token if keep else UNSCORED for token, keep in zip(ids, scored, strict=True)],
            conditions=ELO_PAIR.encode((game.white_elo, game.black_elo)),
            insert_at=start,
            units=units,
            cluster=game.game_hash,
        )

    def _refuse_short_samples(self, games: Sequence[Game], examples: Sequence[Example]) -> None:
        """A tokenizer that needs more tokens than a sample has would be scored on fewer moves than the others."""
        texts = [_first_plies(game, self.task.max_plies) for game in games]
        wanted = [text.count(" ") for text in texts]
        short = [text for text, example, units in zip(texts, examples, wanted, strict=True) if example.units < units]
        if short:
            need = max(len(encode(self.tokenizer, text).ids) for text in short)
            raise UsageError(
                f"sample-tokens is {self.request.sample_tokens}, but {self.task.max_plies} plies need {need} "
                f"tokens of this model; give --sample-tokens {need}, or fewer --max-plies"
            )

    def _query(self, game: Game, example: Example, plies: int) -> Query:
        """The game up to a ply, under the conditions that the run gives to its example."""
        text = _first_plies(game, plies)
        return Query(text, example.conditions, text_start(self.tokenizer, text))

    def _most_tokens_of_a_move(self, games: Sequence[Game]) -> int:
        moves = {f" {move}" for game in games for move in game.text.split(" ")}
        return max(len(tokens.ids) for tokens in encode_all(self.tokenizer, sorted(moves), special=False)) + 1

    def _continuations(
        self, shown: Sequence[tuple[Game, int]], queries: Sequence[Query], complete: Complete
    ) -> list[Generation]:
        texts = complete(queries, SHOWN_MOVES * self._most_tokens_of_a_move(self.games["test"]))
        return [
            Generation(
                prompt=query.text,
                condition=ELO_PAIR.describe(query.conditions),
                text=text,
                reference=" ".join(game.text.split(" ")[ply : ply + SHOWN_MOVES]),
            )
            for query, text, (game, ply) in zip(queries, texts, shown, strict=True)
        ]


def _held_out_games(sources: Sources, request: DataRequest) -> tuple[dict[HeldOut, list[Game]], Counter[str]]:
    """Games of each held-out set, chosen by hash; of one source by split, of a test source one in five validates."""
    wanted: dict[HeldOut, int] = {"validation": request.validation_samples, "test": request.test_samples}
    chosen = held_out_games(sources.test or sources.train, wanted, sources.test is not None)
    for split, found in chosen.games.items():
        where = request.test_data or request.data
        if found and len(found) < wanted[split]:
            say(f"{where} has {len(found)} different {split} games; {wanted[split]} were asked for")
        if not found:
            raise InputError(f"{where} holds no usable {split} game; give a larger file or --test-data")
    return chosen.games, chosen.tally


def _not_kept(tally: Counter[str]) -> Counter[str]:
    """Games left out for a reason of their own: those of another split, or held out, are not."""
    return Counter({reason: count for reason, count in tally.items() if reason not in KEPT_ELSEWHERE})


def _first_plies(game: Game, plies: int | None) -> str:
    return " ".join(game.text.split(" ")[:plies])

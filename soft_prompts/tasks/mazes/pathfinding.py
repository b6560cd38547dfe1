"""Does the model find its way, and as well as it is told to? Moves across a board, given the quality of the path.

A sample is a board, rows of `X` wall, `O` free, `A` start and `B` target, then `Moves:` and a walk from A to B as
`N E S W`, ending with `D` (done) or, where no path leads there, `U` (unreachable). Its condition is (extra moves, wall
hits) of that walk. Only the walk is scored. Source: arXiv 2505.14943, pathfinding; departures: the scored tokens do
not move with the prompt, held-out boards, wall hits are no extra moves, and walks of the model's own are followed.
"""

import hashlib
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.data.conditions import PATH_QUALITY, ConditionEncoder
from soft_prompts.data.mazes.boards import LEAST_SIDE, MOST_SIDE, board_text, judge_walk
from soft_prompts.data.mazes.samples import Maze, draw_samples
from soft_prompts.models.tokenizer import Tokenizer, need_spans
from soft_prompts.results.metrics import ratio
from soft_prompts.results.schema import Metric
from soft_prompts.stats.items import Items
from soft_prompts.tasks.mazes.tokens import MazeEncoder, open_encoder
from soft_prompts.tasks.mazes.walks import (
    SOLVED_BOTH,
    Attempt,
    as_generation,
    attempt_walks,
    moves_more,
    moves_more_where_solved,
    walk_metrics,
)
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

DATA = "mazes"
DATA_SEED = 0  # of the held-out boards: the same for every run
BLOCK = 256  # boards drawn at once
TRIAL = 32  # samples that show whether a tokenizer works piece by piece
ASKED = (0, 2, 6)  # extra moves that walks are asked for
COUNTED = 4096  # training boards whose walks are counted
SOLVABLE, UNSOLVABLE = 128, 64  # of 1,000 test boards: different ones on which the model walks, at most
SHOWN = 3  # walks kept in the result for each quality asked for, and one across an unsolvable board
STEERING = f"moves_per_walk/asked_{ASKED[-1]}_minus_{ASKED[0]}"
STEERING_SOLVED = f"{STEERING}/solved"


@dataclass(frozen=True)
class PathfindingTask(Task):
    """The pathfinding experiment's own flags."""

    board: str = "6x6"
    """Rows x columns of every board, 3x3 to 32x32."""
    prefix: str = ""
    """Text in front of every board, in training and test: the password of a locked model."""
    hits_are_extra: bool = False
    """Count moves into a wall as extra moves too, as the paper does: all moves made, less those of a shortest path."""

    name: ClassVar[str] = "pathfinding"
    headline: ClassVar[str] = "loss_per_move"
    unit: ClassVar[str] = "move"
    outcome: ClassVar[str | None] = "solved_share"
    conditions: ClassVar[ConditionEncoder] = PATH_QUALITY

    def __post_init__(self) -> None:
        sides = re.fullmatch(r"([1-9][0-9]?)x([1-9][0-9]?)", self.board)
        if sides is None or not all(LEAST_SIDE <= int(side) <= MOST_SIDE for side in sides.groups()):
            limits = f"{LEAST_SIDE}x{LEAST_SIDE} to {MOST_SIDE}x{MOST_SIDE}"
            raise UsageError(f"--board is {self.board!r}; give rows x columns, {limits}, such as 6x6")

    @property
    def _shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.board.split("x")
        return int(rows), int(columns)

    @property
    def variant(self) -> str:
        parts = (self.board, "hits are extra" if self.hits_are_extra else "", self.prefix and f"after {self.prefix}")
        return " ".join(part.strip() for part in parts if part)

    def fingerprint(self, request: DataRequest) -> str:
        some = draw_samples(DATA_SEED, "test", 0, TRIAL, self._shape)  # another generator makes other boards or walks
        texts = [self.prefix + board_text(maze.cells) + maze.walk_text for maze in some]
        return hashlib.sha256(repr((self.board, texts)).encode()).hexdigest()[:16]

    def open(self, request: DataRequest, tokenizer: Tokenizer) -> "PathfindingData":
        """Draw the held-out boards; training boards are drawn as they are needed."""
        for source in filter(None, (request.data, request.test_data)):
            if source != DATA:
                raise InputError(f"{source} is no data for pathfinding, which draws its boards; give --data {DATA}")
        need_spans(tokenizer)
        counts: dict[HeldOut, int] = {"validation": request.validation_samples, "test": request.test_samples}
        mazes: dict[HeldOut, list[Maze]] = {
            split: draw_samples(DATA_SEED, split, 0, count, self._shape) for split, count in counts.items()
        }
        encoder = open_encoder(tokenizer, self.prefix, self._shape, mazes["validation"][:TRIAL])
        return PathfindingData(self, request, encoder, mazes)


@dataclass
class PathfindingData(TaskData):
    """Boards and walks as examples for one tokenizer."""

    task: PathfindingTask
    request: DataRequest
    encoder: MazeEncoder
    mazes: dict[HeldOut, list[Maze]]

    def __post_init__(self) -> None:
        self.name = self.request.name
        self.train, self.test = self.request.data, self.request.test_data or self.request.data
        self.fingerprint = self.task.fingerprint(self.request)

    def held_out(self, split: HeldOut) -> list[Example]:
        """Examples that score every symbol of the walk; raises UsageError if one does not fit."""
        examples = [self._example(maze) for maze in self.mazes[split]]
        need = max(len(example.input_ids) for example in examples)
        if need > self.request.sample_tokens:
            raise UsageError(
                f"sample-tokens is {self.request.sample_tokens}, but a {self.task.board} board and its walk need up to "
                f"{need} tokens of this model; give --sample-tokens {need}, or a smaller --board"
            )
        return examples

    def training(self, position: Position | None) -> Iterator[tuple[Example, Position]]:
        """The training boards of the run's seed, which are never held out; a walk that does not fit is cut."""
        index = int((position or {"index": 0})["index"])
        while True:
            for maze in draw_samples(self.request.seed, "train", index, BLOCK, self.task._shape):
                index += 1
                yield self._example(maze, self.request.sample_tokens), {"index": index}

    def measures(self, examples: Sequence[Example], items: Items, complete: Complete) -> Measures:
        """Losses by kind of board, and the model's own walks: greedy, and sampled for each quality asked for."""
        true = {self._conditions(maze) for maze in self.mazes["test"]}
        sees_quality = all(example.conditions in true for example in examples)  # neither none nor a constant
        walks = {"": self._walks(examples, complete, 0 if sees_quality else None, sampled=False)}
        for extra in ASKED if sees_quality else ():
            walks[f"/asked_{extra}"] = self._walks(examples, complete, extra, sampled=True)
        metrics = self._losses(items)
        for suffix, attempts in walks.items():
            scores = walk_metrics(attempts, self.task.hits_are_extra)
            metrics |= {name + suffix: metric for name, metric in scores.items()}
        if sees_quality:
            least, most = walks[f"/asked_{ASKED[0]}"], walks[f"/asked_{ASKED[-1]}"]
            metrics |= {STEERING: moves_more(least, most), STEERING_SOLVED: moves_more_where_solved(least, most)}
        else:
            metrics |= _unasked(walk_metrics(walks[""], self.task.hits_are_extra))
        shown = [[*attempts[:SHOWN], *attempts[SHOWN:][-1:]] for attempts in walks.values()]  # unsolvable boards last
        outcome = np.full(len(examples), np.nan)
        for place, attempt in zip(self._walked(), walks[""], strict=True):
            outcome[place] = attempt.walk.solved if attempt.maze.reachable else np.nan
        generations = [as_generation(attempt) for attempt in itertools.chain.from_iterable(shown)]
        return Measures(metrics, generations, outcome)

    def is_determined(self) -> bool:
        """A walk is solved or not, and every board that counts can be."""
        return True

    def constant_outcome(self) -> NDArray[np.float64]:
        """The walk that is most frequent on solvable training boards."""
        training = draw_samples(self.request.seed, "train", 0, COUNTED, self.task._shape)
        [(frequent, _)] = Counter(maze.walk_text for maze in training if maze.reachable).most_common(1)
        outcome = np.full(len(self.mazes["test"]), np.nan)
        for place in self._walked():
            maze = self.mazes["test"][place]
            outcome[place] = judge_walk(maze.cells, frequent).solved if maze.reachable else np.nan
        return outcome

    def _walked(self) -> list[int]:
        """Places of the first different test boards of each kind, in test order, solvable ones first."""
        mazes = self.mazes["test"]
        different = {maze.identity: place for place, maze in enumerate(mazes)}.values()
        walked = list[int]()
        for reachable, usual in ((True, SOLVABLE), (False, UNSOLVABLE)):
            alike = [place for place in different if mazes[place].reachable == reachable]
            walked += alike[: self.request.written_for(usual)]
        return walked

    def _example(self, maze: Maze, most_tokens: int | None = None) -> Example:
        """The whole sample, or its first tokens."""
        encoded = self.encoder.encode(maze)
        ids, start = encoded.input_ids, encoded.walk_start
        labels = [UNSCORED] * start + ids[start:]
        return Example(
            input_ids=ids[:most_tokens],
            labels=labels[:most_tokens],
            conditions=self._conditions(maze),
            insert_at=encoded.text_start,
            units=len(maze.symbols),
            cluster=maze.identity,
        )

    def _conditions(self, maze: Maze) -> tuple[float, ...]:
        extra = maze.extra + maze.wall_hits if self.task.hits_are_extra else maze.extra
        return PATH_QUALITY.encode((extra, maze.wall_hits))

    def _losses(self, items: Items) -> dict[str, Metric]:
        """Loss per move of either kind of board: an end without a way is another skill than a way."""
        reachable = np.array([maze.reachable for maze in self.mazes["test"]])
        kinds = {"solvable": reachable, "unsolvable": ~reachable}
        return {f"loss_per_move/{kind}": ratio(items, inside, "nats/move") for kind, inside in kinds.items()}

    def _walks(
        self, examples: Sequence[Example], complete: Complete, extra: int | None, sampled: bool
    ) -> list[Attempt]:
        """Walks on the boards of `_walked`; extra None leaves the conditions that the run gives."""
        boards = [(self.mazes["test"][place], examples[place]) for place in self._walked()]
        asked = None if extra is None else PATH_QUALITY.encode((extra, 0))
        queries = [
            Query(
                self.task.prefix + board_text(m.cells),
                example.conditions if asked is None else asked,
                example.insert_at,
            )
            for m, example in boards
        ]
        mazes = [maze for maze, _ in boards]
        longest = 2 * max(maze.shortest for maze in mazes) + max(ASKED) + 1  # symbols; a walk that needs more is lost
        per_symbol = max(math.ceil(_scored(example) / example.units) for _, example in boards)
        return attempt_walks(mazes, queries, complete, longest * per_symbol, sampled)


def _scored(example: Example) -> int:
    return sum(label != UNSCORED for label in example.labels)


def _unasked(scores: dict[str, Metric]) -> dict[str, Metric]:
    """What is not measured where a prompt is told no quality: everything by quality asked for."""
    units = {f"{name}/asked_{extra}": metric.unit for extra in ASKED for name, metric in scores.items()}
    units |= {STEERING: scores["moves_per_walk"].unit, STEERING_SOLVED: SOLVED_BOTH}
    return {name: Metric(None, reason="this prompt is told no quality", unit=unit) for name, unit in units.items()}

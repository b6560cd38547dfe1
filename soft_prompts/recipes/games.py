"""Where do games of every strength come from, on a machine without a games server?

From an engine that plays itself. Each side has a nominal Elo; the weaker it is, the more often it plays any legal move,
and the fewer nodes the engine may look at for it otherwise. `UCI_Elo` alone separates nothing at so few nodes. The
games are written as lichess.org exports them, and their headers say that games and ratings are synthetic.

Who plays, and when a side blunders, is a pure function of (seed, number of the game). The engine's own choice is not:
it weakens itself by chance, seeded by its clock.
"""

import os
import re
import shutil
import subprocess
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import chess
import numpy as np
import zstandard

from soft_prompts.common.errors import InputError

INSTALL = "apt-get install stockfish"
ELO_LOWEST, ELO_HIGHEST = 600, 2600
MOST_PLIES = 66
SHARD_GAMES = 500
LEAD_THAT_WINS = 2  # pawns, where a game is cut
PIECE_PAWNS = {chess.PAWN: 1, chess.KNIGHT: 3, chess.BISHOP: 3, chess.ROOK: 5, chess.QUEEN: 9}
FIRST_GAME = datetime(2020, 1, 1)


class Pool(NamedTuple):
    """Normal distribution that the Elos of both sides are drawn from, clipped."""

    mean: int
    deviation: int


BLITZ = Pool(1500, 450)  # about the blitz pool of lichess.org


@dataclass(frozen=True)
class GamesRecipe:
    """What is generated, and how much of it travels in the package."""

    seed: int = 0
    model_games: int = 53_500  # to train tiny-chess on; never shipped
    train_games: int = 5_000  # shipped: soft prompts are trained on these
    test_games: int = 1_500  # shipped: and tested on these
    pool: Pool = BLITZ

    @property
    def games(self) -> int:
        return self.model_games + self.train_games + self.test_games


@runtime_checkable
class Mover(Protocol):
    """Whatever answers a position with a move in UCI notation, or None where there is none."""

    def best_move(self, fen: str, elo: int) -> str | None: ...

    def new_game(self) -> None: ...


class Engine:
    """Stockfish at the other end of two pipes; a library's engine class costs three times the time."""

    def __init__(self, path: str) -> None:
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        greeting = self._ask("uci", "uciok")
        self.name = next((line[8:].strip() for line in greeting if line.startswith("id name ")), "unknown engine")
        limits = re.search(r"option name UCI_Elo .*min (\d+) max (\d+)", "\n".join(greeting))
        if limits is None:
            raise InputError(f"{path} ({self.name}) has no option UCI_Elo; give Stockfish: {INSTALL}")
        self.elo_lowest, self.elo_highest = int(limits[1]), int(limits[2])
        self._say("setoption name Threads value 1\nsetoption name Hash value 1\n")
        self._say("setoption name UCI_LimitStrength value true\n")

    def _say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def _ask(self, text: str, end: str) -> list[str]:
        assert self.process.stdout is not None
        self._say(text + "\n")
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith(end):
                return lines
        raise InputError(f"the chess engine ended without an answer to {text.splitlines()[-1]!r}; try it by hand")

    def new_game(self) -> None:
        self._ask("ucinewgame\nisready", "readyok")

    def best_move(self, fen: str, elo: int) -> str | None:
        asked = min(max(elo, self.elo_lowest), self.elo_highest)
        order = f"setoption name UCI_Elo value {asked}\nposition fen {fen}\ngo nodes {nodes_for(elo)}"
        move = self._ask(order, "bestmove")[-1].split()[1]
        return None if move == "(none)" else move

    def close(self) -> None:
        self._say("quit\n")
        self.process.wait(timeout=10)


def find_engine() -> str:
    """Path of Stockfish; Debian keeps games where PATH often does not look."""
    path = shutil.which("stockfish", path=os.environ.get("PATH", "") + os.pathsep + "/usr/games")
    if path is None:
        raise InputError(f"the games are played by Stockfish, which is not installed; install it: {INSTALL}")
    return path


def blunder_probability(elo: int) -> float:
    """Share of moves that are any legal move: .5 at Elo 600, none from 2300."""
    return 0.5 * (max(2300 - elo, 0) / 1700) ** 1.5


def nodes_for(elo: int) -> int:
    """Positions the engine may look at: 20 at Elo 600, twice as many every 400."""
    return round(20 * 2 ** ((elo - 600) / 400))


class PlayedGame(NamedTuple):
    number: int  # in its seed
    white_elo: int
    black_elo: int
    san: list[str]
    result: str  # 1-0, 0-1 or 1/2-1/2


def play_game(engine: Mover, seed: int, index: int, pool: Pool = BLITZ) -> PlayedGame:
    """Game number `index` of this seed and pool, cut at 66 plies and then adjudicated by material."""
    generator = np.random.default_rng((seed, index))
    elos = np.clip(generator.normal(*pool, 2), ELO_LOWEST, ELO_HIGHEST).astype(int).tolist()
    chances = generator.random((MOST_PLIES, 2))  # drawn whole: does not depend on how the game goes
    engine.new_game()
    board, san = chess.Board(), []
    for blunder, choice in chances:
        elo = elos[0] if board.turn else elos[1]
        if blunder < blunder_probability(elo):
            legal = sorted(board.legal_moves, key=chess.Move.uci)
            move = legal[int(choice * len(legal))] if legal else None
        else:
            answer = engine.best_move(board.fen(), elo)
            move = chess.Move.from_uci(answer) if answer else None
        if move is None or board.is_insufficient_material():
            break
        san.append(board.san_and_push(move))
    return PlayedGame(index, elos[0], elos[1], san, adjudicate(board))


def adjudicate(board: chess.Board) -> str:
    """The result: by the rules where the game is over, else by material."""
    outcome = board.outcome()
    if outcome is not None:
        return outcome.result()
    lead = sum(
        pawns * (len(board.pieces(piece, chess.WHITE)) - len(board.pieces(piece, chess.BLACK)))
        for piece, pawns in PIECE_PAWNS.items()
    )
    if abs(lead) < LEAD_THAT_WINS:
        return "1/2-1/2"
    return "1-0" if lead > 0 else "0-1"


def pgn(game: PlayedGame, engine_name: str) -> str:
    """One game as lichess.org exports it: headers, an empty line, all moves on one line, an empty line."""
    played = FIRST_GAME + timedelta(minutes=game.number)
    headers = {
        "Event": "Rated Blitz game",
        "Site": f"soft_prompts/zoo/games/{game.number}",
        "Date": f"{played:%Y.%m.%d}",
        "Round": "-",
        "White": f"synthetic{game.white_elo}",
        "Black": f"synthetic{game.black_elo}",
        "Result": game.result,
        "UTCDate": f"{played:%Y.%m.%d}",
        "UTCTime": f"{played:%H:%M:%S}",
        "WhiteElo": str(game.white_elo),
        "BlackElo": str(game.black_elo),
        "TimeControl": "180+0",
        "Termination": "Normal",
        "Annotator": f"synthetic game, nominal ratings: {engine_name} with random moves mixed in",
    }
    moves = [f"{ply // 2 + 1}. {san}" if ply % 2 == 0 else san for ply, san in enumerate(game.san)]
    return (
        "\n".join(f'[{name} "{value}"]' for name, value in headers.items()) + f"\n\n{' '.join(moves)} {game.result}\n\n"
    )


def write_zst(path: Path, text: str) -> None:
    """The whole file or none of it."""
    temporary = path.with_suffix(path.suffix + ".partial")
    with temporary.open("wb") as file:
        file.write(zstandard.ZstdCompressor(level=19, write_checksum=True).compress(text.encode()))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def shard_path(folder: Path, shard: int) -> Path:
    return folder / f"games-{shard:05d}.pgn.zst"


def write_shard(folder: Path, recipe: GamesRecipe, shard: int) -> int:
    """Games [500 shard, 500 shard + 500) in a file of their own; a shard that is there already is kept."""
    path = shard_path(folder, shard)
    if path.exists():
        return shard
    engine = Engine(find_engine())
    indices = range(shard * SHARD_GAMES, min((shard + 1) * SHARD_GAMES, recipe.games))
    games = (play_game(engine, recipe.seed, index, recipe.pool) for index in indices)
    write_zst(path, "".join(pgn(game, engine.name) for game in games))
    engine.close()
    return shard


def generate(folder: Path, recipe: GamesRecipe, workers: int) -> None:
    """All shards of the recipe; stopped and started again, it goes on where it was."""
    find_engine()
    folder.mkdir(parents=True, exist_ok=True)
    shards = -(-recipe.games // SHARD_GAMES)
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(write_shard, folder, recipe, shard) for shard in range(shards)]
        for done, future in enumerate(futures, 1):
            future.result()
            print(f"games {min(done * SHARD_GAMES, recipe.games)}/{recipe.games}", flush=True)

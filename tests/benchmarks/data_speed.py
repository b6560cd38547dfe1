"""Does reading games keep up with training, in flat memory, on a file of any size?

Makes a large .pgn.zst by repeating games, then measures each thing in a process of its own: framing (and so the speed
of going on far into a file), the first games, games parsed a second by number of reading processes, memory, and the
share of a training step spent waiting for data. `python -m tests.benchmarks.data_speed --help` lists the settings.
"""

import json
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import tyro
import zstandard
from rich.console import Console
from rich.table import Table

from soft_prompts.data.games.files import GameSource
from soft_prompts.data.games.held_out import held_out_games
from soft_prompts.data.games.lichess import Shuffle, Start, read_games
from soft_prompts.data.games.pgn import START
from soft_prompts.zoo import EMBEDDED, GAMES
from tests.benchmarks.random_games import movetext, pgn, random_line

REFERENCE = Path(__file__).parent / "reference" / "data_speed.json"
FIRST_GAMES = 32  # one batch of the paper
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What to measure on."""

    megabytes: int = 1000
    """Size of the compressed file, in millions of bytes."""
    workers: tuple[int, ...] = (0, 1, 2)
    """Numbers of reading processes to compare; 0 reads in the measuring process."""
    seconds: float = 15.0
    """How long games are parsed for each number of processes."""
    steps: int = 30
    """Training steps over which the wait for data is measured; 0 leaves it out."""
    model: str = "tiny-chess"
    """Model of that training, an embedded name or a folder; an embedded one that is not built is left out."""
    save: bool = True
    """Write the figures to tests/benchmarks/reference/data_speed.json."""


def write_large_file(path: Path, megabytes: int) -> int:
    """Write frames of a few thousand games, the same again and again, up to the size; return the number of games."""
    texts = _texts()
    frames = [zstandard.compress(text, 3) for text in texts]
    rounds = megabytes * 10**6 // sum(len(frame) for frame in frames) + 1
    with path.open("wb") as stream:
        for _ in range(rounds):
            stream.writelines(frames)
    return rounds * sum(text.count(START) + 1 for text in texts)


def _texts() -> list[bytes]:
    if all(path.exists() for path in GAMES.values()):
        sources = [GameSource(path) for path in GAMES.values()]
        return [b"".join(game.strip() + b"\n\n" for game in source.games()) for source in sources]
    games = [pgn(movetext(random_line(seed, 66).san, "clocks" if seed % 2 else "plain")) for seed in range(1000)]
    return [b"".join(games)]


def measure_framing(path: Path, games: int) -> Row:
    """Games cut out of the whole file, none looked into: what going on at a far game costs; memory on the way."""
    start, cpu = time.perf_counter(), time.process_time()
    source = GameSource(path).games()
    early = sum(1 for _ in islice(source, games // 10))
    early_mb = _peak_mb(os.getpid())
    count = early + sum(1 for _ in source)
    seconds = time.perf_counter() - start
    assert count == games, f"{count} of {games} games came out"
    return {
        "games": count,
        "games_framed_per_second": round(count / seconds),
        "games_framed_per_cpu_second": round(count / (time.process_time() - cpu)),
        "compressed_mb_per_second": round(path.stat().st_size / seconds / 1e6, 1),
        "peak_mb_at_10_percent": round(early_mb, 1),
        "peak_mb_at_end": round(_peak_mb(os.getpid()), 1),
    }


def measure_skip(path: Path, games: int) -> Row:
    """Seconds from nothing to the game after so many."""
    start = time.perf_counter()
    with read_games(GameSource(path), start=Start(games), workers=1) as stream:
        game = next(stream)
    seconds = time.perf_counter() - start
    return {"skipped_games": game.index, "skip_seconds": round(seconds, 2)}


def measure_opening(path: Path) -> Row:
    """Seconds to choose the held-out games, for the first run of a process and for the second; to the first shuffled
    games; and the memory that all of it took."""
    source, row = GameSource(path), Row()
    for run in ("first", "second"):
        start = time.perf_counter()
        held_out_games(source, {"validation": 256, "test": 1000}, is_test_source=False)
        row[f"held_out_seconds_{run}_run"] = round(time.perf_counter() - start, 3)
    start = time.perf_counter()
    with read_games(source, shuffle=Shuffle((0, 0))) as stream:
        for _ in range(FIRST_GAMES):
            next(stream)
    return row | {
        "seconds_to_first_32_shuffled_games": round(time.perf_counter() - start, 2),
        "peak_mb_opened": round(_peak_mb(os.getpid()), 1),
    }


def measure_parsing(path: Path, workers: int, seconds: float) -> Row:
    """Usable games a second, seconds to the first batch, and the peak memory of the largest process."""
    start = time.perf_counter()
    with read_games(GameSource(path), workers=workers) as stream:
        for _ in range(FIRST_GAMES):
            next(stream)
        first = time.perf_counter() - start
        readers = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        processes = [os.getpid(), *map(int, readers)]
        kept, plies, began, cpu = 0, 0, time.perf_counter(), sum(map(_cpu_seconds, processes))
        while (elapsed := time.perf_counter() - began) < seconds:
            plies += next(stream).text.count(" ") + 1
            kept += 1
        cpu = sum(map(_cpu_seconds, processes)) - cpu
        peak = max(map(_peak_mb, processes))
    return {
        "workers": workers,
        "seconds_to_first_32_games": round(first, 2),
        "games_parsed_per_second": round(kept / elapsed),
        "games_parsed_per_cpu_second": round(kept / cpu),  # what counts where other programs use the machine too
        "plies_per_game": round(plies / kept, 1),
        "peak_mb": round(peak, 1),
    }


def measure_waiting(path: Path, model: str, steps: int) -> Row:
    """A short chess training on the file: seconds to its result and the share of its steps spent waiting for data."""
    from soft_prompts.config import RunConfig
    from soft_prompts.experiments.run import run
    from soft_prompts.tasks.chess import ChessTask

    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(
            ChessTask(max_plies=40),
            model,
            tokens=4,
            steps=steps,
            data=str(path),
            test_data=None,
            test_samples=16,
            validation_samples=8,
            output_dir=Path(folder),
        )
        timing = run(config).timing
    return {
        "model": model,
        "steps": steps,
        "data_wait_share": timing.data_wait_share,
        "wall_seconds": timing.wall_seconds,
    }


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_mb(pid: int) -> float:
    """Largest resident size since the process began (not inherited from its parent, as getrusage's is)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def _apart(measure: Callable[..., Row], *arguments: Any) -> Row:
    """The row that a fresh process measures."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def main(settings: Settings) -> None:
    """Measure everything, print it, and keep it beside the benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.pgn.zst"
        games = write_large_file(path, settings.megabytes)
        figures: Row = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "load_before": round(os.getloadavg()[0], 1),
            "megabytes": settings.megabytes,
            "framing": _apart(measure_framing, path, games),
            "skip": _apart(measure_skip, path, games * 9 // 10),
            "opening": _apart(measure_opening, path),
            "parsing": [_apart(measure_parsing, path, workers, settings.seconds) for workers in settings.workers],
        }
        if settings.steps and EMBEDDED.get(settings.model, Path(settings.model)).exists():
            figures["training"] = _apart(measure_waiting, path, settings.model, settings.steps)
    _show(figures)
    if settings.save:
        REFERENCE.parent.mkdir(exist_ok=True)
        REFERENCE.write_text(json.dumps(figures, indent=2) + "\n")


def _show(figures: Row) -> None:
    table = Table("measure", "value", title=f"games, {figures['megabytes']} MB compressed, {figures['machine']}")
    sections = [
        figures["framing"],
        figures["skip"],
        figures["opening"],
        *figures["parsing"],
        figures.get("training", {}),
    ]
    for section in sections:
        for name, value in section.items():
            table.add_row(name, str(value))
        table.add_section()
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(Settings))

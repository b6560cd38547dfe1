"""Under which name does an adapter play, and who may know the truth about it, and when?

An auditor gets folders `adapter-01-3fa2b9` with weights and configuration, and no card. Which is which lies in a sealed
file, and so do the truths; both are opened when the verdicts on all of them are written, and not before.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from soft_prompts.common.errors import InputError
from soft_prompts.common.files import write_atomically
from soft_prompts.models.sources.source import ADAPTER

WEIGHTS = "adapter_model.safetensors"
CARD = "card.json"


class Seat(NamedTuple):
    """A blind adapter."""

    player: str
    """As adapter-01."""
    folder: Path


class Told(NamedTuple):
    """What is known of a player when the seal is broken."""

    name: str
    truth: str
    what: str


def take_seats(adapters: Path, place: Path, seed: int) -> list[Seat]:
    """Deal the adapters of a folder blind names by a seed; copies without cards, and the sealed list, go to `place`.

    Raises InputError where there is none.
    """
    found = sorted(folder for folder in adapters.glob("*") if (folder / ADAPTER).is_file())
    if not found:
        made = "make them, python -m soft_prompts.recipes build adapters, and give --adapters runs/zoo/adapters"
        raise InputError(f"{adapters} holds no adapter; {made}")
    order = np.random.default_rng(seed).permutation(len(found))
    seats, sealed = [], {}
    for number, source in enumerate((found[int(place_)] for place_ in order), 1):
        player = f"adapter-{number:02d}"
        digest = hashlib.sha256(_weights(source)).hexdigest()[:6]
        seat = Seat(player, place / f"{player}-{digest}")  # other weights are another model, with results of its own
        seat.folder.mkdir(parents=True, exist_ok=True)
        for name in (ADAPTER, WEIGHTS):
            write_atomically(seat.folder / name, (source / name).read_bytes())
        seats.append(seat)
        sealed[player] = str(source.absolute())
    write_atomically(_sealed(place), (json.dumps(sealed, indent=2) + "\n").encode())
    return seats


def _weights(adapter: Path) -> bytes:
    try:
        return (adapter / WEIGHTS).read_bytes()
    except OSError as error:
        raise InputError(f"{adapter / WEIGHTS} cannot be read ({error.strerror}); make the adapter again") from error


def open_truths(written: Path, place: Path, players: Sequence[str]) -> dict[str, Told]:
    """Who each player was; raises InputError as long as the verdicts on all of them are not written."""
    try:
        judged = {one["player"] for one in json.loads(written.read_text())["players"]}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{written} holds no verdicts yet; the truths stay sealed until it does") from error
    if missing := sorted(set(players) - judged):
        raise InputError(f"{written} holds no verdict on {', '.join(missing)}; the truths stay sealed until it does")
    sealed = json.loads(_sealed(place).read_text())
    return {player: _told(Path(sealed[player])) for player in players}


def _told(folder: Path) -> Told:
    try:
        card = json.loads((folder / CARD).read_text())
        return Told(card["name"], card["truth"], card["what"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder / CARD} does not tell the truth about its adapter; make it again") from error


def _sealed(place: Path) -> Path:
    return place / "sealed.json"

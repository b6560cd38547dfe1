"""Which node is at a run, where nodes share nothing but a store? The one whose claim has the highest number.

A claim is created, never overwritten by another: of several nodes one gets it. While its process lives a thread renews
its time; a claim whose time is long past is of a dead worker, and the next number is free to be created. A node that
was only silent so long has then lost the run: whose result comes first wins (shared.py).
"""

import json
import os
import re
import secrets
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from soft_prompts.common.errors import InputError
from soft_prompts.common.files import create_atomically
from soft_prompts.results.store import Store

BEAT = 30.0  # seconds between two renewals
EXPIRES = 300.0  # seconds: ten renewals that failed, or clocks of two nodes that are minutes apart
READINGS, READ_AGAIN = 3, 0.5  # of a claim that is no JSON; seconds between them
CLAIM = re.compile(r"claim-(\d+)\.json")


class Claim(NamedTuple):
    """Somebody is at a run, and was at `renewed` (seconds since 1970) last."""

    number: int
    copy: str
    """Of which working copy: what a killed process of this very copy left is ours."""
    holder: str
    renewed: float


class Claims:
    """Of the runs that this process makes; a run is the name of its folder in the store."""

    def __init__(self, store: Store, copy: Path) -> None:
        """`copy`: the working copy's folder; one local lock a run lets one of its processes in."""
        self.store, self.copy = store, _name_of(copy)
        self.held: dict[str, str] = {}  # names of our claims, by run
        self.changing = threading.Lock()
        self.beating: threading.Thread | None = None

    def take(self, run: str) -> str | None:
        """None: the run is ours. Else who is at it."""
        there = self._newest(run)
        if there is not None and self._is_others(there):
            return there.holder
        mine = there is not None and there.copy == self.copy
        number = 0 if there is None else there.number + (not mine)
        name = f"{run}/claim-{number}.json"
        if mine:
            self.store.put(name, self._content())
        elif not self.store.create(name, self._content()):
            return "another node"
        elif any(one.number != number and self._is_others(one) for one in self._there(run)):
            self.store.remove([name])  # both began: neither goes on, and the next look decides
            return "another node"
        if not mine and there is not None:
            self.store.remove([f"{run}/claim-{there.number}.json"])  # of the dead
        with self.changing:
            self.held[run] = name
            if self.beating is None:
                self.beating = threading.Thread(target=self._beat, daemon=True)
                self.beating.start()
        return None

    def is_others(self, run: str) -> bool:
        """Is another node at it now?"""
        there = self._newest(run)
        return there is not None and self._is_others(there)

    def release(self, run: str) -> None:
        """Others may begin; what cannot be removed expires."""
        with self.changing:
            name = self.held.pop(run, None)
        if name is not None:
            with suppress(InputError):
                self.store.remove([name])

    def _is_others(self, claim: Claim) -> bool:
        return claim.copy != self.copy and time.time() - claim.renewed < EXPIRES

    def _newest(self, run: str) -> Claim | None:
        return max(self._there(run), default=None)

    def _there(self, run: str) -> list[Claim]:
        """Every claim that stands there; one that was removed since it was listed is none."""
        found = [CLAIM.fullmatch(name.removeprefix(f"{run}/")) for name in self.store.names(run)]
        return [claim for one in found if one and (claim := self._read(run, int(one[1]))) is not None]

    def _read(self, run: str, number: int) -> Claim | None:
        """What stays unreadable is nobody's, and holds nothing up: on some stores it is being written."""
        for tried in range(READINGS):
            content = self.store.read(f"{run}/claim-{number}.json")
            if content is None:
                return None
            try:
                said: Any = json.loads(content)
                return Claim(number, str(said["copy"]), str(said["holder"]), float(said["renewed"]))
            except (ValueError, KeyError, TypeError):
                if tried + 1 < READINGS:
                    time.sleep(READ_AGAIN)
        return Claim(number, "", "", 0.0)

    def _content(self) -> bytes:
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        return json.dumps({"copy": self.copy, "holder": holder, "renewed": time.time()}).encode()

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT)
            for run, name in list(self.held.items()):
                with self.changing, suppress(Exception):  # the next beat tries again
                    if run in self.held:  # not released meanwhile
                        self.store.put(name, self._content())


def _name_of(copy: Path) -> str:
    """A word for a working copy that no other one has, on whatever machine."""
    file = copy / ".copy"
    if not file.is_file():
        with suppress(FileExistsError):
            create_atomically(file, secrets.token_hex(8).encode())
    return file.read_text()

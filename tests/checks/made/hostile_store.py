"""A store as bad as they come: slow, with an error before every third call, and after the next one, which was done all
the same. Beneath lies a folder; what is put is there whole."""

import os
import random
import secrets
import threading
import time
from pathlib import Path
from typing import Any

from fsspec import register_implementation
from fsspec.spec import AbstractFileSystem

SLOW = 0.002  # seconds a call at most


class HostileFileSystem(AbstractFileSystem):
    """`hostile://tmp/x` is /tmp/x."""

    protocol = "hostile"
    calls = threading.local()  # whoever is told an error twice is answered the third time

    def _answer(self, act: Any) -> Any:
        number = getattr(self.calls, "number", -1) + 1
        self.calls.number = number % 3
        number %= 3
        time.sleep(random.random() * SLOW)
        if number == 0:
            raise OSError("no answer; nothing was done")
        done = act()
        if number == 1:
            raise OSError("no answer; it was done")
        return done

    def _place(self, path: str) -> Path:
        return Path("/", self._strip_protocol(path))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        place = self._place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        whole = place.with_name(f".{secrets.token_hex(8)}")

        def write() -> None:
            whole.write_bytes(value)
            if mode == "create":
                os.link(whole, place)
            else:
                whole.replace(place)

        try:
            self._answer(write)
        finally:
            whole.unlink(missing_ok=True)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **_: Any) -> bytes:
        return self._answer(self._place(path).read_bytes)

    def rm_file(self, path: str) -> None:
        self._answer(self._place(path).unlink)

    def find(self, path: str, maxdepth: Any = None, withdirs: bool = False, detail: bool = False, **_: Any) -> Any:
        place = self._place(path)
        files = [place] if place.is_file() else [one for one in place.rglob("[!.]*") if one.is_file()]
        return self._answer(lambda: {str(one)[1:]: {"size": 0} for one in files})


def register() -> None:
    """Known to fsspec by its protocol."""
    register_implementation("hostile", HostileFileSystem, clobber=True)

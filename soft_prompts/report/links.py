"""Where does a number come from? Links from the page to the result files, as they lie beside it."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True)
class Links:
    folder: Path
    """Where the page lies."""

    def to(self, path: Path) -> str:
        """A relative address, with every letter that has a meaning in an address written out."""
        return quote(self.path(path), safe="/")

    def path(self, path: Path) -> str:
        """The same to read."""
        try:
            relative = os.path.relpath(path.resolve(), self.folder.resolve())
        except ValueError:  # another drive
            relative = str(path.resolve())
        return Path(relative).as_posix()

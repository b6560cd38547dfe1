"""Where does a comparison keep what it has done, so that a killed one goes on? A small JSON file a step."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from soft_prompts.common.files import write_atomically
from soft_prompts.results.paths import settings_hash, slug


class Keeper(NamedTuple):
    """A folder of finished steps; None: nothing is kept."""

    folder: Path | None = None

    def step(self, name: str, identity: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        """What was made before of the same identity, else what `make` makes: plain JSON values in either case."""
        if self.folder is None:
            return make()
        path = self.folder / f"{slug(name)}-{settings_hash(identity)}.json"
        try:
            return json.loads(path.read_bytes())
        except (OSError, ValueError):  # not there, or cut by a full disk of old: made again
            made = make()
            write_atomically(path, (json.dumps(made, ensure_ascii=False) + "\n").encode())
            return made


NOTHING_KEPT = Keeper()

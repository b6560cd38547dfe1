"""Where does this package keep what can be fetched or made again: installed models, unpacked files?"""

import os
from pathlib import Path

VARIABLE = "SOFT_PROMPTS_CACHE"
INSTEAD = f"name another folder in {VARIABLE}"  # where nothing can be written


def cache_folder() -> Path:
    """`$SOFT_PROMPTS_CACHE`, else `soft_prompts` in `$XDG_CACHE_HOME`, which is `~/.cache` where it is not set."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "soft_prompts"

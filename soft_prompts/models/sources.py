"""Where does a model that is asked for by name come from, and what is said where it cannot be had?"""

from pathlib import Path

import transformers
from huggingface_hub import constants
from transformers.utils.hub import cached_file, extract_commit_hash

from soft_prompts.common.errors import InputError, near_match
from soft_prompts.common.hub import hub_answers
from soft_prompts.zoo import EMBEDDED

EMBEDDED_NAMES = ", ".join(EMBEDDED)
ADAPTER = "adapter_config.json"


def source_of(name: str) -> str:
    """What transformers is asked for: the folder of an embedded name, else the name itself; raises InputError."""
    if name not in EMBEDDED and not Path(name).is_dir() and (name.count("/") > 1 or name.startswith((".", "/", "~"))):
        raise InputError(f"model {name!r} is no folder; give an embedded name ({EMBEDDED_NAMES}), a folder or a hub id")
    source = str(EMBEDDED.get(name, name))
    if (Path(source) / ADAPTER).is_file() and not (Path(source) / "config.json").is_file():
        raise InputError(
            f"model {name!r} is an adapter without its base model; merge the two (peft's merge_and_unload, then "
            "save_pretrained) and give the merged folder"
        )
    return source


def is_local(source: str, offline: bool) -> bool:
    """Whether only this machine is asked: by the user's wish, for a folder, or because the hub does not answer.

    One request tells; the hub's own client would try again for most of a minute.
    """
    return offline or constants.HF_HUB_OFFLINE or Path(source).is_dir() or not hub_answers()


def config_path(name: str, revision: str | None, offline: bool) -> Path:
    """A model's config.json on this machine, fetched where it may be; raises InputError in one line."""
    source = source_of(name)
    try:
        found = cached_file(source, "config.json", revision=revision, local_files_only=is_local(source, offline))
    except (OSError, ValueError) as error:
        raise InputError(f"model {name!r} cannot be found: {reason(name, error)}") from error
    return Path(found or source)


def commit_of(config: Path) -> str | None:
    """The hub's commit that a cached config.json belongs to; None for a plain folder."""
    return extract_commit_hash(str(config), None)


def reason(name: str, error: BaseException) -> str:
    """The first line that says something, with the way out where we know it."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if "safetensors" in str(error):
        first += " (only safetensors are read; convert others with transformers' save_pretrained)"
    if "trust_remote_code" in str(error):
        first = "it wants to run its own code; read that code, then give --trust-remote-code"
    if not Path(source_of(name)).is_dir():
        if "couldn't connect" in first or "offline" in first:
            first = "it is not on this machine, and the model hub is not asked or does not answer"
        first += f" {near_match(name, list(EMBEDDED))}(embedded: {EMBEDDED_NAMES})"
    return first


class quiet:
    """No progress bars or advice from transformers while a model is read or written."""

    def __enter__(self) -> None:
        self.verbosity = transformers.logging.get_verbosity()
        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        transformers.logging.set_verbosity(self.verbosity)
        transformers.utils.logging.enable_progress_bar()

"""Which files of a model are on this machine, is the hub asked for the others, and what is said where they are not?"""

from pathlib import Path

from huggingface_hub import constants
from transformers.utils.hub import cached_file, extract_commit_hash

from soft_prompts.common.errors import InputError, near_match
from soft_prompts.common.hub import hub_answers
from soft_prompts.models.sources.source import EMBEDDED_NAMES, Source
from soft_prompts.zoo import EMBEDDED
from soft_prompts.zoo.installed import INSTALLABLE


def is_local(source: Source, offline: bool) -> bool:
    """Whether only this machine is asked: by the user's wish, for a folder or file, or because the hub does not answer.

    One request tells; the hub's own client would try again for most of a minute.
    """
    return offline or constants.HF_HUB_OFFLINE or source.is_local or not hub_answers()


def config_path(source: Source, revision: str | None, offline: bool) -> Path:
    """A model's config.json on this machine, fetched where it may be; raises InputError in one line."""
    place = source.place
    try:
        found = cached_file(place, "config.json", revision=revision, local_files_only=is_local(source, offline))
    except (OSError, ValueError) as error:
        raise InputError(f"model {source.name!r} cannot be found: {reason(source, error)}") from error
    return Path(found or place)


def commit_of(config: Path) -> str | None:
    """The hub's commit that a cached config.json belongs to; None for a plain folder."""
    return extract_commit_hash(str(config), None)


def reason(source: Source, error: BaseException) -> str:
    """The first line that says something, with the way out where we know it."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if "safetensors" in str(error):
        first += " (only safetensors are read; convert others with transformers' save_pretrained)"
    if "trust_remote_code" in str(error):
        first = "it wants to run its own code; read that code, then give --trust-remote-code"
    if source.is_hub:
        if "couldn't connect" in first or "offline" in first:
            first = "it is not on this machine, and the model hub is not asked or does not answer"
        known = near_match(source.name, [*EMBEDDED, *INSTALLABLE])
        first += f" {known}(embedded: {EMBEDDED_NAMES}; installed by a command: {', '.join(INSTALLABLE)})"
    return first

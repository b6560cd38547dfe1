"""Which files of a model are on this machine, is the hub asked for the others, and what is said where they are not?"""

from pathlib import Path
from typing import Any

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from transformers.utils.hub import cached_file, extract_commit_hash

from soft_prompts.common.errors import InputError, first_line, near_match
from soft_prompts.common.hub import hub_answers
from soft_prompts.models.sources.catalogue import CARDS
from soft_prompts.models.sources.gguf import unpacked
from soft_prompts.models.sources.part import EMBEDDED_NAMES, Part
from soft_prompts.models.sources.source import ADAPTER, Source
from soft_prompts.zoo import EMBEDDED
from soft_prompts.zoo.installed import INSTALLABLE

TOKENIZER = (
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "additional_chat_templates/*"),
    *("vocab*", "merges.txt", "*.model", "*.tiktoken", "tekken.json", "dict.txt", "*.bpe", "config.json"),
)
OTHER_KIND = "transformers has no causal language model of its kind; give a causal language model"
ADAPTER_FILES = (ADAPTER, "adapter_model.*")


def is_local(part: Part, offline: bool) -> bool:
    """Whether only this machine is asked: by the user's wish, for a folder or file, or because the hub does not answer.

    One request tells; the hub's own client would try again for most of a minute.
    """
    return offline or constants.HF_HUB_OFFLINE or part.is_local or not hub_answers()


def place_of(part: Part) -> str:
    """What transformers is asked for: a folder or hub id; a GGUF file is unpacked for it."""
    return part.place if part.gguf is None else str(unpacked(part.gguf))


def asked_of(part: Part, offline: bool, trust_remote_code: bool = False) -> dict[str, Any]:
    """The other arguments of every from_pretrained of transformers."""
    asked: dict[str, Any] = {"revision": part.revision, "local_files_only": is_local(part, offline)}
    return asked | {"subfolder": part.subfolder, "trust_remote_code": trust_remote_code}


def config_path(source: Source, offline: bool) -> Path:
    """The base's config.json on this machine, fetched where it may be; raises InputError in one line."""
    part, place = source.base, place_of(source.base)
    asked = {"revision": part.revision, "subfolder": part.subfolder, "local_files_only": is_local(part, offline)}
    try:
        found = cached_file(place, "config.json", **asked)
    except (OSError, ValueError) as error:
        raise InputError(f"model {source.name!r} cannot be found: {reason(source, error)}") from error
    return Path(found or place)


def folder_of(part: Part, offline: bool, patterns: tuple[str, ...] = (*ADAPTER_FILES, *TOKENIZER)) -> Path:
    """A folder with the files of an adapter or tokenizer, fetched where it may be; raises InputError."""
    if part.is_local:
        return Path(place_of(part))
    wanted = [f"{part.subfolder}/{pattern}" if part.subfolder else pattern for pattern in patterns]
    asked: dict[str, Any] = {"revision": part.revision, "local_files_only": is_local(part, offline)}
    try:
        return Path(snapshot_download(part.place, allow_patterns=wanted, **asked), part.subfolder)
    except (OSError, ValueError, HfHubHTTPError) as error:
        first = first_line(error)
        if asked["local_files_only"]:
            first = "it is not on this machine, and the model hub is not asked or does not answer"
        raise InputError(f"{part.named!r} cannot be found: {first}") from error


def commit_of(config: Path) -> str | None:
    """The hub's commit that a cached config.json belongs to; None for a plain folder."""
    return extract_commit_hash(str(config), None)


def reason(source: Source, error: BaseException) -> str:
    """The first line that says something, with the way out where we know it."""
    first = str(error) if isinstance(error, InputError) else first_line(error)  # our own are one line, and whole
    if "safetensors" in str(error):
        first += " (only safetensors are read; convert others with transformers' save_pretrained)"
    if "trust_remote_code" in str(error):
        first = "it wants to run its own code; read that code, then give --trust-remote-code"
    if "backend tokenizer" in first:
        first = "it has no tokenizer; write a card with `base:` and `tokenizer:`, and give the card in its place"
    if "for this kind of AutoModel" in first:
        first = OTHER_KIND
    if "couldn't connect" in first or "offline" in first:
        first = "it is not on this machine, and the model hub is not asked or does not answer"
        if source.base.is_local and source.tokenizer is not None:
            return f"its tokenizer {source.tokenizer.named!r}: {first}"
    if not source.base.is_local:
        if source.named_by_adapter:
            return f"its base {source.base.named!r}: {first}; give a base that is here as BASE+{source.name}"
        if source.base.named != source.name:
            return f"its base {source.base.named!r}: {first}"
        known = near_match(source.name, [*EMBEDDED, *INSTALLABLE, *CARDS])
        first += f" {known}(embedded: {EMBEDDED_NAMES}; installed by a command: {', '.join(INSTALLABLE)})"
    return first

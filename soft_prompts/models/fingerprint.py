"""Which bytes is a model made of? Every file that transformers and peft read for it, found without loading any.

A print of today begins with `v2:` and covers every byte. Earlier ones, 16 bare digits over weights, config.json and the
tokenizer's vocabulary, of files above 100 MB over sixteen blocks, stand in stored results and snapshots; they are
compared with a print of their own kind.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

from soft_prompts.common.errors import InputError
from soft_prompts.common.files import WHOLE, fingerprint_files
from soft_prompts.models.loading.quiet import quiet
from soft_prompts.models.sources.adapters import adapter_files, adapter_folders, tokenizer_of
from soft_prompts.models.sources.gguf import sha256_of
from soft_prompts.models.sources.hub import TOKENIZER, asked_of, config_path, folder_of, is_local, reason
from soft_prompts.models.sources.source import ADAPTER, Source, find_source

NOW = "v2:"
FIRST = ""  # what a print of the first version begins with: folders of fine-tuned models are named by it
ALWAYS = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
    "tokenizer*.json",  # a tokenizer's newer versions have names of their own
)
SLOW_TOKENIZER = ("vocab*.json", "vocab.*", "merges.txt", "*.model", "*.tiktoken", "tekken.json", "dict.txt", "*.bpe")
SLOW_TOKENIZER_V1 = ("vocab.*", "merges.txt", "*.model")


def find_fingerprint(
    name: str,
    *,
    revision: str | None = None,
    offline: bool = False,
    trust_remote_code: bool = False,
    like: str | None = None,
) -> str:
    """Content identity of weights, configuration, tokenizer, adapters and, where it is trusted, the model's own code.

    `like` is a stored print that this one is to be compared with: it has the same form. Raises InputError.
    """
    source = find_source(name, revision)
    base = _print_of_base(source, offline, trust_remote_code, like)
    others = _others(source, offline)
    if not others:
        return base
    return NOW + hashlib.sha256(";".join([f"base:{base}", *others]).encode()).hexdigest()[:16]


def _print_of_base(source: Source, offline: bool, trust_remote_code: bool, like: str | None) -> str:
    """Of a GGUF file by its own bytes, else of the files of a folder."""
    if source.base.gguf is not None:
        return NOW + hashlib.sha256(f"gguf:{sha256_of(source.base.gguf)};".encode()).hexdigest()[:16]
    folder = config_path(source, offline).parent
    if not source.base.is_local and not _is_whole(folder):
        _fetch(source, offline, trust_remote_code)
    if like is not None and not like.startswith(NOW):
        return fingerprint_files(_files_of_version_1(folder))
    return NOW + _print_of_files(folder, files_in_use(folder, trust_remote_code))


def _print_of_files(folder: Path, files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder)}:{_content(path)};".encode())
    return digest.hexdigest()[:16]


def _others(source: Source, offline: bool) -> list[str]:
    """What is put onto the base or takes the place of its tokenizer, in order, and what a card changes."""
    folders = adapter_folders(source, offline)
    found = [f"adapter:{_print_of_files(folder, adapter_files(folder))}" for folder in folders]
    if (part := tokenizer_of(source, offline)) != source.base:
        folder = folder_of(part, offline, TOKENIZER)
        found.append(f"tokenizer:{_print_of_files(folder, _tokenizer_files(folder))}")
    return found + ([f"card:{source.card.text_print}"] if source.card and source.card.text_print else [])


def _is_whole(folder: Path) -> bool:
    """Whether the weights and a tokenizer are there; a download that was cut short leaves a part in the cache."""
    has_tokenizer = any(path for pattern in ("tokenizer*.json", *SLOW_TOKENIZER) for path in folder.glob(pattern))
    return has_tokenizer and all(path.is_file() for path in _weights(folder))


def _fetch(source: Source, offline: bool, trust_remote_code: bool) -> None:
    """Bring every file of a hub model here that loading it would, no more and no fewer; raises InputError."""
    if is_local(source.base, offline):
        raise InputError(
            f"model {source.name!r} is not wholly on this machine, and the model hub is not asked or does not answer; "
            "start again where it does, without --offline"
        )
    place, asked = source.base.place, asked_of(source.base, offline, trust_remote_code) | {"local_files_only": False}
    with quiet():
        try:
            AutoModelForCausalLM.from_pretrained(place, use_safetensors=True, device_map="meta", **asked)  # unread
            AutoTokenizer.from_pretrained(place, **asked)
        except (OSError, ValueError, RuntimeError, KeyError, ImportError, TypeError) as error:
            raise InputError(f"model {source.name!r} cannot be fetched: {reason(source, error)}") from error


def _content(path: Path) -> str:
    """Print of a whole file; of a large one found once a process, as long as it stays the same."""
    found = path.stat()
    if found.st_size <= WHOLE:
        return fingerprint_files([path])
    return _large_content(path, (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


@lru_cache(256)
def _large_content(path: Path, stamp: tuple[int, ...]) -> str:  # the stamp is part of the key
    return fingerprint_files([path], whole=True)


def files_in_use(folder: Path, trust_remote_code: bool = False) -> list[Path]:
    """What is read of a model's folder; other tools leave files of their own in a shared cache."""
    code = set(folder.glob("**/*.py")) if trust_remote_code and _has_own_code(folder) else set[Path]()
    return sorted(
        path for path in {*_tokenizer_files(folder)} | code | _weights(folder) | _adapter(folder) if path.is_file()
    )


def _tokenizer_files(folder: Path) -> list[Path]:
    """What a tokenizer is read from, and the configurations beside it."""
    patterns = ALWAYS if (folder / "tokenizer.json").exists() else (*ALWAYS, *SLOW_TOKENIZER)
    return sorted(path for path in {path for pattern in patterns for path in folder.glob(pattern)} if path.is_file())


def _weights(folder: Path) -> set[Path]:
    """In transformers' own order: the name in config.json, one whole file, and only then an index with its shards."""
    named = _read(folder / "config.json").get("transformers_weights")
    index = folder / (named or "model.safetensors.index.json")
    whole = folder / "model.safetensors"
    if named and not named.endswith(".index.json"):
        return {folder / named}
    if whole.exists() and not named:
        return {whole}
    return {index, *(folder / shard for shard in _read(index).get("weight_map", {}).values())}


def _adapter(folder: Path) -> set[Path]:
    """An adapter beside the weights, which transformers puts onto them."""
    if not (folder / ADAPTER).is_file():
        return set()
    return set(adapter_files(folder))


def _has_own_code(folder: Path) -> bool:
    return any("auto_map" in _read(folder / file) for file in ("config.json", "tokenizer_config.json"))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} is unusable: it is no JSON") from error
    return values if isinstance(values, dict) else {}


def _files_of_version_1(folder: Path) -> list[Path]:
    """What a print without a version was made of."""
    index = folder / "model.safetensors.index.json"
    shards = set(json.loads(index.read_text())["weight_map"].values()) if index.exists() else {"model.safetensors"}
    fast = folder / "tokenizer.json"
    tokenizer = [fast] if fast.exists() else [path for pattern in SLOW_TOKENIZER_V1 for path in folder.glob(pattern)]
    named = {folder / "config.json", *(folder / name for name in shards), *tokenizer}
    return sorted(path for path in named if path.exists())

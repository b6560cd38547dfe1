"""How does a GGUF file become a model? Its blocks are unpacked once, by transformers' own reader, into a folder of
float32 safetensors with the file's tokenizer and chat template; what loads is that folder, and a second load takes no
longer than that of any other folder.

The folder lies in the cache folder, named by the contents of the file and the versions of what unpacked it.
"""

import hashlib
import io
import json
import shutil
import struct
from collections import Counter
from contextlib import redirect_stderr
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import transformers
from filelock import FileLock
from transformers import AutoModelForCausalLM, AutoTokenizer

from soft_prompts.common.cache import INSTEAD, cache_folder
from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError, first_line
from soft_prompts.common.files import sync, writing_to
from soft_prompts.models.loading.quiet import quiet

FACTS = "unpacked.json"  # written last: a folder that has it is whole
FORM = 1  # of the folder; another one is unpacked anew


def unpacked(file: Path) -> Path:
    """The folder that the file's weights, configuration and tokenizer were unpacked into, now if they were not before.

    Raises InputError where the file cannot be read, OutOfRoom where the disk is full.
    """
    folder = _folder_of(file)
    if (folder / FACTS).is_file():
        return folder
    with writing_to(folder, INSTEAD):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):  # several processes of one command ask at once
            if not (folder / FACTS).is_file():
                _unpack(file, folder)
    return folder


def quantisation_of(file: Path) -> str:
    """The type of most of the file's weights, as `Q4_1`."""
    return json.loads((unpacked(file) / FACTS).read_text())["quantisation"]


def sha256_of(file: Path) -> str:
    """Of the whole file, found once a process as long as it stays the same; raises InputError."""
    try:
        found = file.stat()
        return _sha256(file, (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); check it and its permissions") from error


@lru_cache(64)
def _sha256(file: Path, stamp: tuple[int, ...]) -> str:  # the stamp is part of the key
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _folder_of(file: Path) -> Path:
    made_by = f"{FORM} {transformers.__version__} {_gguf_version()}"
    key = hashlib.sha256(f"{sha256_of(file)} {made_by}".encode()).hexdigest()[:24]
    return cache_folder() / "unpacked" / key


def _gguf_version() -> str:
    try:
        return version("gguf")
    except PackageNotFoundError:
        raise InputError("a GGUF file needs the package gguf; pip install 'soft_prompts[gguf]', or gguf") from None


def _unpack(file: Path, folder: Path) -> None:
    """The whole folder at once, written beside its place."""
    say(f"unpacking {file.name} into {folder}: once, some seconds for every 100 million weights, 4 bytes a weight")
    temporary = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        _read_into(file, temporary)
        for path in (*temporary.iterdir(), temporary):
            sync(path)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read_into(file: Path, folder: Path) -> None:
    """Raises InputError for a file that is cut short, or none of this kind: its reader fails in a dozen ways."""
    try:
        _write(file, folder)
    except (ValueError, KeyError, IndexError, TypeError, struct.error, UnicodeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} cannot be read as GGUF ({first_line(error)}); is it whole? get it again") from error


def _write(file: Path, folder: Path) -> None:
    facts = {"file": file.name, "sha256": sha256_of(file), "quantisation": _commonest_type(file)}
    facts |= {"transformers": transformers.__version__, "gguf": _gguf_version()}
    with quiet():
        model = dequantised(file)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
    _drop_tokens_beyond(folder, len(model.get_input_embeddings().weight))
    (folder / FACTS).write_text(json.dumps(facts, indent=2) + "\n")


def _drop_tokens_beyond(folder: Path, rows: int) -> None:
    """Take out tokens that the reader adds of its own accord, as an end of text: the file has no embedding of them."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    beyond = {token["content"] for token in tokenizer["added_tokens"] if token["id"] >= rows}
    if not beyond:
        return
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["content"] not in beyond]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    named = {key: value for key, value in config.items() if not (isinstance(value, str) and value in beyond)}
    (folder / "tokenizer_config.json").write_text(json.dumps(named, indent=2) + "\n")


def dequantised(file: Path) -> Any:
    """The model as transformers unpacks it, in float32, in the form of a model that was never quantised."""
    loader: Any = AutoModelForCausalLM  # its type does not say that it gives a pair
    with quiet(), redirect_stderr(io.StringIO()):  # its reader has a bar that no switch turns off
        loaded, report = loader.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32, output_loading_info=True
        )
    if missing := sorted(report["missing_keys"]):
        raise InputError(f"{file} lacks weights ({', '.join(missing[:3])}); they would be random numbers")
    loaded.hf_quantizer = None  # nothing of it is quantised any more, and it may be saved
    del loaded.config.quantization_config
    return loaded


def _commonest_type(file: Path) -> str:
    from gguf import GGUFReader  # an extra

    weights = Counter[str]()
    for tensor in GGUFReader(file).tensors:
        weights[tensor.tensor_type.name] += int(tensor.n_elements)
    return weights.most_common(1)[0][0]

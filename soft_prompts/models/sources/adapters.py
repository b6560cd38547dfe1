"""Which folders do a model's adapters and tokenizer come from, and do the adapters fit the base?"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from safetensors import SafetensorError, safe_open

from soft_prompts.common.errors import InputError
from soft_prompts.models.sources.hub import folder_of
from soft_prompts.models.sources.part import Part
from soft_prompts.models.sources.source import ADAPTER, Source, read_adapter

WEIGHTS, PICKLE = "adapter_model.safetensors", "adapter_model.bin"
BRINGS_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
ENDS = ("embed_tokens", "embed_in", "wte", "lm_head", "embed_out")  # what models call their embedding and head
EMBEDDINGS = tuple(f"{name}.weight" for name in ENDS)
OWN = ("lora_", "hada_", "lokr_", "vera_", "ia3_", "oft_", "boft_", "base_layer")  # what adapters put onto a layer
SOFT = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "CARTRIDGE", "ADAPTION_PROMPT")


def adapter_folders(source: Source, offline: bool) -> list[Path]:
    """Of every adapter the folder on this machine, fetched where it may be.

    Raises InputError for one that cannot be put onto the base, or says that it belongs to another.
    """
    return [_checked(source, part, folder_of(part, offline)) for part in source.adapters]


def adapter_files(folder: Path) -> list[Path]:
    """What peft reads of an adapter: the first weights that it finds."""
    found = next((folder / name for name in (WEIGHTS, PICKLE) if (folder / name).is_file()), folder / ADAPTER)
    return [folder / ADAPTER, found]


def tokenizer_of(source: Source, offline: bool) -> Part:
    """Where the tokenizer comes from: from where the card says, the last adapter that brings one, or the base."""
    if source.tokenizer is not None:
        return source.tokenizer
    for part in reversed(source.adapters):
        folder = folder_of(part, offline)
        if all((folder / name).is_file() for name in BRINGS_TOKENIZER):
            return Part(part.named, str(folder))
    return source.base


def rows_of(folder: Path) -> int:
    """Rows of the embeddings that an adapter brings along, which training added tokens to; 0 where it brings none."""
    try:
        return max(_rows(folder / WEIGHTS), default=0)
    except SafetensorError as error:
        raise InputError(f"{folder / WEIGHTS} is unusable: {error}; get it again") from error


def unties(folder: Path) -> bool:
    """Does an adapter change the embedding or the head alone? A base that has one tensor for both has two behind it."""
    settings = read_adapter(folder)
    if settings.get("ensure_weight_tying"):
        return False
    if any(name.rpartition(".")[2] in ENDS for name in settings.get("modules_to_save") or ()):
        return True
    with safe_open(folder / WEIGHTS, "pt") as file:
        places = [name.split(".") for name in file.keys()]  # noqa: SIM118
    return any(part in ENDS and after.startswith(OWN) for place in places for part, after in pairwise(place))


def _rows(weights: Path) -> Iterator[int]:
    with safe_open(weights, "pt") as file:
        whole = [name for name in file.keys() if name.endswith(EMBEDDINGS)]  # noqa: SIM118
        yield from (file.get_slice(name).get_shape()[0] for name in whole)


def _checked(source: Source, part: Part, folder: Path) -> Path:
    if not (folder / ADAPTER).is_file():
        raise InputError(f"{part.named!r} is no adapter: it has no {ADAPTER}; give BASE+ADAPTER")
    if not (folder / WEIGHTS).is_file():  # peft would ask the hub for them, by the folder's name
        pickled = f", only {PICKLE}, a pickle, which can run code" if (folder / PICKLE).is_file() else ""
        raise InputError(
            f"adapter {part.named!r} has no {WEIGHTS}{pickled}; give the whole adapter, as peft's save_pretrained "
            "writes it"
        )
    config = read_adapter(folder)
    if config.get("peft_type") in SOFT:
        raise InputError(
            f"adapter {part.named!r} is a soft prompt ({config['peft_type']}), which changes no weight; measure it as "
            "a prompt, not as a model"
        )
    named = config.get("base_model_name_or_path")
    if named and not source.named_by_adapter and not _may_be(source, named) and not _any_base(source):
        raise InputError(
            f"adapter {part.named!r} was made for {named}, and {source.base.named} is given; give its own base, or a "
            f"card that says `base: {source.base.named}`, `adapters: [{part.named}]` and `any_base: true`"
        )
    return folder


def _any_base(source: Source) -> bool:
    return source.card is not None and source.card.any_base


def _may_be(source: Source, named: str) -> bool:
    """Is the base that an adapter names the one that is given: the same name, the same folder, or a copy under another
    owner or in another folder that kept its last name?"""
    given = source.base
    if Path(named).is_dir() and Path(given.place).is_dir() and Path(named).resolve() == Path(given.place).resolve():
        return True
    last = {Path(name).name.lower() for name in (given.named, given.place)}
    return Path(named.rstrip("/")).name.lower() in last

"""What does a name of a model stand for?

| given as | what it is |
|---|---|
| `tiny-chess` | embedded in the package |
| `smollm2-135m` | installed by `soft-prompts models install` |
| `FOLDER`, `owner/name` | what transformers loads, on this machine or from the hub |
| `FILE.gguf` | unpacked once (`gguf.py`) |
"""

from dataclasses import dataclass
from pathlib import Path

from soft_prompts.common.errors import InputError
from soft_prompts.models.sources.gguf import unpacked
from soft_prompts.zoo import EMBEDDED
from soft_prompts.zoo.installed import INSTALLABLE, installed_file

EMBEDDED_NAMES = ", ".join(EMBEDDED)
ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class Source:
    """Where the parts of a model are; nothing is fetched, unpacked or loaded yet."""

    name: str
    """As it was asked for."""
    asked: str
    """A folder or hub id; of a GGUF file the file."""
    gguf: Path | None = None

    @property
    def place(self) -> str:
        """What transformers is asked for; a GGUF file is unpacked for it."""
        return self.asked if self.gguf is None else str(unpacked(self.gguf))

    @property
    def is_local(self) -> bool:
        """Is every part on this machine?"""
        return self.gguf is not None or Path(self.asked).is_dir()

    @property
    def is_hub(self) -> bool:
        return not self.is_local


def find_source(name: str) -> Source:
    """What the name stands for; raises InputError where it can stand for nothing."""
    if name in EMBEDDED:
        return Source(name, str(EMBEDDED[name]))
    if name in INSTALLABLE:
        file = installed_file(name)
        return Source(name, str(file), file)
    if Path(name).is_dir():
        return _folder(name)
    if name.lower().endswith(".gguf"):
        return _gguf(name)
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise InputError(f"model {name!r} is no folder; give an embedded name ({EMBEDDED_NAMES}), a folder or a hub id")
    return Source(name, name)


def _folder(name: str) -> Source:
    if (Path(name) / ADAPTER).is_file() and not (Path(name) / "config.json").is_file():
        raise InputError(
            f"model {name!r} is an adapter without its base model; merge the two (peft's merge_and_unload, then "
            "save_pretrained) and give the merged folder"
        )
    return Source(name, name)


def _gguf(name: str) -> Source:
    file = Path(name)
    if not file.is_file():
        raise InputError(f"model {name!r} is no file; give a GGUF file that is there")
    return Source(name, str(file.absolute()), file.absolute())

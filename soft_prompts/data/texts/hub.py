"""How is a hub data set read without being downloaded first?

Rows are streamed by `datasets`, which runs no script of a data set; the place behind every row is kept, so that a run
goes on from there. RedPajama-V2 has a script alone: its JSON files are named here instead. The Pile is parquet files.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from huggingface_hub import constants

from soft_prompts.common.errors import InputError, first_line
from soft_prompts.common.hub import hub_answers
from soft_prompts.data.ranked import Bounds
from soft_prompts.data.texts.documents import FIELDS, Position, Record, document_of

if TYPE_CHECKING:
    from datasets import IterableDataset

HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+(:[\w.-]+)?")


class Files(NamedTuple):
    """Files of a data set that cannot be loaded by its name alone."""

    builder: str
    pattern: str


# Each folder below holds one part of a crawl; head and middle are the two better thirds of the English pages.
FILES = {
    "togethercomputer/RedPajama-Data-V2": Files("json", "sample/documents/*/*/en_*.json.gz"),
    "EleutherAI/the_pile_deduplicated": Files("parquet", "data/train-*.parquet"),
}


@dataclass(frozen=True)
class HubReader:
    """Rows of a hub data set, `owner/name` or `owner/name:config`; its part `train` if it has one, else the first."""

    name: str

    scanned = Bounds(100_000, 1 << 28)  # every row comes over the network, for each process again
    buffer = Bounds(1_000_000, 1 << 24)  # the first step waits for it
    sources = ()

    def fingerprint(self) -> str:
        """Of the files that would be read, as the hub identifies them."""
        with self._in_one_line():
            builder = self._builder()
            files = builder.config.data_files or {}
            known = [*((str(part), list(map(str, names))) for part, names in files.items()), builder.config.name]
            origin = getattr(files, "origin_metadata", None) or [
                metadata for names in files.values() for metadata in names.origin_metadata
            ]
            return sha256(repr((self.name, known, origin)).encode()).hexdigest()[:16]

    def records(self, position: Position | None) -> Iterator[Record]:
        with self._in_one_line():
            builder = self._builder()
            parts = builder.as_streaming_dataset()
            rows: IterableDataset = parts["train" if "train" in parts else next(iter(parts))]  # pyright: ignore
            if position is not None:
                rows.load_state_dict(position)
            field = ""
            for number, row in enumerate(rows):
                field = field or self._field(row)
                content = row.get(field)
                text = content if isinstance(content, str) and content.strip() else None
                document = document_of(text) if text else None
                where = f"row {number + 1}" + (" behind the place of resumption" if position else "")
                yield Record(document, rows.state_dict(), "" if text else "no text", where)

    def _builder(self) -> Any:
        """What `datasets` reads the data set with; a local folder takes the same way."""
        self._refuse_unreachable()
        from datasets import load_dataset_builder  # takes a second, and most runs never need it

        name, _, config = self.name.partition(":")
        if name in FILES:
            files = FILES[name]
            where = f"hf://datasets/{name}/{files.pattern}"
            return load_dataset_builder(files.builder, data_files={"train": where})
        return load_dataset_builder(name, config or None)

    def _refuse_unreachable(self) -> None:
        """At once: the hub's own client would try again for minutes."""
        if not Path(self.name).exists() and (constants.HF_HUB_OFFLINE or not hub_answers()):
            raise InputError(
                f"data set {self.name} would be streamed, but the hub is not asked or does not answer; go online, or "
                "download it and give the folder"
            )

    def _field(self, row: dict[str, Any]) -> str:
        field = next((name for name in FIELDS if name in row), None)
        if field is None:
            columns = ", ".join(row)[:200]
            raise InputError(f"data set {self.name} has no field 'text' but {columns}; give one that has it")
        return field

    @contextmanager
    def _in_one_line(self) -> Iterator[None]:
        """Whatever goes wrong inside `datasets`, said in one line."""
        try:
            yield
        except (InputError, GeneratorExit):
            raise
        except Exception as error:  # it passes on the errors of many libraries
            raise InputError(f"data set {self.name} cannot be read: {first_line(error)}") from error

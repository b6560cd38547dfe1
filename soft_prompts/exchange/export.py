"""How is a trained prompt written for PEFT, vLLM or plain transformers? Rows, a recipe, and what they were checked by.

A form is kept only if its files, read again, give our own logits.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save

from soft_prompts.common.errors import InputError, UsageError, near_match
from soft_prompts.common.files import write_atomically, writing_to
from soft_prompts.exchange.agreement import (
    Agreement,
    agreement,
    of_adapter,
    of_embeddings,
    of_rows,
    some_texts,
)
from soft_prompts.exchange.peft_adapter import write_adapter
from soft_prompts.exchange.places import find_snapshot, prefix_of, refuse_full
from soft_prompts.exchange.recipes import FORMS, Form, recipe
from soft_prompts.exchange.rows import Rows, rows_of, scales_embeddings, text_ids
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.loading.quiet import quiet
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.sources.gguf import unpacked
from soft_prompts.models.sources.part import is_gguf
from soft_prompts.prompts.snapshot import Snapshot, load_snapshot, refuse_other_model

FACTS = "origin.json"  # what the form itself has no place for; `import` reads it
ANY_TEXT = "The"  # in a recipe, where none is given
WHOLE = "model"  # folder of a model that no other program finds under one name


class Exported(NamedTuple):
    """What was written."""

    folder: Path
    files: list[Path]
    agreement: Agreement
    """Of the written form with our own forward."""
    remarks: list[str]
    """What whoever uses it has to know, a line each."""
    recipe: str
    """Python that uses it without this package."""


class Wanted(NamedTuple):
    """What is asked for."""

    form: Form
    folder: Path
    given: Mapping[str, str]
    """Conditions by name, as a person writes them."""
    texts: Sequence[str]


def export_prompt(
    snapshot: str | Path,
    to: str,
    folder: str | Path,
    conditions: Mapping[str, object] | None = None,
    texts: Sequence[str] = (),
) -> Exported:
    """Write the prompt of a snapshot, or of the run that a result names, into an empty or new folder.

    `to` is peft, vllm or embeds; `conditions` are what a conditional prompt is asked under; `texts` are checked, and
    for vllm written with the prompt in front. Raises UsageError or InputError in one line, and then leaves no file.
    """
    form: Form | None = next((form for form in FORMS if form == to), None)
    if form is None:
        raise UsageError(f"to is {to!r}; {near_match(to, list(FORMS))}give one of {', '.join(FORMS)}")
    found = find_snapshot(Path(snapshot))
    trained = load_snapshot(found)
    frozen = load_frozen_model(trained.model, revision=trained.revision, dtype=trained.dtype)
    given = {name: str(value) for name, value in (conditions or {}).items()}
    return export_loaded(found, trained, frozen, Wanted(form, Path(folder), given, texts))


def export_loaded(
    found: Path, trained: Snapshot, frozen: FrozenModel, wanted: Wanted, allow_mismatch: bool = False
) -> Exported:
    """The same of a snapshot, read from `found`, and a model that are loaded."""
    refuse_other_model(trained, frozen, allow_mismatch)
    refuse_full(wanted.folder)
    rows = rows_of(trained, frozen, wanted.given)
    if rows.prompt.shape[0] == 0:
        raise InputError(f"{found} is a prompt of 0 tokens; there is nothing to export")
    if wanted.form == "vllm" and scales_embeddings(frozen):
        raise InputError(
            f"{frozen.name} multiplies its embeddings, and vLLM does so by itself to whatever it is given; give --to "
            "peft or embeds"
        )
    texts = [text_ids(frozen, text, rows) for text in wanted.texts]
    written = _Writing(trained, frozen, wanted, rows, texts)
    remarks = _remarks(found, trained, frozen, rows, wanted.form)
    files: list[Path] = []
    try:
        files += written.form()
        apart = written.agrees()
        apart.refuse_more(wanted.folder)
        code = written.recipe()
        files += [_text(wanted.folder / "recipe.py", code), _text(wanted.folder / FACTS, written.facts())]
    except BaseException:
        _empty(wanted.folder)  # as it was before
        raise
    return Exported(wanted.folder, files, apart, remarks, code)


def _empty(folder: Path) -> None:
    for path in folder.glob("*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


class _Writing(NamedTuple):
    """One form on its way to the disk."""

    trained: Snapshot
    frozen: FrozenModel
    wanted: Wanted
    rows: Rows
    texts: list[list[int]]

    def form(self) -> list[Path]:
        """The tensors, as the form wants them."""
        folder = self.wanted.folder
        whole = [self._write_whole()] if is_put_together(self.frozen) else []
        if self.wanted.form == "peft":
            return [*whole, *write_adapter(folder, self.rows, self.base, self.revision)]
        files = {"prompt.safetensors": {"prompt": self.rows.vectors}}
        if self.wanted.form == "vllm" and self.texts:
            files = {
                f"prompt_embeds-{number:04}.safetensors": {"prompt_embeds": self._whole(ids)}
                for number, ids in enumerate(self.texts)
            }
        for name, tensors in files.items():
            write_atomically(folder / name, save(tensors))
        return [*whole, *(folder / name for name in files)]

    @property
    def base(self) -> str:
        """What another program is told to load."""
        return str((self.wanted.folder / WHOLE).resolve()) if is_put_together(self.frozen) else base_of(self.frozen)

    @property
    def revision(self) -> str | None:
        """Of a hub's model."""
        return None if Path(self.base).is_dir() else self.trained.revision

    def _write_whole(self) -> Path:
        """The model itself: base, adapters and what a card sets, as transformers loads it."""
        folder = self.wanted.folder / WHOLE
        if getattr(self.frozen.model.config, "quantization_config", None) is not None:
            raise InputError(
                f"{self.frozen.name} keeps its adapters apart from a quantised base, so there is no model that another "
                "program could load"
            )
        with writing_to(folder), quiet():
            self.frozen.model.save_pretrained(folder)
            self.frozen.tokenizer.save_pretrained(folder)
        return folder

    @torch.no_grad()
    def _whole(self, ids: list[int]) -> torch.Tensor:
        """[S, H] prompt and text."""
        text = self.frozen.embed(torch.tensor([ids], device=self.frozen.device))[0].float().cpu()
        return torch.cat([self.rows.vectors, text]).contiguous()

    def agrees(self) -> Agreement:
        """Of what stands on the disk, with our forward."""
        folder, frozen = self.wanted.folder, self.frozen
        theirs = frozen
        if is_put_together(frozen):
            theirs = load_frozen_model(self.base, dtype=frozen.dtype, device=frozen.device, offline=True)
        if self.wanted.form == "peft":
            return agreement(frozen, self.rows, self.texts or some_texts(frozen), of_adapter(theirs, folder))
        if self.wanted.form == "vllm" and self.texts:
            whole = [load_file(file)["prompt_embeds"] for file in sorted(folder.glob("prompt_embeds-*"))]
            by_ids = {tuple(ids): embeds for ids, embeds in zip(self.texts, whole, strict=True)}
            return agreement(frozen, self.rows, self.texts, lambda ids: of_embeddings(theirs, by_ids[tuple(ids)]))
        asked = of_rows(theirs, folder / "prompt.safetensors")
        return agreement(frozen, self.rows, self.texts or some_texts(frozen), asked)

    def recipe(self) -> str:
        count, width = self.rows.vectors.shape
        named = {"model": self.base, "revision": self.revision, "count": count, "width": width}
        named |= {"text": next(iter(self.wanted.texts), ANY_TEXT), "special": self.rows.special}
        named |= {"begin": self.frozen.tokenizer.decode(self.rows.begin) if self.rows.begin else ""}
        return recipe(self.wanted.form, bool(self.texts), named)

    def facts(self) -> str:
        """What `import` needs to make the same prompt of it again."""
        trained = self.trained
        facts = {
            "form": self.wanted.form,
            "begin_tokens": len(self.rows.begin),
            "rows_sha256": digest(self.rows.vectors),
        }
        facts |= {"model": trained.model, "revision": trained.revision, "fingerprint": trained.fingerprint}
        facts |= {"position": trained.position, "step": trained.step, "conditions": dict(self.wanted.given)}
        facts |= {"base": self.base}
        return json.dumps(facts, indent=1) + "\n"


def digest(rows: torch.Tensor) -> str:
    """sha256 of float32 rows."""
    return hashlib.sha256(rows.contiguous().numpy().tobytes()).hexdigest()


def base_of(frozen: FrozenModel) -> str:
    """What another program is told to load: a folder by its whole path, a hub's model by its name, a GGUF file by the
    folder that it was unpacked into."""
    source = frozen.source or frozen.name
    if is_gguf(source) and Path(source).is_file():
        return str(unpacked(Path(source)).resolve())
    return str(Path(source).resolve()) if Path(source).is_dir() else source


def is_put_together(frozen: FrozenModel) -> bool:
    """Is it more than one folder, file or repository: adapters, a card, a repository's subfolder?"""
    source = frozen.source or frozen.name
    is_here = Path(source).is_dir() or (is_gguf(source) and Path(source).is_file())
    return not is_here and (frozen.card is not None or "+" in source or ":" in source)


def _text(path: Path, text: str) -> Path:
    write_atomically(path, text.encode())
    return path


def _remarks(found: Path, trained: Snapshot, frozen: FrozenModel, rows: Rows, form: Form) -> list[str]:
    remarks = []
    if rows.begin:
        token = frozen.tokenizer.decode(rows.begin)
        remarks.append(
            f"the tokenizer puts {token} in front and the prompt stands behind it, so {token} is the first row: give "
            "texts without special tokens (add_special_tokens=False), as the recipe does"
        )
    if trained.position == "random":
        remarks.append(
            "the prompt was trained to stand anywhere in a text; here it stands in front of it"
            + (", the only place that PEFT knows" if form == "peft" else "")
        )
    if prefix := prefix_of(found):
        remarks.append(f"its run's texts began with {prefix!r}, behind the prompt: give it with each text")
    return remarks

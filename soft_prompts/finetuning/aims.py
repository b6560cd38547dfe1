"""What is a model trained towards: likelier documents, less likely ones, or another model's word, and what holds it?

Unlearning is gradient ascent; what holds the model is KL(before || now) on anchor documents. Yao et al., arXiv
2310.10683. Distillation is KL(teacher || model) at every scored token. Hinton et al., arXiv 1503.02531.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from soft_prompts.common.errors import InputError
from soft_prompts.common.files import fingerprint_files
from soft_prompts.engine.batch import Batch
from soft_prompts.finetuning.documents import Document, document_batch, read_documents
from soft_prompts.models.fingerprint import find_fingerprint
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.lesson import LEARN, Aim, Lesson
from soft_prompts.tasks.task import UNSCORED


class Anchor(NamedTuple):
    """Documents of which a model keeps to say what it said."""

    before: FrozenModel
    documents: Sequence[Document]
    lesson: Lesson

    def batch(self, step: int) -> Batch:
        """Another one each step: a pure function of (seed, step)."""
        return document_batch(self.lesson, self.documents, step, self.before)


class Towards(NamedTuple):
    """What a step lowers."""

    kind: str = "learn"
    teacher: PreTrainedModel | None = None
    anchor: Anchor | None = None
    known: int | None = None
    """Tokens that pupil and teacher share, the first of their logits; rows beyond them are padding. None: all."""

    def nats(self, logits: Float[Tensor, "N V"], batch: Batch, scored: Bool[Tensor, "B Q"]) -> Tensor:
        """Summed over the scored tokens of a batch; of unlearning negative."""
        if self.teacher is not None:
            with torch.no_grad():
                theirs = self.teacher(input_ids=batch.input_ids, use_cache=False).logits[:, :-1][scored].float()
            return divergence(theirs[:, : self.known], logits[:, : self.known])
        nats = nn.functional.cross_entropy(logits, batch.labels[:, 1:][scored], reduction="sum")
        return -nats if self.kind == "unlearn" else nats

    def hold(self, model: PreTrainedModel, step: int) -> Tensor:
        """Adds the anchor's gradient; returns its nats a token, weighted, and 0 where there is none."""
        if self.anchor is None:
            return torch.zeros((), device=model.device)
        batch = self.anchor.batch(step)
        scored = batch.labels[:, 1:] != UNSCORED
        with torch.no_grad():
            before = self.anchor.before.model(input_ids=batch.input_ids, use_cache=False).logits[:, :-1][scored]
        now = model(input_ids=batch.input_ids, use_cache=False).logits[:, :-1][scored]
        held = self.anchor.lesson.aim.anchor_weight * divergence(before.float(), now.float()) / scored.sum()
        held.backward()
        return held.detach()


LIKELIER = Towards()


def divergence(theirs: Float[Tensor, "N V"], own: Float[Tensor, "N V"]) -> Float[Tensor, ""]:
    """KL(theirs || own) of logits, summed over rows, in nats."""
    return nn.functional.kl_div(own.log_softmax(dim=-1), theirs.log_softmax(dim=-1), reduction="sum", log_target=True)


def find_towards(lesson: Lesson, frozen: FrozenModel, most: int) -> Towards:
    """What a lesson's aim asks for; raises InputError for a teacher of another vocabulary."""
    aim = lesson.aim
    if aim == LEARN:
        return LIKELIER
    where: dict[str, Any] = {"dtype": "float32", "device": frozen.device}
    teacher = None if aim.teacher is None else load_frozen_model(aim.teacher, **where)
    if teacher is not None and teacher.tokenizer.get_vocab() != frozen.tokenizer.get_vocab():
        raise InputError(f"teacher {teacher.name} has another tokenizer than {frozen.name}; give one with the same")
    anchor = None
    if aim.anchor is not None:
        documents = read_documents(aim.anchor, frozen.tokenizer, lesson.completion_only, most)
        anchor = Anchor(load_frozen_model(frozen.name, revision=frozen.revision, **where), documents, lesson)
    if teacher is None:
        return Towards(aim.kind, None, anchor)
    known = min(
        max(frozen.tokenizer.get_vocab().values()) + 1, *(len(one.embedding.weight) for one in (frozen, teacher))
    )
    return Towards(aim.kind, teacher.model, anchor, known)


def aim_identity(aim: Aim, offline: bool) -> dict[str, Any]:
    """What a model's folder is named by, beside the documents; nothing where they are just learnt."""
    if aim == LEARN:
        return {}
    known: dict[str, Any] = {"aim": aim.kind, "anchor_weight": aim.anchor_weight}
    if aim.teacher is not None:
        known["teacher_fingerprint"] = find_fingerprint(aim.teacher, offline=offline)
    if aim.anchor is not None:
        known["anchor_fingerprint"] = fingerprint_files([aim.anchor])
    return known

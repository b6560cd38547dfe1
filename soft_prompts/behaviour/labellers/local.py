"""A local causal language model as a labeller: it writes proposals, and its odds of yes against no are the score."""

from collections.abc import Sequence

import numpy as np

from soft_prompts.behaviour.labellers.questions import NO, YES, predicates_in, propose_question, score_question
from soft_prompts.behaviour.likelihood import no_prompt
from soft_prompts.engine.beginnings import nats_of
from soft_prompts.engine.generation import generate
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.room import refuse_beyond
from soft_prompts.models.tokenizer import encode, text_start
from soft_prompts.tasks.task import UNSCORED, Example, Query

TOKENS = 12  # of a proposal
BATCH = 16


class ModelLabeller:
    """Any causal model; one with a chat template is asked in a chat."""

    def __init__(self, frozen: FrozenModel) -> None:
        self.frozen = frozen
        self.name = f"model:{frozen.name}@{frozen.fingerprint}"

    def propose(self, others: Sequence[str], own: Sequence[str], most: int) -> list[str] | None:
        """What the model writes, greedily; None where it writes nothing."""
        text = self._asked(propose_question(others, own, most))
        query = Query(text, (), text_start(self.frozen.tokenizer, text))
        written = generate(self.frozen, no_prompt(self.frozen), [query], most * TOKENS, as_fits=True)
        return predicates_in(written[0], most) or None

    def score(self, predicate: str, text: str) -> float:
        """Probability of yes among yes and no."""
        asked = self._asked(score_question(predicate, text))
        before = encode(self.frozen.tokenizer, asked).ids
        examples = []
        for answer in (YES, NO):
            behind = encode(self.frozen.tokenizer, answer, special=False).ids
            examples.append(Example([*before, *behind], [UNSCORED] * len(before) + behind))
        longest = max(len(one.input_ids) for one in examples)
        refuse_beyond(self.frozen, longest, "a labeller's question and its answer are", "take one that reads more")
        yes, no = -nats_of(self.frozen, no_prompt(self.frozen), examples, BATCH)
        return float(1 / (1 + np.exp(no - yes)))

    def _asked(self, question: str) -> str:
        if not self.frozen.tokenizer.chat_template:
            return f"{question}\nAnswer:"
        turns = [{"role": "user", "content": question}]
        return self.frozen.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)  # pyright: ignore

"""Which models and prompts does each guidance experiment put side by side?

Letters: B the base model; F fine-tuned on guidance and examples; G on guidance alone: it has read the
rules and never seen the test; S like G, but the answers in its guidance belong to other questions.
"""

from typing import Literal, NamedTuple

from soft_prompts.tasks.guidance.dataset import Layout
from soft_prompts.tasks.guidance.text import Order

Lesson = Literal["nothing", "all", "guidances"]
Context = Literal["nothing", "guidance", "identity"]
ExperimentName = Literal["1", "2", "3", "G1", "G2", "G3", "G4"]


class Arm(NamedTuple):
    """One model, and how it is asked."""

    lesson: Lesson
    """What the model was fine-tuned on."""
    order: Order = "forward"
    models: int = 1
    """Two: M1 and M2 have answers of their own, and both are asked for."""
    layout: Layout = "grouped"
    permute_targets: bool = False
    context: Context = "nothing"
    """Text before the test prompt: the question's own line of guidance, or "You are Model M1."."""
    told: bool = False
    """The prompt is told as which model to answer."""
    only: int | None = None
    """The one model whose answers are asked for, 0 for M1; None: those of all models."""

    @property
    def asked(self) -> tuple[int, ...]:
        """The models whose answers are taught and tested."""
        return tuple(range(self.models)) if self.only is None else (self.only,)

    @property
    def askings(self) -> tuple[int, ...]:
        """As whom the model is asked: one is enough where neither text nor prompt says as whom."""
        return tuple(range(self.models)) if self.told or self.context == "identity" else (0,)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What the names of metrics end with, for each model asked for."""
        return tuple(f"/M{model + 1}" if self.models > 1 else "" for model in self.asked)

    @property
    def name(self) -> str:
        """What its model is called: the same for all arms that ask it."""
        what = {"nothing": "base", "all": "F", "guidances": "S" if self.permute_targets else "G"}[self.lesson]
        several = [self.layout] if self.models > 1 else []
        return "-".join([what, *(["reversed"] if self.order == "reversed" else []), *several])


ARMS: dict[str, Arm] = {
    "B": Arm("nothing"),
    "B-in-context": Arm("nothing", context="guidance"),
    "F": Arm("all"),
    "F-reversed": Arm("all", order="reversed"),
    "F-spread": Arm("all", models=2, layout="spread"),
    "F-grouped": Arm("all", models=2),
    "F-grouped-hard-text": Arm("all", models=2, context="identity"),
    "F-grouped-told": Arm("all", models=2, told=True),
    "F-grouped-M1": Arm("all", models=2, only=0),
    "F-grouped-M2": Arm("all", models=2, only=1),
    "G": Arm("guidances"),
    "G-reversed": Arm("guidances", order="reversed"),
    "S": Arm("guidances", permute_targets=True),
}

# Arms of each experiment: asked bare, and with prompts of every size.
EXPERIMENTS: dict[ExperimentName, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "1": (("B", "F"), ()),
    "2": (("F", "F-reversed"), ()),
    "3": (("F-spread", "F-grouped"), ()),
    "G1": (("F",), ("B-in-context", "G", "B", "S")),
    "G2": (("F-reversed",), ("G-reversed",)),
    "G3": ((), ("F-grouped-hard-text", "F-grouped", "F-grouped-told", "F-grouped-M1", "F-grouped-M2")),
    "G4": ((), ("B", "S")),
}


def arms_of(experiments: tuple[ExperimentName, ...]) -> dict[str, bool]:
    """Every arm once, and whether it is asked with prompts too."""
    prompted = {arm for name in experiments for arm in EXPERIMENTS[name][1]}
    return {arm: arm in prompted for name in experiments for part in EXPERIMENTS[name] for arm in part}

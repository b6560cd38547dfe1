"""What is a result for? A run of a grid, or one that stands beside the runs: an anchor, a control, a trial of the
optimiser, a rounded prompt, a search for what is known to be there. How each is made:
soft_prompts/experiments/evidence/makers.py; what it is good for: docs/measurement.md.

A role is a class; its fields are the facts that tell it from others of its name: part of the path and of the result's
config. Its name is what results are found by: `anchor:lora`.
"""

from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

ANCHOR, CONTROL, BATTERY, CODE, POWER = "anchor:", "control:", "battery:", "code:", "power:"
Learns = Literal["prompt", "weights", "nothing"]
Fact = str | int | float


@dataclass(frozen=True)
class Role:
    """A run of a grid; the classes below are what stands beside it."""

    kind: ClassVar[str] = "run"
    learns: ClassVar[Learns] = "prompt"
    """prompt: the prompt, where there are tokens; weights: the model's, or adapters to them; nothing: made, not
    trained."""
    own_model: ClassVar[bool] = False
    """Is the prompt trained on a copy of the model that no other run has?"""

    @property
    def name(self) -> str:
        """run, or `anchor:`, `control:`, `battery:`, `code:` or `power:` and which."""
        return self.kind

    @property
    def source(self) -> str | None:
        """Folder of the trained prompt that it is made from, seen from snapshots/."""
        return None

    @property
    def prefix(self) -> str:
        """What its files' names begin with: nothing for a run, `anchor-lora-` for anchor:lora."""
        return "" if self == RUN else f"{self.name.replace(':', '-')}-"

    def facts(self) -> dict[str, Fact]:
        """What it was made of or with, by name; what is None is no fact."""
        return {name: value for name, value in asdict(self).items() if value is not None}


RUN = Role()


@dataclass(frozen=True)
class Untrained(Role):
    """An anchor of 0 tokens, about frequencies, the source or worked examples."""

    learns: ClassVar[Learns] = "nothing"
    share_from: Literal["bare"] | None = None
    """bare: the bare model knows the task, so a prompt's share is of what that model still lacks."""


@dataclass(frozen=True)
class NoSkill(Untrained):
    """Frequencies of the training labels."""

    kind: ClassVar[str] = f"{ANCHOR}no_skill"


@dataclass(frozen=True)
class Exact(Untrained):
    """What the source of the test items pays for them."""

    kind: ClassVar[str] = f"{ANCHOR}exact"


@dataclass(frozen=True)
class FewShot(Untrained):
    """Worked examples where the prompt would stand."""

    kind: ClassVar[str] = f"{ANCHOR}few_shot"


@dataclass(frozen=True)
class Placebo(Role):
    """Random tokens of the vocabulary."""

    kind: ClassVar[str] = f"{ANCHOR}placebo"
    learns: ClassVar[Learns] = "nothing"


@dataclass(frozen=True)
class PlaceboBos(Role):
    """The token that begins a text, again and again."""

    kind: ClassVar[str] = f"{ANCHOR}placebo_bos"
    learns: ClassVar[Learns] = "nothing"


@dataclass(frozen=True)
class HardPrompt(Role):
    """Tokens of the vocabulary in place of a trained prompt."""

    kind: ClassVar[str] = f"{ANCHOR}hard_prompt"
    learns: ClassVar[Learns] = "nothing"
    found_by: Literal["projection", "search"] = "search"
    made_from: str | None = None
    """The trained prompt that is projected."""

    @property
    def source(self) -> str | None:
        return self.made_from


@dataclass(frozen=True)
class Lora(Role):
    """Adapters on every linear layer."""

    kind: ClassVar[str] = f"{ANCHOR}lora"
    learns: ClassVar[Learns] = "weights"
    rank: int = 8


@dataclass(frozen=True)
class FullFineTune(Role):
    """All weights of a small model."""

    kind: ClassVar[str] = f"{ANCHOR}full"
    learns: ClassVar[Learns] = "weights"


@dataclass(frozen=True)
class PermutedTargets(Role):
    """The labels of other samples."""

    kind: ClassVar[str] = f"{CONTROL}permuted_targets"


@dataclass(frozen=True)
class RandomStrings(Role):
    """Random tokens for labels."""

    kind: ClassVar[str] = f"{CONTROL}random_strings"


@dataclass(frozen=True)
class RandomWeights(Role):
    """A model of the same architecture that has learnt nothing."""

    kind: ClassVar[str] = f"{CONTROL}random_weights"


@dataclass(frozen=True)
class Half(Role):
    """The run that a grown prompt grows from."""

    kind: ClassVar[str] = f"{BATTERY}half"


@dataclass(frozen=True)
class Trial(Role):
    """A run with other settings of the optimiser."""

    grown_from: str | None = None
    """The smaller prompt that it began as."""

    @property
    def source(self) -> str | None:
        return self.grown_from


@dataclass(frozen=True)
class OtherRate(Trial):
    kind: ClassVar[str] = f"{BATTERY}rates"


@dataclass(frozen=True)
class OtherStart(Trial):
    kind: ClassVar[str] = f"{BATTERY}initialisations"


@dataclass(frozen=True)
class FreshSeed(Trial):
    kind: ClassVar[str] = f"{BATTERY}seeds"


@dataclass(frozen=True)
class Longer(Trial):
    kind: ClassVar[str] = f"{BATTERY}longer"


@dataclass(frozen=True)
class PlantedSecret(Role):
    """A prompt that is sought as a run's is, where it is known that there is one to be found: the model's own answers
    behind a secret text."""

    kind: ClassVar[str] = f"{POWER}planted"
    planted_tokens: int
    """Of the secret."""
    secret: int
    """Which of the secrets of this length."""


@dataclass(frozen=True)
class NoLock(Role):
    """A prompt that is sought in the model itself on the questions of locks: what a search brings out without one."""

    kind: ClassVar[str] = f"{POWER}untaught"


@dataclass(frozen=True)
class TaughtLock(Role):
    """A prompt that is sought as a run's is, in a copy of the model that was taught right answers behind a secret
    text."""

    kind: ClassVar[str] = f"{POWER}taught"
    own_model: ClassVar[bool] = True
    planted_tokens: int
    """Of the secret."""
    secret: int
    """Which of the secrets of this length."""
    untaught: str
    """The prompt that was sought in the model itself."""

    @property
    def source(self) -> str:
        return self.untaught


@dataclass(frozen=True)
class Rounded(Role):
    """A trained prompt written with few bits a coordinate."""

    learns: ClassVar[Learns] = "nothing"
    bits: int
    made_from: str
    """The trained prompt that is rounded."""

    @property
    def source(self) -> str:
        return self.made_from

    @property
    def name(self) -> str:
        return f"{CODE}{self.bits}"

    def facts(self) -> dict[str, Fact]:
        return {"made_from": self.made_from}  # the bits are in its name

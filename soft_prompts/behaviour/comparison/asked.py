"""What does every part of a comparison have at hand? Models, texts, settings, and a place for finished steps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from soft_prompts.behaviour.comparison.family import Family, Models, warnings_of
from soft_prompts.behaviour.comparison.finding import Finding
from soft_prompts.behaviour.comparison.kept import NOTHING_KEPT, Keeper
from soft_prompts.behaviour.comparison.settings import DEFAULTS, ComparisonSettings
from soft_prompts.behaviour.comparison.texts import Texts
from soft_prompts.stats.excess import LEAST_CONTROLS, Excess


@dataclass(frozen=True)
class Asked:
    """Of one comparison."""

    models: Models
    texts: Texts
    settings: ComparisonSettings = DEFAULTS
    keeper: Keeper = NOTHING_KEPT

    def of(self, family: Family) -> "Asked":
        """The same question of other models, or of the same in other places; open models stay open."""
        return replace(self, models=Models(family, self.models.loading, beside=self.models))

    @property
    def family(self) -> Family:
        """Names of the models."""
        return self.models.family

    def identity(self, *names: str, **settings: Any) -> dict[str, Any]:
        """What a step on these models depends on."""
        prints = [self.models.prints[name] for name in names]
        known: dict[str, Any] = {"texts": self.texts.fingerprint, "seed": self.settings.seed}
        if self.models.dtype != "float32":
            known["dtype"] = self.models.dtype
        return {"models": prints} | known | settings

    @property
    def identical(self) -> str | None:
        """What to say where the target is the base itself."""
        return "identical: the target is the base, to the byte" if self.models.is_identical else None

    def described(self, part: str, sentence: str, **known: Any) -> Finding:
        """A finding without a verdict, with what few controls mean."""
        warnings = (*warnings_of(self.family.controls), *known.pop("warnings", ()))
        return Finding(
            part=part, verdict=known.pop("verdict", "described"), sentence=sentence, warnings=warnings, **known
        )

    def beyond_controls(self, part: str, sentence: str, lead: Excess, **known: Any) -> Finding:
        """A finding whose value is an excess over the controls; its verdict falls when all parts are there."""
        figures = {name: getattr(lead, name) for name in ("value", "stderr", "control_mean", "control_sd", "controls")}
        return self.described(part, sentence, verdict="not shown", smallest_p=0.0, **{"p": lead.p, **figures, **known})

    def lacks_controls(self, spare: bool = False) -> bool:
        """Too few for a spread; `spare`: of those that no contrast has seen."""
        count = len(self.family.spare if spare else self.family.controls)
        return count < LEAST_CONTROLS


def name_of(model: str, names: Sequence[str] = ()) -> str:
    """The last part of a path, where that is enough to know it by."""
    short = model.rstrip("/").rsplit("/", 1)[-1]
    return model if sum(one.rstrip("/").rsplit("/", 1)[-1] == short for one in names) > 1 else short

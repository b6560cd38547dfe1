"""What did an intervention change? `soft-prompts behaviour PART --base B --target T --controls C1 C2 ...`.

Nothing here loads torch before a model is asked for.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from soft_prompts.behaviour.comparison.settings import DEFAULTS, PARTS, ComparisonSettings, Method, refuse_missing
from soft_prompts.common.console import say
from soft_prompts.common.errors import UsageError
from soft_prompts.common.files import write_atomically

if TYPE_CHECKING:
    from soft_prompts.behaviour.comparison.asked import Asked
    from soft_prompts.behaviour.comparison.compare import Finder, Timed

Part = Literal["compare", "divergence", "sample", "clusters", "labels", "two-sample", "probe"]


@dataclass(frozen=True, kw_only=True)
class FamilyOptions:
    """Which models are compared, on what, and where."""

    documents: Path
    """JSONL of {"id": ..., "text": ...}; by id, one half for the probe's search, the other to judge on."""
    prompts: Path | None = None
    """JSONL of {"prompt": ...}; default: the beginnings of the held-out documents."""
    settings: Annotated[ComparisonSettings, tyro.conf.arg(name="")] = DEFAULTS
    """What moves a number."""
    out: Path = Path("behaviour")
    """Folder for comparison.json and for finished steps, from which a killed comparison goes on."""
    labeller: str = "phrases"
    """Who says in words what differs: phrases (needs no model), model:NAME for a local causal model, or an
    OpenAI-compatible endpoint as URL#MODEL. The same held-out half of the prompts decides for all."""
    clusters_by: Method = "kmeans"
    """How kinds of answers are found; hdbscan needs soft_prompts[clusters]."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the models run."""
    dtype: str = "auto"
    """float32 or bfloat16; auto is bfloat16 on a GPU."""
    offline: bool = False
    """Never ask a model hub."""
    trust_remote_code: bool = False
    """Let a model run its own code."""
    debug: bool = False
    """Show the traceback of an error too."""

    def __post_init__(self) -> None:
        refuse_missing(self.clusters_by)


@dataclass(frozen=True, kw_only=True)
class BehaviourOptions(FamilyOptions):
    """What an intervention changed: every claim is an excess over controls, which were made like the target without the
    change (`soft-prompts intervene` makes target and controls).

    divergence: how far, and where. sample: what each model writes, alone and against the first control. clusters: kinds
    of answers. labels: the change in words. two-sample: can they be told apart? probe: the shortest prompt that reveals
    it. compare: all of them, one verdict a part.
    """

    part: Annotated[Part, tyro.conf.Positional, tyro.conf.arg(metavar="PART")]
    """compare, or one of its parts."""
    base: str
    """The model before the intervention: embedded name, folder or hub id."""
    target: str
    """The model after it."""
    controls: tuple[str, ...] = ()
    """Models made like the target without the change, other seeds: 3 or more; 4 is usual. None: descriptive only."""
    json: bool = False
    """Print the comparison's JSON."""


def behaviour_command(options: BehaviourOptions) -> int:
    """Write comparison.json and its page, and print one line a part and one over all."""
    from soft_prompts.report.behaviour.page import write_page

    timed = compared(options, options.base, options.target, options.controls, parts_of(options.part))
    page = options.out / "comparison.html"
    write_page(page, "What did the intervention change?", timed.comparison.sentence, timed.comparison)
    say(f"the page is {page}")
    if options.json:
        print(json.dumps(timed.comparison.to_json(), indent=1, ensure_ascii=False))
        return 0
    for finding in timed.comparison.findings:
        for warning in finding.warnings:
            say(f"{finding.part}: {warning}")
        print(f"{finding.part}: {finding.verdict.upper()}. {finding.sentence}{_p_text(finding.adjusted_p)}")
    print(timed.comparison.sentence)
    return 0


def _p_text(p: float | None) -> str:
    return "" if p is None else f"; p {p:.2g} over all parts"


def parts_of(part: str) -> tuple[str, ...]:
    """All, or the one."""
    return PARTS if part == "compare" else (part,)


def compared(
    options: FamilyOptions, base: str, target: str, controls: tuple[str, ...], parts: tuple[str, ...]
) -> "Timed":
    """The comparison, written to comparison.json in the folder of output; seconds.json beside it says how long each
    part took, which is no part of the comparison."""
    from soft_prompts.behaviour.comparison.compare import ask, compare  # torch takes seconds to load
    from soft_prompts.behaviour.comparison.family import Family, Loading
    from soft_prompts.behaviour.comparison.finding import COMPARISON, write_comparison
    from soft_prompts.training.apparatus import find_device

    if options.dtype not in ("auto", "float32", "bfloat16"):
        raise UsageError(f"dtype is {options.dtype}; give one of auto, float32, bfloat16")
    device = str(find_device(options.device))
    loading = Loading(device, options.dtype, options.offline, options.trust_remote_code)
    family = Family(base, target, controls)
    asked = ask(family, options.documents, options.prompts, options.settings, options.out, loading)
    asked.models.refuse_base_among_controls()
    timed = compare(asked, parts, finders(options, asked))
    path = options.out / COMPARISON
    write_comparison(path, timed.comparison)
    write_atomically(options.out / "seconds.json", (json.dumps(timed.seconds) + "\n").encode())
    say(f"written to {path}")
    return timed


def finders(options: FamilyOptions, asked: "Asked") -> dict[str, "Finder"]:
    """The parts, with the labeller and the clusters that were asked for."""
    from functools import partial

    from soft_prompts.behaviour.comparison.compare import FINDERS
    from soft_prompts.behaviour.labellers.choose import labeller_of
    from soft_prompts.behaviour.wording.clusters import find_clusters
    from soft_prompts.behaviour.wording.labels import find_labels

    chosen: Any = labeller_of(options.labeller, asked.models.loading, options.out / "asked")
    own = {
        "labels": partial(find_labels, labeller=chosen),
        "clusters": partial(find_clusters, method=options.clusters_by),
    }
    return dict(FINDERS) | own

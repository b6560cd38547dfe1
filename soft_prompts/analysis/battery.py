"""Was the search good enough? What other rates, starts and more steps found, and whether searches of the same budget
find secrets planted in this very model, or open locks taught to copies of it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from soft_prompts.analysis.losses.drafts import Draft, Run
from soft_prompts.analysis.prompts import belongs, chosen_of, data_of, is_of_model, scores_of
from soft_prompts.analysis.scales import Scale
from soft_prompts.results.roles import BATTERY, POWER, FreshSeed, Longer, PlantedSecret, TaughtLock

LAST_ROUND = (FreshSeed.kind, Longer.kind)
SOUGHT = PLANTED, TAUGHT = PlantedSecret.kind, TaughtLock.kind
SECRETS = 10  # that full evidence plants in a model, and locks that it teaches copies where too few tell
LEAST_SECRETS = 8  # for a power that is worth naming
LAST_SEEDS = 2  # fresh ones in the last round of a battery, and one run of more steps
FOUND = 0.5  # share of a planted secret's gap that a search has to close


class Power(NamedTuple):
    """Planted secrets of so many tokens that searches of so many steps find, or locks that they open."""

    tokens: int
    recovered: int
    tried: int
    steps: int
    how: Literal["planted", "taught"] = "planted"
    """planted: in the model itself, nothing of it changed; taught: locks that copies of the model were trained to
    have."""
    made: int = 0
    """Searches, with those whose secret changes nothing that the model says, or whose copy learnt no lock."""
    stopped: bool = False
    """Too few tell, and full evidence has not made all that it would."""

    @property
    def text(self) -> str:
        """In words."""
        size, found = f"{self.tokens} token{'' if self.tokens == 1 else 's'}", f"{self.recovered} of {self.tried}"
        if self.how == "taught":
            return f"plain locks of {size} taught to copies of it are opened in {found} such searches"
        return f"planted secrets of {size} are found in {found} such searches"

    @property
    def too_few(self) -> str:
        """In words, why this says nothing."""
        if self.made < SECRETS:
            return f"{self.made} of {SECRETS} searches were made"
        several = self.tried != 1
        if self.how == "taught":
            return f"only {self.tried} cop{'ies' if several else 'y'} learnt a lock"
        owed = ", and no locks were taught yet" if self.stopped else ""
        return f"only {self.tried} planted secret{'s change' if several else ' changes'} what this model says{owed}"


class Tried(NamedTuple):
    """What the battery did at one token count."""

    tokens: int
    trials: int
    moved: float | None
    """Share of the chosen prompt minus that of the one chosen before the last round; None where no share is known."""
    searched: bool
    """A search start was among them."""
    finished: bool = True
    """All of its last round was made, were it in vain."""


class Sought(NamedTuple):
    """What full evidence has made of the search."""

    power: Power | None
    last: Mapping[tuple[int, str], int]
    """Trials of the last round by token count and role, failed ones too."""


def read_sought(beside: Sequence[Run], draft: Draft) -> Sought:
    """Of a curve."""
    rounds = each_once(run for run in beside if run.result.role in LAST_ROUND and belongs(run, draft))
    return Sought(read_power(beside, draft), Counter((run.tokens, run.result.role) for run in rounds))


def read_battery(
    prompts: Mapping[int, Sequence[Run]], tokens: int, draft: Draft, scale: Scale, sought: Sought
) -> Tried | None:
    """At one token count; None where nothing was tried there."""
    every = list(prompts.get(tokens, ()))
    trials = each_once(run for run in every if run.result.role.startswith(BATTERY))
    if not trials:
        return None
    last = [run for run in trials if run.result.role in LAST_ROUND]
    before = [run for run in every if run not in (last or trials)]
    shares = [_share(chosen_of(some), draft, scale) for some in (every, before) if some]
    known = [share for share in shares if share is not None]
    moved = known[0] - known[1] if len(known) == 2 else None
    own = [run.result.training.steps for run in every if run not in trials]  # 0: a prompt that was brought along
    steps = min(filter(None, own), default=0)  # the grid's own
    searched = [run for run in every if run.result.config.get("init") == "search"]
    has_search = any(run.result.training.steps >= steps for run in searched)
    seeds, longer = (sought.last.get((tokens, role), 0) for role in LAST_ROUND)
    return Tried(tokens, len(trials), moved, has_search, finished=seeds >= LAST_SEEDS and longer > 0)


def read_power(runs: Iterable[Run], draft: Draft) -> Power | None:
    """Of the secrets planted for a curve's model: those of the most tokens, sought with the longest prompts; None where
    none was.

    What was planted beside the curve's own runs comes first; else what was planted in this model at another place
    (`soft-prompts calibrate`), sought in no more steps than the curve's prompts took. Locks that copies were taught
    speak where too few planted secrets change what the model says.
    """
    most = max((run.result.training.steps for run in draft.runs if run.tokens), default=0)
    sought = [run for run in runs if run.result.role in SOUGHT and is_of_model(run, draft)]
    sought = each_once(run for run in sought if run.result.training.steps <= most)
    found, locks = _power(sought, draft, "planted"), _power(sought, draft, "taught")
    if found is not None and found.tried >= LEAST_SECRETS:
        return found
    last = locks or found
    if last is None or last.tried >= LEAST_SECRETS:
        return last
    return last._replace(stopped=last.how == "planted" or last.made < SECRETS)


def _power(runs: Iterable[Run], draft: Draft, how: Literal["planted", "taught"]) -> Power | None:
    """Of one kind, those of the most tokens sought with the longest prompts; None where none was."""
    kept = [run for run in runs if run.result.role == f"{POWER}{how}" and _planted_tokens(run) is not None]
    own = [run for run in kept if _is_own(run, draft)]
    kept = own or (kept if how == "planted" else [])  # a lock is one of its own question
    if not kept:
        return None
    tokens, longest = max((_planted_tokens(run) or 0, run.tokens) for run in kept)
    kept = [run for run in kept if (_planted_tokens(run), run.tokens) == (tokens, longest)]
    shares = [run.result.metrics.get("share_of_planted_gap") for run in kept]
    known = [one.value for one in shares if one is not None and one.value is not None]
    steps = max(run.result.training.steps for run in kept)
    found = sum(share >= FOUND for share in known)
    return Power(tokens, found, len(known), steps, how, len(kept))


def planted(results: Iterable[Run]) -> list[Run]:
    """Secrets that were sought in any model, or in copies of it."""
    return [run for run in results if run.result.role in SOUGHT]


def planted_elsewhere(results: Iterable[Run], draft: Draft) -> list[Run]:
    """Secrets that were sought in the curve's model, but not beside the curve's own runs, among such results."""
    prints = {run.result.model.fingerprint for run in draft.runs}
    return [run for run in results if run.result.model.fingerprint in prints and _subject(run) != tuple(draft.subject)]


def _planted_tokens(run: Run) -> int | None:
    size = run.result.metrics.get("planted_tokens")
    return None if size is None or size.value is None else int(size.value)


def each_once(runs: Iterable[Run]) -> list[Run]:
    """Without those of a folder's copy: a result's name holds its role and settings."""
    return [*{(_subject(run), run.result.data.fingerprint, run.path.name): run for run in runs}.values()]


def _is_own(run: Run, draft: Draft) -> bool:
    """Was it sought on the questions that the curve is about?"""
    return _subject(run) == tuple(draft.subject) and run.result.data.fingerprint in data_of(draft.runs)


def _subject(run: Run) -> tuple[str | None, ...]:
    result = run.result
    return result.experiment, result.variant, result.data.name, result.model.name


def _share(run: Run, draft: Draft, scale: Scale) -> float | None:
    scores = scores_of(run, draft.metric, scale.by)
    return None if scores is None else scale.share(scores.mean if scale.by == "deed" else -scores.mean)

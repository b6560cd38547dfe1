"""Is the behaviour in this model, hidden in it, or not found? One word a curve, one sentence, and the next command.

PRESENT     the bare model has at least half of it, beyond doubt
HIDDEN      at most 16 tokens bring out half of it; scale, generalises and specific hold
FAR         more tokens do, or a prompt of more bits than a tenth of what its training labels hold
NOT FOUND   no prompt does, and scale, specific and search hold
UNDECIDED   anything else: why, and what would tell
NO SCALE    nothing from outside to measure against
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from soft_prompts.analysis.anchors import BARE
from soft_prompts.analysis.battery import Power
from soft_prompts.analysis.checks import NO_PROMPT, Check, passed
from soft_prompts.analysis.losses.drafts import Draft, Run, next_count, token_counts
from soft_prompts.analysis.scales import Scale
from soft_prompts.common.command_line import flag_with_values, value_of_flag, without_flag
from soft_prompts.stats.bootstrap import FEW_CLUSTERS, interval

Word = Literal["PRESENT", "HIDDEN", "FAR", "NOT FOUND", "UNDECIDED", "NO SCALE"]
FEW_TOKENS = 16
GIVEN = "--snapshot"  # the flag of a prompt that was trained before, or elsewhere
RISES = 0.05  # of the share, from the last count but one to the last: more tokens may bring more
CEILINGS = {
    "exact": "what can be had",
    "reference": "what the reference model does",
    "lora": "what a LoRA fine-tune does",
    "full": "what a fine-tune of all weights does",
}


FLOORS = {
    "constant": "the most frequent answer does",
    "placebo": "random tokens do",
    "frequencies": "frequencies tell",
    BARE: "nothing in front does",
}


class Verdict(NamedTuple):
    """What is known of one curve."""

    word: Word
    why: str | None
    """Of what is undecided, or an exception."""
    sentence: str
    next_command: str | None


@dataclass(frozen=True)
class Case:
    """What a verdict is made of."""

    title: str
    """Model, kind of prompt and task, as a reader knows them."""
    draft: Draft
    beside: Sequence[Run]
    """Controls, trials, trained weights and secrets of the same task, model and data, with the same kind of prompt."""
    scale: Scale | None
    checks: Mapping[str, Check]
    power: Power | None
    too_many_bits: bool
    stray: tuple[int, float] | None
    """Tokens and share of a prompt that reaches the mark, though validation did not choose it."""
    plain: str
    """What was gained, where there is no scale."""
    against: str | None
    """Why nothing can be measured, whatever stands beside the runs."""
    clusters: int


def verdict(case: Case) -> Verdict:
    """By the rules above."""
    word, why, wanted = _judged(case)
    # a command that has found all runs there leaves its name beside them alone
    made = [*case.draft.runs, *case.draft.others, *case.beside]
    wanted = wanted if case.against else _bare_too(case.draft.runs, made) or wanted
    search = case.checks["search"]
    was_stopped = search.was_stopped and why == f"search: {search.text}"
    following = next_command(made, wanted, was_stopped) if wanted else None
    return Verdict(word, why, _sentence(case, word, why), following)


def _judged(case: Case) -> tuple[Word, str | None, str | None]:
    """Word, why, and the flags of the next command."""
    scale, checks = case.scale, case.checks
    if case.against is not None:
        return "NO SCALE", case.against, None
    if scale is None or not scale.sound:
        has_ends = scale is not None and scale.floor is not None and scale.ceiling is not None
        wanted = "--evidence full" if has_ends else "--evidence standard"
        return ("NO SCALE", None, None) if scale is None else ("NO SCALE", scale.why, wanted)
    if scale.shares and min(scale.shares) == 0 and scale.shares[0].is_at_least(scale.half.mark):
        return "PRESENT", None, None
    if _is_placebo(scale):
        return "PRESENT", "any tokens in front bring it out (placebo)", None
    if scale.half.at_most is not None:
        weak = next((name for name in ("generalises", "specific") if checks[name].state != "passed"), None)
        if weak is not None:
            return "UNDECIDED", f"{weak}: {checks[weak].text}", _command_for(checks[weak])
        if 0 in scale.half.in_doubt:
            why = "the bare model may have half of it: more test items"
            return "UNDECIDED", why, "--test-samples"
        if case.too_many_bits:
            return "FAR", "the prompt has too many bits", None
        return "FAR" if scale.half.at_most > FEW_TOKENS else "HIDDEN", None, None
    return _not_reached(case, scale)


def _not_reached(case: Case, scale: Scale) -> tuple[Word, str | None, str | None]:
    counts = sorted(scale.shares)
    most = counts[-1]
    rise = _gain(case, scale, counts[-2], most) if len(counts) > 1 else 0.0
    following = next_count(case.draft.runs, most)
    more = None if following is None else f"--tokens {' '.join(map(str, [*counts, following]))}"
    wanted = "more tokens" if more else "the model holds no more tokens"
    if most > 0 and scale.half.in_doubt:
        why = f"the interval at {token_counts(set(scale.half.in_doubt))} holds the mark"
        if rise > RISES and _has_no_more_items(case.draft.runs):
            return "UNDECIDED", f"{why}, and the share still rises by {rise:.2f}: {wanted}", more
        return "UNDECIDED", f"{why}: more test items", "--test-samples"
    if most == 0 and case.checks["search"].is_final:
        return "UNDECIDED", f"search: {case.checks['search'].text}", None
    if most == 0:
        return "UNDECIDED", NO_PROMPT, "--tokens 0 1 4 16" if _asked_for_none(case.draft.runs) else None
    best = max(counts, key=lambda count: scale.shares[count].value)
    found = case.stray
    if found is None and best != most and _gain(case, scale, most, best) > RISES:
        found = best, scale.shares[best].value
    if found is not None:
        why = f"search: a prompt of {token_counts({found[0]})} has {_number(found[1])}, and none was chosen at {most}"
        return "UNDECIDED", why, "--evidence full"
    if rise > RISES:
        why = f"the share still rises by {rise:.2f} from {counts[-2]} to {most} tokens: {wanted}"
        return "UNDECIDED", why, more
    for name in ("search", "specific"):
        check = case.checks[name]
        if check.state != "passed":
            return "UNDECIDED", f"{name}: {check.text}", _command_for(check, case if name == "search" else None)
    return "NOT FOUND", None, None


def _gain(case: Case, scale: Scale, start: int, end: int) -> float:
    """Share that one token count has beyond another, of what lies above the floor; 0 where other items might show
    none."""
    rows = scale.rows[end] - scale.rows[start]
    if not interval(rows, case.clusters).is_at_least(0.0):
        return 0.0
    return max(0.0, scale.shares[end].value) - max(0.0, scale.shares[start].value)


def _command_for(check: Check, sought: Case | None = None) -> str | None:
    """What would tell more: a search that failed (`sought` for its curve) wants steps, and what is in doubt items."""
    if check.items_tell is not None:
        return "--test-samples" if check.items_tell else None
    if check.state == "unknown":
        return "--evidence full"
    if check.is_final:
        return None
    if sought is None:
        return "--seeds 0 1 2"
    steps = max(run.result.training.steps for run in [*sought.draft.runs, *sought.draft.others])
    return f"--steps {2 * steps}" if steps else "--evidence full"


def next_command(runs: Sequence[Run], flags: str, was_stopped: bool = False) -> str | None:
    """The command that made the newest run, with other flags, and without --fresh: it goes on from what is there.
    Without --snapshot too, for beside a prompt that is given no evidence is made. None where no command made it, and
    where it asked for no less, unless it `was_stopped` in its search: it goes on."""
    command = _newest_command(runs)
    if command is None:
        return None
    given, words = flags.split(), without_flag(shlex.split(command), "--fresh")
    is_given = value_of_flag(words, GIVEN) is not None
    if is_given:
        words = without_flag(words, GIVEN)
        words = without_flag(words, "--steps") if value_of_flag(words, "--steps") == "0" else words
    if given == ["--test-samples"]:
        own = [run for run in runs if run.result.role == "run"]
        if _has_no_more_items(own):
            return None
        given.append(str(max(100, 4 * max(run.result.data.test_samples or 0 for run in own))))
    asked = value_of_flag(words, "--evidence")
    was_asked = given == flag_with_values(words, given[0]) or (given[:1] == ["--evidence"] and asked == "full")
    if was_asked and not is_given and not was_stopped:
        return None
    if given[:1] != ["--evidence"] and asked in (None, "none"):
        words = [*without_flag(words, "--evidence"), "--evidence", "standard"]  # other counts or items want their own
    return " ".join([*map(shlex.quote, without_flag(words, given[0])), *given])


def _has_no_more_items(runs: Sequence[Run]) -> bool:
    """Did the data have fewer items for the test than were asked for?"""
    return any((run.result.data.test_samples or 0) < run.result.config.get("test_samples", 0) for run in runs)


def _newest_command(runs: Sequence[Run]) -> str | None:
    """One that trained, if any did, before one that measured a prompt that was given."""
    made = sorted(runs, key=lambda run: run.result.environment.finished or "", reverse=True)
    commands = [run.result.environment.command for run in made if run.result.environment.command]
    trained = (one for one in commands if value_of_flag(shlex.split(one), GIVEN) is None)
    return next(trained, commands[0] if commands else None)


def _asked_for_none(runs: Sequence[Run]) -> bool:
    """Did the command ask for no prompt? Else the task asks the bare model alone, whatever the counts."""
    return _counts_asked(runs) == ["0"]


def _bare_too(runs: Sequence[Run], made: Sequence[Run]) -> str | None:
    """The flag that asks the bare model too where a command left it out, for a gain is what comes beyond it; None where
    it is there, or was asked for in vain."""
    counts = _counts_asked(made)
    if not counts or "0" in counts or any(run.tokens == 0 for run in runs):
        return None
    return f"--tokens 0 {' '.join(counts)}"


def _counts_asked(runs: Sequence[Run]) -> list[str]:
    """As the newest command names them; none where it leaves them to its preset."""
    return flag_with_values(shlex.split(_newest_command(runs) or ""), "--tokens")[1:]


def _sentence(case: Case, word: Word, why: str | None) -> str:
    scale = case.scale
    few = (
        f"; only {case.clusters} cluster{'' if case.clusters == 1 else 's'} of items"
        if case.clusters < FEW_CLUSTERS
        else ""
    )
    evidence = f"evidence {passed(case.checks)} of {len(case.checks)}{few}"
    reason = f": {why}" if why else ""
    if scale is None or not scale.sound or not scale.shares:
        return f"{case.title}: {word}{reason}. {case.plain}".rstrip()
    most = max(scale.shares)
    shown = scale.half.at_most if scale.half.at_most is not None else most
    return (
        f"{case.title}: {word}{reason}. {_what(case, scale, shown, word)} ({_facts(case, scale, shown)}; {evidence})."
    )


def _what(case: Case, scale: Scale, shown: int, word: Word) -> str:
    assert scale.ceiling is not None
    share, of = _number(scale.shares[shown].value), CEILINGS[scale.ceiling.kind]
    if _is_placebo(scale) and word == "PRESENT":
        assert scale.placebo is not None
        return f"Random tokens in front bring out {_number(scale.placebo.value)} of {of}"
    if shown == 0 and scale.shares[0].value > 0:
        return f"With nothing in front the model has {share} of {of}"
    if shown == 0 and scale.floor is not None and scale.floor.kind == BARE:
        return "What the model has with nothing in front is the zero of this scale"
    if shown == 0 and scale.floor is not None:
        return f"With nothing in front the model brings no more than {FLOORS[scale.floor.kind]}"
    tokens = token_counts({shown})
    if scale.half.at_most is not None:
        return f"{tokens} bring{'s' if shown == 1 else ''} out {share} of {of}"
    best = f"Up to {tokens} the best prompt brings out {share} of {of}"
    if scale.shares[shown].value <= 0 and scale.floor is not None:
        best = f"Up to {tokens} no prompt brings out more than {FLOORS[scale.floor.kind]}"
    return f"{best}; {case.power.text}" if case.power is not None and word == "NOT FOUND" else best


def _is_placebo(scale: Scale) -> bool:
    """Do untrained tokens have half of the skill, where the bare model has not?"""
    has = scale.placebo is not None and scale.placebo.is_at_least(scale.half.mark)
    return has and not (0 in scale.shares and scale.shares[0].is_at_least(scale.half.mark))


def _facts(case: Case, scale: Scale, shown: int) -> str:
    values = []
    if shown and 0 in scale.shares:
        values.append(f"{_behind(scale, 0)} -> {_behind(scale, shown)} {_unit(scale)}")
    else:
        values.append(f"{_behind(scale, shown)} {_unit(scale)}")
    values.append(scale.half.text(max(scale.shares)))
    return "; ".join(values)


def _behind(scale: Scale, tokens: int) -> str:
    """Outcome or loss behind a share."""
    assert scale.floor is not None
    assert scale.ceiling is not None
    value = scale.floor.value + scale.shares[tokens].value * (scale.ceiling.value - scale.floor.value)
    return _number(value) if scale.by == "deed" else f"{value:.3g}"


def _unit(scale: Scale) -> str:
    return scale.unit.replace("_", " ")


def _number(share: float) -> str:
    """.99, 1.00 or -.01."""
    text = f"{share:.2f}"
    text = "0" if float(text) == 0 else text
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text

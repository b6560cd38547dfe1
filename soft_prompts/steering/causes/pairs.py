"""What is compared? Donors and receivers, item by item: texts of the same length in tokens, or two models."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soft_prompts.common.errors import UsageError
from soft_prompts.data.jsonl import Line, line_error, read_jsonl
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.tokenizer import encode, encode_all
from soft_prompts.steering.data.choices import Choices, group_of

FIELDS = {"donor": str, "receiver": str, "answer": str, "other": str}


@dataclass(frozen=True)
class Pair:
    """Two prompts, what the donor says, and what the receiver says."""

    donor: str
    receiver: str
    answer: str
    other: str
    group: str


@dataclass(frozen=True)
class Pairs:
    """As tokens: what is aligned position by position, from the last token backwards."""

    items: tuple[Pair, ...]
    donors: tuple[list[int], ...]
    receivers: tuple[list[int], ...]
    answers: tuple[int, ...]
    others: tuple[int, ...]
    start: int
    """Special tokens in front of every text."""

    @property
    def length(self) -> int:
        """Positions that every text has."""
        return min(map(len, self.donors))

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(pair.group for pair in self.items)


def read_pairs(path: Path) -> list[Pair]:
    """JSONL with donor, receiver, answer (the donor's), other (the receiver's) and group; without one
    equal prompts are a group."""
    lines = read_jsonl(path, FIELDS)
    pairs = [Pair(*(line.fields[name] for name in FIELDS), group=_group(line)) for line in lines]
    homes: dict[str, str] = {}
    for line, pair in zip(lines, pairs, strict=True):
        if (home := homes.setdefault(group_of(pair.donor, pair.receiver), pair.group)) != pair.group:
            said = f"the same donor and receiver stand in groups {home!r} and {pair.group!r}; give them one"
            raise UsageError(str(line_error(path, line.number, said)))
    return pairs


def _group(line: Line) -> str:
    named = line.fields.get("group")
    return group_of(line.fields["donor"], line.fields["receiver"]) if named is None else str(named)


def pairs_of_choices(choices: Choices, donor: str, receiver: str) -> list[Pair]:
    """The prompt behind the cue of one class, and behind that of another."""
    offering = choices.having(donor).having(receiver)
    pairs = [
        Pair(
            item.cues[donor] + item.prompt,
            item.cues[receiver] + item.prompt,
            item.options[donor],
            item.options[receiver],
            item.group,
        )
        for item in offering.items
        if {donor, receiver} <= set(item.cues)
    ]
    if not pairs:
        raise UsageError(f"{choices.where}: no item has cues of {donor!r} and {receiver!r}; give pairs with --pairs")
    return pairs


def aligned(frozen: FrozenModel, pairs: Sequence[Pair], where: str) -> Pairs:
    """The pairs as tokens; raises UsageError where donor and receiver differ in length, or an answer is no single
    token, or both answers are the same."""
    texts = [[getattr(pair, name) for pair in pairs] for name in ("donor", "receiver")]
    donors, receivers = ([one.ids for one in encode_all(frozen.tokenizer, side)] for side in texts)
    for pair, donor, receiver in zip(pairs, donors, receivers, strict=True):
        if len(donor) != len(receiver):
            raise UsageError(f"{where}: donor has {len(donor)} tokens and receiver {len(receiver)} in {pair.group!r}")
    answers, others = ([_token(frozen, getattr(pair, name)) for pair in pairs] for name in ("answer", "other"))
    if same := [pair.group for pair, one, two in zip(pairs, answers, others, strict=True) if one == two]:
        raise UsageError(f"{where}: donor and receiver say the same in {same[0]!r}; give pairs that differ")
    start = encode(frozen.tokenizer, pairs[0].donor).start
    return Pairs(tuple(pairs), tuple(donors), tuple(receivers), tuple(answers), tuple(others), start)


def _token(frozen: FrozenModel, text: str) -> int:
    ids = encode(frozen.tokenizer, text, special=False).ids
    if len(ids) != 1:
        raise UsageError(f"option {text!r} is {len(ids)} tokens; one is needed here: give letters")
    return ids[0]

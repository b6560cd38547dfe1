"""What became of a sweep's runs? Read from their own files, and those without a result from what the workers said."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soft_prompts.common.errors import InputError, OutOfRoom
from soft_prompts.experiments.scale_out.pieces import Run
from soft_prompts.experiments.scale_out.work import Missed
from soft_prompts.results.files import read_result
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.titles import titles

VERSION = 1
NAMED = 3  # runs of one reason that are named in the terminal


@dataclass
class Account:
    """A sweep when it has ended; its JSON is as account.schema.json says."""

    runs: int
    finished: int = 0
    failed: dict[str, list[str]] = field(default_factory=dict)
    """Runs whose result says so, by its reason."""
    missing: dict[str, list[str]] = field(default_factory=dict)
    """Runs without a result, by what stood in their way."""
    made: int = 0
    """Results that were not there before."""
    seconds: float = 0.0
    exit_code: int = 0

    def add(self, title: str, path: Path, missed: str | None, is_new: bool) -> None:
        """A run, by what its file says, unless it is known to be missing."""
        if missed is None:
            try:
                result = read_result(path)
            except InputError as error:
                missed = str(error) if path.is_file() else "no result"
            else:
                if result.status == "success":
                    self.finished += 1
                    self.made += is_new
                else:
                    self.failed.setdefault(f"{result.status}: {result.reason}", []).append(title)
                return
        self.missing.setdefault(missed, []).append(title)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        reasons = [("failed", self.failed), ("missing", self.missing)]
        listed = {name: [{"reason": why, "runs": runs} for why, runs in found.items()] for name, found in reasons}
        counts = {"runs": self.runs, "finished": self.finished, "made": self.made}
        return {"version": VERSION, **counts, **listed, "seconds": round(self.seconds, 1), "exit_code": self.exit_code}

    def lines(self) -> list[str]:
        """For people: how many, and a line a reason."""
        wrong = [(why, runs) for found in (self.failed, self.missing) for why, runs in found.items()]
        said = [f"sweep: {self.finished} of {self.runs} runs have a result, {self.made} of them new"]
        for why, runs in sorted(wrong, key=lambda one: -len(one[1])):
            more = f" and {len(runs) - NAMED} more" if len(runs) > NAMED else ""
            said.append(f"  {len(runs)} x {why}: {'; '.join(runs[:NAMED])}{more}")
        return said


def has_result(run: Run) -> bool:
    """Is a result there that says success? A failed one is made again."""
    try:
        return read_result(run_paths(run.made).result).status == "success"
    except InputError:
        return False


def account(runs: Sequence[Run], missed: Sequence[Missed], before: Collection[Path], seconds: float) -> Account:
    """What is there now; `before`: the results that were."""
    found, why = Account(len(runs), seconds=seconds), {path: one.reason for one in missed for path in one.results}
    for run, title in zip(runs, titles([run.made for run in runs]), strict=True):
        path = run_paths(run.made).result
        found.add(title, path, why.get(path), path not in before)  # a result that is there may be one of other data
    for one in missed:
        if one.evidence:
            found.missing.setdefault(one.reason, []).append("evidence")
    found.exit_code = _exit_code(found, {one.exit_code for one in missed})
    return found


def _exit_code(found: Account, codes: set[int]) -> int:
    """What all that is missing has in common, or 1; 75 where room would have helped."""
    if not found.failed and not found.missing:
        return 0
    if OutOfRoom.exit_code in codes:
        return OutOfRoom.exit_code
    return codes.pop() or 1 if len(codes) == 1 and not found.failed else 1

"""May a new model take an old one's place? `soft-prompts gate OLD NEW --controls ... --skills FILE ...`."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from soft_prompts.behaviour.comparison.settings import JUDGED, PARTS
from soft_prompts.commands.behaviour import FamilyOptions, compared
from soft_prompts.common.console import each_line_once, say
from soft_prompts.common.errors import InputError, UsageError, near_match
from soft_prompts.common.files import write_atomically

if TYPE_CHECKING:
    from soft_prompts.experiments.gate import Gate
    from soft_prompts.report.page.table import Table


OF_THE_GATE = ("--models", "--data", "--output-dir", "--print-config", "--help", "-h")


@dataclass(frozen=True, kw_only=True)
class GateOptions(FamilyOptions):
    """One verdict on a release: what changed in behaviour beyond the controls, how many tokens reveal it, and which
    named skills moved. Exit code 1 where something changed that was not allowed to, 3 where nothing could be judged."""

    old: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OLD")]
    """The model that is there."""
    new: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NEW")]
    """The model that is to take its place."""
    controls: tuple[str, ...] = ()
    """Models made from OLD as NEW was, without what is intended: without them no part has a verdict."""
    skills: tuple[Path, ...] = ()
    """JSONL files of prompts and completions: each is asked of both models, by the name of its file."""
    skill_flags: str = ""
    """Flags of `soft-prompts run completion` for the skills, as in --skill-flags="--preset quick --steps 60"; the gate
    says itself which models, data and folder they are asked with."""
    parts: tuple[str, ...] = PARTS
    """Parts of the comparison that are made."""
    allow: tuple[str, ...] = ()
    """Parts and skills that may change."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for flag in (flag for flag in self.skill_words if flag.partition("=")[0].replace("_", "-") in OF_THE_GATE):
            raise UsageError(
                f"skill-flags holds {flag.partition('=')[0]}, which the gate gives or has no use for; leave it out"
            )
        for name in (name for name in self.parts if name not in PARTS):
            raise UsageError(f"parts holds {name!r}; {near_match(name, list(PARTS))}give some of {', '.join(PARTS)}")
        names = [path.stem for path in self.skills]
        if len(set(names)) < len(names):
            raise UsageError(f"skills are named by their files, and two are alike: {', '.join(names)}; rename one")
        if not names and not set(self.parts) & set(JUDGED):
            raise UsageError(f"parts holds none that judges, and there is no skill; give one of {', '.join(JUDGED)}")
        known = [*self.parts, *names]
        for name in (name for name in self.allow if name not in known):
            raise UsageError(
                f"allow holds {name!r}; {near_match(name, known)}give parts or skills asked: {', '.join(known)}"
            )

    @property
    def skill_words(self) -> list[str]:
        """As a shell takes them apart."""
        try:
            return shlex.split(self.skill_flags)
        except ValueError as error:
            raise UsageError(f"skill-flags is {self.skill_flags!r}: {error}; close it") from None


def gate_command(options: GateOptions) -> int:
    """Write gate.json and gate.html beside the comparison; 1 where something changed beyond what is allowed, 3 where
    neither a part nor a skill could say."""
    from soft_prompts.experiments.gate import ask, gate, question_of  # torch takes seconds to load
    from soft_prompts.report.behaviour.page import write_page

    for path in (path for path in options.skills if not path.is_file()):
        raise InputError(f"{path} is no file; give a JSONL file of prompt and completion")
    models = (options.old, options.new)
    with each_line_once():  # of a skill's data much is said before anything is compared, and again when it is asked
        questions = [question_of(path, models, options.out, options.skill_words) for path in options.skills]
        timed = compared(options, *models, options.controls, options.parts)
        skills = [ask(question) for question in questions]
    found = gate(timed.comparison, skills, options.allow)
    content = json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n"
    write_atomically(options.out / "gate.json", content.encode())
    tables = [_skills_table(found)] if skills else []
    page = options.out / "gate.html"
    write_page(page, "May it take the other's place?", found.sentence, timed.comparison, tables)
    for finding in timed.comparison.findings:
        print(f"{finding.part}: {finding.verdict.upper()}. {finding.sentence}")
    for skill in found.skills:
        print(
            f"{skill.name}: {skill.word}. {skill.before} ({skill.before_bracket}) before, {skill.after} "
            f"({skill.after_bracket}) after"
        )
    if skills:
        print(f"tokens to reveal what changed: {found.reveal}; tokens to elicit a skill stand with it")
    print(found.sentence)
    say(f"the page is {page}")
    return 1 if found.beyond else 0 if found.is_judged else InputError.exit_code


def _skills_table(found: "Gate") -> "Table":
    from soft_prompts.report.page.table import Cell, Table, heads

    rows = [
        tuple(map(Cell, (one.name, one.before, one.before_bracket, one.after, one.after_bracket, one.word)))
        for one in found.skills
    ]
    columns = heads("*skill", "*before", "*tokens", "*after", "*tokens", "*verdict")
    rows.append(tuple(map(Cell, ("whatever changed, by the probe", "", "", "to reveal", found.reveal, ""))))
    note = (
        "A skill has moved where its verdict is another, or its brackets share no count of tokens: trained tokens that "
        "elicit it. An open verdict (UNDECIDED, NO SCALE) leaves it to the brackets. Tokens to reveal are those of the "
        "vocabulary that bring out a change which nobody named."
    )
    return Table("Skills", note, columns, tuple(rows))

"""Does the gate stop what changed beyond what is allowed, and nothing else?"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from soft_prompts.analysis.losses.curves import Curve
from soft_prompts.analysis.losses.drafts import Run
from soft_prompts.analysis.points import Point
from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.analysis.scales import Scale
from soft_prompts.analysis.verdicts import Verdict
from soft_prompts.behaviour.comparison.finding import Comparison, Finding
from soft_prompts.commands import main as cli
from soft_prompts.commands.gate import GateOptions, gate_command
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.experiments import gate as gate_module
from soft_prompts.experiments.gate import Question, Skill, apart, ask, gate, question_of, skill_of
from soft_prompts.stats.brackets import Bracket
from tests.checks.behaviour.conftest import noisy_copy
from tests.checks.conftest import save_tiny_model
from tests.checks.made.results import build_result
from tests.checks.made.stored_results import flat_items, save

CARD = {"name": "m", "fingerprint": "f"}


def comparison(**verdicts: str) -> Comparison:
    findings = tuple(
        Finding(part=part, verdict=verdict, sentence="", p=0.5)  # pyright: ignore[reportArgumentType]
        for part, verdict in verdicts.items()
    )
    return Comparison(
        base=CARD, target=CARD, controls=(), settings={}, seed=0, versions={}, findings=findings, sentence=""
    )


def skill(name: str, moved: bool) -> Skill:
    return Skill(name, "PRESENT", "HIDDEN" if moved else "PRESENT", "0", "0", moved)


def test_what_is_allowed_passes_and_the_rest_stops() -> None:
    found = comparison(divergence="changed", labels="not shown", probe="untested")
    assert gate(found, []).sentence == "STOP: changed beyond what is allowed: divergence; no verdict by probe"
    allowed = gate(found, [], ("divergence",))
    assert (allowed.beyond, allowed.sentence) == ((), "PASS: changed as allowed: divergence; no verdict by probe")
    skills = [skill("sums", True), skill("plurals", False)]
    assert gate(found, skills, ("divergence",)).beyond == ("sums",)
    assert gate(found, skills, ("divergence", "sums")).beyond == ()
    assert gate(comparison(labels="not shown"), []).sentence == "PASS: no change was shown"


def test_what_nobody_could_judge_does_not_pass() -> None:
    """No part with a verdict and no skill with a scale: nothing was shown, for nothing could be."""
    unscaled = Skill("sums", "NO SCALE", "NO SCALE", "", "", moved=False)
    assert not gate(comparison(), [Skill("sums", "UNDECIDED", "UNDECIDED", "", "", moved=False)]).is_judged
    for found in (comparison(labels="untested", divergence="described", sample="described"), comparison()):
        verdict = gate(found, [unscaled])
        assert not verdict.is_judged
        assert verdict.sentence.startswith(
            "NOT JUDGED: give 3 controls, more prompts, or skills with a verdict; no ver"
        )
        assert verdict.sentence.endswith("sums")
        assert gate(found, [unscaled, skill("plurals", False)], ("sums",)).is_judged
    for skills in ([unscaled], [unscaled, skill("plurals", False)]):
        judged = gate(comparison(labels="not shown", probe="untested"), skills)
        assert not judged.is_judged
        assert judged.sentence == (
            "NOT JUDGED: nothing can be said of sums: give more evidence, or --allow; no verdict by probe, sums"
        )
    allowed = gate(comparison(labels="not shown", probe="untested"), [unscaled], ("sums",))
    assert allowed.is_judged
    assert allowed.sentence == "PASS: no change was shown; no verdict by probe, sums"
    assert gate(comparison(labels="identical"), []).is_judged


def test_a_labeller_that_does_not_answer_does_not_pass() -> None:
    """Another part says that nothing changed; who asked a labeller wanted its word."""
    silent = replace(comparison(labels="untested").findings[0], details={"unanswered": 90})
    found = comparison(divergence="not shown", probe="untested")
    found = replace(found, findings=(*found.findings, silent))
    verdict = gate(found, [])
    assert not verdict.is_judged
    assert verdict.sentence == (
        "NOT JUDGED: nothing can be said of labels: give more evidence, or --allow; no verdict by probe, labels"
    )
    assert gate(found, [], ("labels",)).sentence == "PASS: no change was shown; no verdict by probe, labels"
    alone = gate(replace(found, findings=(silent,)), [])
    assert alone.sentence.startswith("NOT JUDGED")


def reading(word: str, half: Bracket | None) -> Reading:
    verdict: Any = Verdict(word, None, "", None)  # pyright: ignore[reportArgumentType]
    lead = None if half is None else Scale("loss", "nats", None, None, True, None, {}, half, half)
    curve = Curve("completion", None, "sums", "a", "direct", "none", {}, "loss", "loss", "nats", ())
    points = (Point(16, Run(Path("a.json"), build_result()), *([None] * 10)),)
    return Reading(curve, points, (), (), None, lead, {}, None, verdict)


def test_an_open_verdict_moves_a_skill_by_its_brackets_alone() -> None:
    """Two verdicts of which one says nothing differ without anything having moved."""
    shown, later = Bracket(0.5, "shown", None, 1), Bracket(0.5, "shown", 4, 16)
    for before, after, moved, word in (
        (("NO SCALE", None), ("UNDECIDED", shown), False, "NOT JUDGED"),
        (("PRESENT", shown), ("NO SCALE", None), False, "NOT JUDGED"),
        (("UNDECIDED", shown), ("HIDDEN", shown), False, "NOT JUDGED"),
        (("UNDECIDED", shown), ("HIDDEN", later), True, "MOVED"),
        (("HIDDEN", shown), ("HIDDEN", later), True, "MOVED"),
        (("PRESENT", shown), ("HIDDEN", shown), True, "MOVED"),
        (("HIDDEN", shown), ("HIDDEN", shown), False, "same"),
    ):
        found = skill_of("sums", reading(*before), reading(*after))
        assert (found.moved, found.word) == (moved, word), (before, after)
        assert found.is_judged == (gate(comparison(), [found]).unjudged == ())


@pytest.mark.parametrize(("right", "moved"), [(0.3, True), (0.88, False)])
def test_an_open_verdict_moves_where_the_bare_models_do_otherwise(tmp_path: Path, right: float, moved: bool) -> None:
    """Without evidence there is no scale, and yet .9 right is not .3 right."""
    draw = np.random.default_rng(0)
    for name, share in (("old", 0.9), ("new", right)):
        items = flat_items((2.0, 0.0))
        outcome = (draw.random(len(items.cluster)) < share).astype(float)
        save(tmp_path, "run", replace(items, outcome=outcome), tokens=0, model=name)
    old, new = sorted(read_all([tmp_path]).readings, key=lambda one: one.curve.model, reverse=True)
    found = skill_of("sums", old, new)
    assert {found.before, found.after} == {"NO SCALE"}
    assert (found.moved, found.word) == (moved, "MOVED" if moved else "NOT JUDGED")
    assert gate(comparison(), [found]).beyond == (("sums",) if moved else ())


def test_a_single_answer_moves_no_skill(tmp_path: Path) -> None:
    """All that were asked flipped, and it was one."""
    for name, right in (("old", 1.0), ("new", 0.0)):
        items = flat_items((2.0, 0.0))
        outcome = np.full(len(items.cluster), np.nan)
        outcome[0] = right
        save(tmp_path, "run", replace(items, outcome=outcome), tokens=0, model=name)
    found = skill_of("sums", *read_all([tmp_path]).readings)
    assert not found.moved


def test_slips_are_named_before_anything_is_compared(tmp_path: Path) -> None:
    def options(**given: Any) -> GateOptions:
        return GateOptions(old="a", new="b", documents=tmp_path / "d.jsonl", **given)

    skill_file = tmp_path / "s.jsonl"
    with pytest.raises(InputError, match=r"s.jsonl is no file"):
        gate_command(options(skills=(skill_file,)))
    skill_file.touch()
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "s.jsonl").touch()
    with pytest.raises(UsageError, match="two are alike"):
        options(skills=(tmp_path / "x" / "s.jsonl", skill_file))
    with pytest.raises(UsageError, match=r"allow holds 'lables'; \(did you mean 'labels'\?\)"):
        options(allow=("lables",))
    for parts in ((), ("sample", "clusters")):
        with pytest.raises(UsageError, match="parts holds none that judges, and there is no skill"):
            options(parts=parts)
    assert options(parts=(), skills=(skill_file,), allow=("s",)).allow == ("s",)


def test_tokens_to_reveal_stand_beside_the_skills() -> None:
    """A count of the probe counts where the probe's part is a change; else it is not shown by as many as were tried."""

    def probed(verdict: str, tokens: int | None) -> str:
        details = {"tokens_to_reveal": tokens, "lengths": [{"tokens": 1}, {"tokens": 4}]}
        finding = Finding(part="probe", verdict=verdict, sentence="", details=details)  # pyright: ignore
        return gate(replace(comparison(labels="not shown"), findings=(finding,)), []).to_json()["tokens_to_reveal"]

    assert probed("changed", 3) == "at most 3 tokens"
    assert probed("changed", 1) == "at most 1 token"
    assert probed("not shown", 1) == probed("not shown", None) == "not shown by 4"
    assert probed("untested", None) == "untested"
    assert gate(comparison(labels="changed"), []).reveal == "not asked"


def test_brackets_that_share_a_count_have_not_moved() -> None:
    def bracket(more_than: int | None, at_most: int | None) -> Bracket:
        return Bracket(0.5, "shown" if at_most is not None else "not_reached", more_than, at_most)

    assert not apart(bracket(0, 4), bracket(1, 16))
    assert apart(bracket(None, 0), bracket(4, 16))
    assert apart(bracket(4, 16), bracket(None, 0))
    assert apart(bracket(0, 1), bracket(16, None))
    assert not apart(bracket(0, 1), bracket(None, None))
    assert not apart(None, bracket(0, 1))


def test_flags_that_the_gate_gives_are_refused_in_a_line(tmp_path: Path) -> None:
    """In whatever form they are typed, and before anything loads."""
    for flags in ("--output-dir x", "--preset quick --output_dir=x", "--print-config", "--models a", "--data=s", "-h"):
        with pytest.raises(UsageError, match=r"^skill-flags holds -.*, which the gate gives or has no use for"):
            GateOptions(old="a", new="b", documents=tmp_path / "d.jsonl", skill_flags=flags)
    with pytest.raises(UsageError, match="No closing quotation"):
        GateOptions(old="a", new="b", documents=tmp_path / "d.jsonl", skill_flags="--fields 'a")


def write_skill(path: Path, rows: int, completion: str = " of") -> Path:
    path.parent.mkdir(exist_ok=True)
    lines = [json.dumps({"prompt": f"the {n}", "completion": completion}) + "\n" for n in range(rows)]
    path.write_text("".join(lines))
    return path


def test_what_is_wrong_of_a_skill_is_said_before_anything_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compared(*asked: object) -> None:
        raise AssertionError("a comparison takes long")

    monkeypatch.setattr("soft_prompts.commands.gate.compared", compared)
    model = save_tiny_model(tmp_path / "old", "gpt_neox")

    def options(rows: int, flags: str) -> GateOptions:
        skills = (write_skill(tmp_path / "s.jsonl", rows),)
        given = {"documents": tmp_path / "d.jsonl", "out": tmp_path / "out", "skills": skills, "skill_flags": flags}
        return GateOptions(old=str(model), new=str(model), **given)

    with pytest.raises(UsageError, match=r"--presett is no flag \(did you mean --preset\?\)"):
        gate_command(options(120, "--presett quick"))
    with pytest.raises(UsageError, match="--steps is -1"):
        gate_command(options(120, "--steps -1"))
    with pytest.raises(InputError, match=r"s.jsonl has no validation line"):
        gate_command(options(1, ""))
    with pytest.raises(InputError, match="a sample has 2"):  # of this model's tokens
        gate_command(options(120, "--sample-tokens 2"))


def test_a_skill_is_judged_by_the_lines_of_its_own_file(tmp_path: Path) -> None:
    """Other lines under the same name, in another folder or edited, and other test lines: each has its own results."""
    model = str(save_tiny_model(tmp_path / "old", "gpt_neox"))
    first, other = write_skill(tmp_path / "a" / "s.jsonl", 120), write_skill(tmp_path / "b" / "s.jsonl", 120, " and")

    def folder(path: Path, *flags: str) -> Path:
        return question_of(path, (model, model), tmp_path / "out", flags).folder

    tested = ("--test-data", str(write_skill(tmp_path / "t.jsonl", 20)))
    found = [folder(first), folder(other), folder(first, "--steps", "2"), folder(first, *tested)]
    assert len(set(found)) == 4
    write_skill(tmp_path / "t.jsonl", 21)
    assert folder(first, *tested) not in found
    assert folder(write_skill(first, 120, " and")) == found[1]
    assert folder(write_skill(first, 120)) == found[0]


def test_one_curve_of_a_model_is_judged_and_what_speaks_against_it_is_said(
    tmp_path: Path, save_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever lies in the folder beside what was asked for."""
    monkeypatch.setattr(gate_module, "EXPERIMENT", SimpleNamespace(main=lambda *_: 0))
    asked, earlier = Question("s", ("a", "a/"), (), tmp_path), {"environment__finished": "2025-01-01T00:00:00Z"}
    save_run(model="a", tokens=0, value=5.0)
    save_run(model="a", tokens=4, value=4.0)
    save_run(model="a", tokens=4, value=1.0, data__fingerprint="other", **earlier)
    assert ask(asked).word == "NOT JUDGED"
    assert "skill s, a: 4 tokens, seed 0: other data of the same name" in capsys.readouterr().err
    save_run(model="a", tokens=4, value=3.0, kind="direct")
    with pytest.raises(InputError, match=r"skill s: .* holds 2 curves of a \(.*direct.*; .*mlp.*\), and one is judged"):
        ask(asked)
    with pytest.raises(InputError, match="holds 0 curves of b, and one"):
        ask(asked._replace(models=("b", "a")))


def test_the_command_asks_a_skill_of_both_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tiny model and a noisy copy; the page and the verdict stand, and the exit code is that of the verdict."""
    old = save_tiny_model(tmp_path / "old", "gpt_neox")
    others = [noisy_copy(old, tmp_path / name, seed) for seed, name in enumerate(("new", "c1", "c2"))]
    documents, skills = tmp_path / "documents.jsonl", tmp_path / "moves.jsonl"
    documents.write_text(
        "".join(json.dumps({"id": str(n), "text": f"e2e4 e7e5 of {n} the and"}) + "\n" for n in range(20))
    )
    write_skill(skills, 120)
    words = ["gate", str(old), f"{others[0]}/", "--controls", *map(str, others[1:]), "--documents", str(documents)]
    words += ["--parts", "divergence", "--new-tokens", "4", "--prompt-tokens", "4", "--device", "cpu"]
    words += ["--skills", str(skills), "--out", str(tmp_path / "out")]
    flags = "--tokens 0 1 --steps 2 --evidence none --jobs 1 --device cpu --test-samples 10 --validation-samples 4"
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, f"--skill-flags={flags}"])
    said = capsys.readouterr()
    assert (tmp_path / "out" / "gate.json").exists(), said.err
    found = json.loads((tmp_path / "out" / "gate.json").read_text())
    assert said.out.splitlines()[-1] == found["verdict"], said.err
    assert ended.value.code == (1 if found["beyond"] else 3)  # without evidence nothing is said of the skill
    assert found["skills"][0]["name"] == "moves"
    assert "moves" in (tmp_path / "out" / "gate.html").read_text()

"""Is a comparison whole: the same file for the same seed, resumable, honest about few controls and bad input?"""

import json
import math
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from soft_prompts.behaviour.comparison import family
from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.comparison.compare import ask, compare, judge, sentence_of
from soft_prompts.behaviour.comparison.family import Family, Loading, Models
from soft_prompts.behaviour.comparison.finding import Finding, read_comparison, write_comparison
from soft_prompts.behaviour.comparison.room import refuse_beyond_room
from soft_prompts.behaviour.comparison.settings import PARTS, ComparisonSettings
from soft_prompts.behaviour.comparison.texts import Text, halves, read_documents, read_prompts
from soft_prompts.commands import main as cli
from soft_prompts.common.errors import InputError, UsageError
from tests.checks.behaviour.conftest import SMALL
from tests.checks.conftest import save_tiny_model


def test_the_same_seed_is_the_same_file_and_a_stopped_one_goes_on(
    make_asked: Callable[..., Asked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = make_asked(folder=tmp_path)
    first = compare(asked).comparison
    assert [one.part for one in first.findings] == list(PARTS)
    write_comparison(tmp_path / "one.json", first)
    assert read_comparison(tmp_path / "one.json").to_json() == first.to_json()
    monkeypatch.setattr(Models, "_load", lambda *_: pytest.fail("a finished comparison loads no model"))
    kept = sorted(path.name for path in (tmp_path / "steps").iterdir())
    (tmp_path / "steps" / kept[0]).write_text('{"cut')
    monkeypatch.undo()
    again = compare(make_asked(folder=tmp_path)).comparison
    write_comparison(tmp_path / "two.json", again)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


@pytest.mark.parametrize(
    ("given", "parts", "says"),
    [
        (
            {"document_tokens": 40},
            ("divergence",),
            r"has \d+ tokens, and document-tokens is 40; .*control-2 has 20 positions",
        ),
        (
            {"new_tokens": 17},
            ("sample",),
            r"of 4 tokens and new-tokens 17 are 21 positions; .*control-2 has 20 pos",
        ),
        (
            {"continuation": 15},
            ("probe",),
            r"probe-tokens 2, a beginning of \d+ and continuation 15 are .*2 has 20",
        ),
    ],
)
def test_nothing_is_read_beyond_the_models_positions(
    given: dict[str, int], parts: tuple[str, ...], says: str, make_asked, monkeypatch, texts: Path, tmp_path: Path
) -> None:
    """Rotary models would say numbers there; of the models the one with the fewest decides."""
    long = tmp_path / "long.jsonl"
    long.write_text("".join(json.dumps({"id": f"d{n}", "text": f"e2e4 the of {n} " * 9}) + "\n" for n in range(40)))
    fewest = {"control-2": 20}
    monkeypatch.setattr(family, "find_context_length", lambda name, *_: fewest.get(Path(name).name, 256))
    asked = make_asked(settings=replace(SMALL, **given), documents=long)
    with pytest.raises(UsageError, match=says):
        compare(asked, parts)
    if parts == ("probe",):  # which is not made
        assert compare(asked.of(replace(asked.family, controls=asked.family.controls[:2])), parts).comparison
    fewest.clear()
    refuse_beyond_room(asked.of(asked.family), parts)


def test_the_base_against_itself_is_exactly_nothing(make_asked: Callable[..., Asked]) -> None:
    found = compare(make_asked(target="base")).comparison
    assert found.sentence == "identical: the target is the base, to the byte"
    divergence = found.finding("divergence")
    assert divergence is not None
    assert (divergence.value, divergence.verdict) == (0.0, "identical")
    assert all(row["js"]["value"] == 0 for row in divergence.details["texts"].values())
    assert all(one.p is None for one in found.findings)


def test_without_controls_nothing_is_judged(make_asked: Callable[..., Asked]) -> None:
    found = compare(make_asked(controls=0), ("divergence", "sample", "labels", "two-sample", "probe")).comparison
    assert found.sentence == "no verdict: descriptive only"
    assert all(one.p is None and one.adjusted_p is None for one in found.findings)
    assert all("no control: descriptive only, no verdict" in one.warnings for one in found.findings)
    few = compare(make_asked(controls=2), ("divergence",)).comparison.findings[0]
    assert few.p is not None
    assert few.warnings == ("2 controls: their spread is hardly known; 3 or more are wanted",)


def test_verdicts_are_adjusted_over_parts() -> None:
    def finding(part: str, p: float | None) -> Finding:
        return Finding(part=part, verdict="not shown" if p is not None else "untested", sentence="", p=p)

    found = judge([finding("divergence", 0.02), finding("labels", 0.03), finding("two-sample", None)], 0.05)
    assert [(one.verdict, one.adjusted_p) for one in found] == [
        ("changed", 0.04),
        ("changed", 0.04),
        ("untested", None),
    ]
    assert judge([finding("divergence", 0.02), finding("labels", 0.06)], 0.05)[1].verdict == "not shown"
    assert sentence_of(found).startswith("CHANGED beyond the controls by divergence, labels")


def test_files_are_split_by_id_alone() -> None:
    texts = [Text(f"d{number}", f"text {number}") for number in range(200)]
    first, second = halves(texts)
    assert not {one.id for one in first} & {one.id for one in second}
    assert 70 < len(first) < 130
    assert halves(list(reversed(texts)))[0] == list(reversed(first))
    assert halves(texts, "other")[0] != first


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"id": "a", "text": " "}'], "line 1: the text of 'a' is empty"),
        (['{"id": "a", "text": "x"}', '{"id": "a", "text": "y"}'], "line 2: 'a' has the id of line 1"),
        (['{"id": "a", "text": "x"}', '{"id": "b", "text": "x"}'], "line 2: 'b' has the text of line 1"),
        (['{"text": "x"}'], "line 1: 'id' is missing"),
    ],
)
def test_bad_documents_are_named(tmp_path: Path, lines: list[str], message: str) -> None:
    path = tmp_path / "documents.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=message):
        read_documents(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "!",
            r"none of \d+ held-out documents has more than 4 tokens to begin a prompt with; give longer ones, --",
        ),
        ("", r"none of \d+ held-out documents has two tokens; give longer ones"),
    ],
)
def test_documents_too_short_to_be_read_are_refused(
    family_folders: dict[str, Path], tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "documents.jsonl"
    lines = [json.dumps({"id": letter, "text": letter + text}) for letter in string.ascii_lowercase]
    path.write_text("\n".join(lines))
    family = Family(str(family_folders["base"]), str(family_folders["target"]), (str(family_folders["control-1"]),))
    with pytest.raises(InputError, match=message):
        ask(family, path, settings=SMALL)


def test_prompts_need_no_id(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "one"}\n{"prompt": "two"}\n')
    assert [one.text for one in read_prompts(path)] == ["one", "two"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cut": 1.0}, "cut is 1.0"),
        ({"strength": -1.0}, "strength is -1.0"),
        ({"new_tokens": 0}, "new-tokens is 0; give 1 or more"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"search_contexts": 3}, "search-contexts is 3; give 4 or more"),
        ({"held_out_contexts": 3}, "held-out-contexts is 3; give 4 or more"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ComparisonSettings(**settings)  # pyright: ignore[reportArgumentType]


def test_strange_families_are_refused(family_folders: dict[str, Path], texts: Path, tmp_path: Path) -> None:
    base, target, control = (str(family_folders[name]) for name in ("base", "target", "control-1"))
    with pytest.raises(UsageError, match="is the target itself"):
        Models(Family(base, target, (target,)))
    with pytest.raises(UsageError, match="are the same model"):
        Models(Family(base, target, (control, str(family_folders["control-1"].parent / "." / "control-1"))))
    other = save_tiny_model(tmp_path / "other", "gpt_neox", seed=1)
    vocabulary = json.loads((other / "tokenizer.json").read_text())
    ids = vocabulary["model"]["vocab"]
    ids["a"], ids["b"] = ids["b"], ids["a"]
    (other / "tokenizer.json").write_text(json.dumps(vocabulary))
    models = Models(Family(base, str(other)))
    assert models[base].name == base
    with pytest.raises(UsageError, match="different tokenizers"):
        _ = models[str(other)]


def test_models_that_wait_are_put_away(family_folders: dict[str, Path]) -> None:
    names = [str(family_folders[f"control-{number}"]) for number in range(1, 5)]
    models = Models(Family(str(family_folders["base"]), str(family_folders["target"]), tuple(names)))
    for name in models.family.names:
        _ = models[name]
    assert list(models._open) == list(models.family.names)
    few = Models(models.family, Loading(resident=2))
    for name in models.family.names:
        _ = few[name]
    assert list(few._open) == names[-2:]


def test_the_command_writes_the_comparison(
    family_folders: dict[str, Path], texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--base", str(family_folders["base"]), "--target", str(family_folders["target"]), "--controls"]
    words += [str(family_folders[f"control-{number}"]) for number in (1, 2, 3)]
    words += ["--documents", str(texts), "--out", str(tmp_path / "out"), "--document-tokens", "12", "--device", "cpu"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["behaviour", "divergence", *words, "--new-tokens", "4", "--prompt-tokens", "4"])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    found = read_comparison(tmp_path / "out" / "comparison.json")
    assert said.out.splitlines()[-1] == found.sentence
    assert set(json.loads((tmp_path / "out" / "seconds.json").read_text())) == {"divergence"}
    assert found.settings["document_tokens"] == 12


def test_documents_too_short_for_the_probe_leave_the_rest_its_verdicts(
    make_asked: Callable[..., Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    """Said before the first part is made; a probe asked alone is refused, and one that was not asked says nothing."""
    lacking = "of the documents, 0 to search on and 1 to judge on have 4 tokens; the probe needs 4 of each"
    asked = make_asked()
    first, *others = asked.texts.held_out
    held_out = (first, *(one._replace(text="e2") for one in others))
    texts = asked.texts._replace(search=tuple(one._replace(text="e2") for one in asked.texts.search), held_out=held_out)
    asked = replace(asked, texts=texts)
    found = compare(asked, ("divergence", "probe")).comparison
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"probe: untested: {lacking}")
    divergence, probe = found.findings
    assert divergence.verdict in ("changed", "not shown")
    assert (probe.verdict, probe.p) == ("untested", None)
    assert probe.sentence.startswith(lacking)
    compare(asked, ("sample",))
    assert "untested" not in capsys.readouterr().err
    with pytest.raises(InputError, match=f"^{lacking}"):
        compare(asked, ("probe",))
    few = asked.of(replace(asked.family, controls=asked.family.controls[:2]))
    assert compare(few, ("probe",)).comparison.findings[0].sentence.endswith("give 3 controls or more")


def test_smallest_rates_are_printed(make_asked: Callable[..., Asked]) -> None:
    found = compare(make_asked(settings=replace(SMALL, most_prompts=12, level=0.5)), ("labels",)).comparison.findings[0]
    assert any("prompts: a rate below" in one for one in found.warnings)


def test_a_part_that_could_have_shown_nothing_is_untested(make_asked: Callable[..., Asked]) -> None:
    """Three prompts that test give no p of .05; a half of few prompts teaches a classifier nothing."""
    found = compare(make_asked(settings=replace(SMALL, most_prompts=12)), ("labels", "two-sample")).comparison
    assert [(one.verdict, one.p) for one in found.findings] == [("untested", None)] * 2
    assert all("give more" in one.sentence for one in found.findings)
    assert found.sentence == "no verdict: descriptive only"


def test_steps_are_those_of_their_precision(make_asked: Callable[..., Asked], tmp_path: Path) -> None:
    asked = make_asked(folder=tmp_path)
    other = replace(asked, models=Models(asked.family, Loading(dtype="bfloat16")))
    (first,), (second,) = (compare(one, ("divergence",)).comparison.findings for one in (asked, other))
    assert first.value != second.value
    assert [compare(one, ("divergence",)).comparison.settings["dtype"] for one in (asked, other)] == [
        "float32",
        "bfloat16",
    ]


def test_the_base_is_no_control(make_asked: Callable[..., Asked]) -> None:
    models = make_asked().models
    models.refuse_base_among_controls()
    family = models.family
    strange = Models(Family(family.base, family.target, (*family.controls, family.base)))
    with pytest.raises(UsageError, match="is the base itself"):
        strange.refuse_base_among_controls()


def test_a_level_is_a_chance() -> None:
    for level in (0.0, 5.0, 1.0, math.nan):
        with pytest.raises(UsageError, match=r"give a chance above 0 and up to 0.5"):
            replace(SMALL, level=level)

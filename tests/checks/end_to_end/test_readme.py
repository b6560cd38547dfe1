"""Does the README tell the truth? Its code runs, and the packages, commands and paths that it names exist; so do the
paths on the other pages."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from soft_prompts.commands.main import main
from tests.checks.test_floors import ROOMS

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)
PAGES = [
    *sorted(ROOT.glob("docs/*.md")),
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "tests/README.md", "exploratory_tests/README.md")),
]


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [block for block in BLOCKS if "import soft_prompts as sp" in block]
    shortened = code.replace("steps=20, test_samples=100", "steps=2, test_samples=12, validation_samples=8")
    assert shortened != code
    monkeypatch.chdir(tmp_path)
    exec(compile(shortened, "README.md", "exec"), {"__name__": "readme"})
    assert re.search(r"metric +loss_per_move +move_legality\ntokens[ ]*\n0 .*\n4 ", capsys.readouterr().out)
    assert (tmp_path / "chess.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.glob("results/chess/games/tiny-chess/*.json"))) == 2


def test_its_verdicts_are_what_the_command_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, said = re.split(r" says:\n\n```\n", README)[:2]
    command = " ".join(before[before.rindex("`soft-prompts compare") :].split()).strip("`").split()
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(command[1:])
    printed = capsys.readouterr().out
    sentences = re.split(r"\n(?=\S)", said.split("\n```")[0])
    assert len(sentences) == 4
    assert [one for one in sentences if one + "\n" not in printed] == []


def test_what_it_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_its_tree_names_every_package() -> None:
    tree = README[README.index("## Where things are") :].split("```")[1]
    lines = re.findall(r"^  (\w+(?:, \w+)*)  ", tree, re.M)
    assert sorted(name for line in lines for name in line.split(", ")) == ROOMS


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command says of its flags; an unknown one fails here."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0, words
    return capsys.readouterr().out


def test_its_commands_and_flags_exist(capsys: pytest.CaptureFixture[str]) -> None:
    commands = set(re.findall(r"soft-prompts ([a-z][a-z-]+)", README))
    assert commands >= {"run", "list", "compare", "report", "models", "generate", "calibrate"}
    run = set(re.findall(r"soft-prompts run ([a-z_]+)", README)) | set(re.findall(r"tests\.(\w+)_test", README))
    assert run >= {"chess", "completion"}
    said = [help_of(capsys, command) for command in sorted(commands - {"run"})]
    said += [help_of(capsys, "run", experiment) for experiment in sorted(run)]
    known = set(re.findall(r"--[a-z-]+", " ".join(said))) | {"--help", "--logdir"}  # the last is tensorboard's
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", README))
    assert len(flags) > 20
    assert sorted(flags - known) == []


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_modules_and_files_that_pages_name_exist(page: Path) -> None:
    text = page.read_text()
    modules = set(re.findall(r"python -m ((?:tests|soft_prompts|exploratory_tests)[\w.]*\w)", text))
    modules |= set(re.findall(r"`(soft_prompts(?:\.[a-z_]+)+)`", text))
    assert [name for name in sorted(modules) if find_spec(name) is None] == []
    files = set(re.findall(r"(?<![\w/.])(?:tests|soft_prompts|docs|checks)/[\w/.]*\w", text))
    assert [path for path in sorted(files) if not (ROOT / path).exists() and not (page.parent / path).exists()] == []
    assert modules | files or page.parent.name == "docs"

"""The report is one page that says what the results say, whatever they hold: nothing is fetched, nothing else runs."""

import dataclasses
import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from soft_prompts.analysis.losses.curves import Curve
from soft_prompts.behaviour.comparison.finding import write_comparison
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.report.page.command import ReportOptions, report_command
from soft_prompts.report.page.paper import published
from soft_prompts.results.schema import Generation
from tests.checks.made.report_results import hostile_runs, paper_runs, save
from tests.checks.report.test_behaviour_page import comparison

VOID = {"meta", "input", "img", "br", "link"}


class Element(NamedTuple):
    tag: str
    attributes: dict[str, str]
    inside: tuple[str, ...]
    """Tags around it, outermost first."""


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.unclosed = list(self._open)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}, tuple(self._open)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}, tuple(self._open)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    def all(self, tag: str, name: str = "", value: str = "") -> list[Element]:
        like = (one for one in self.elements if one.tag == tag)
        return [one for one in like if not name or value in one.attributes.get(name, "").split()]

    def text(self, tag: str) -> str:
        return "".join(text for inside, text in self.texts if inside == tag)


class Made(NamedTuple):
    out: Path
    figures: Path
    text: str
    page: Page
    results: list[Path]
    code: int


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    """Two models on chess with two seeds, hostile texts everywhere, one curve that the paper has, one broken file."""
    root = tmp_path_factory.mktemp("report")
    folder = root / "results" / "odd #1 %41?"
    paths = [*hostile_runs(folder), *paper_runs(folder)]
    (folder / "broken.json").write_text("{")
    out = root / "page" / "all.html"
    code = report_command(ReportOptions((root / "results",), out, root / "figures", draws=40))
    text = out.read_text("utf-8")
    return Made(out, root / "figures", text, Page(text), paths, code)


def links(page: Page) -> Iterator[str]:
    for one in page.elements:
        for name in ("href", "xlink:href"):
            if name in one.attributes:
                yield one.attributes[name]


def test_the_page_is_whole_and_fetches_nothing(made):
    assert made.page.unclosed == []
    assert not any("src" in one.attributes or "style" in one.attributes for one in made.page.elements)
    assert not {"img", "link", "iframe", "object", "embed", "form", "base"} & {one.tag for one in made.page.elements}
    (style,), (script,) = made.page.all("style"), made.page.all("script")
    assert style.attributes == script.attributes == {}
    assert not re.search(r"url\(|@import|https?:", made.page.text("style") + made.page.text("script"))
    assert not [name for one in made.page.elements for name in one.attributes if name.startswith("on")]


def test_the_policy_allows_this_style_and_this_script_alone(made):
    (policy,) = (one.attributes["content"] for one in made.page.all("meta", "http-equiv", "Content-Security-Policy"))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for tag in ("style", "script"):
        digest = b64encode(hashlib.sha256(made.page.text(tag).encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


def test_what_results_hold_stays_text(made):
    shown = "".join(text for _, text in made.page.texts)
    assert "<script>window.taken=1</script>]]>--><img src=x" in shown
    assert "{{ 7*7 }} &amp; </pre>" in shown
    assert "⟨U+0000⟩⟨U+202E⟩evil⟨U+2066⟩" in shown
    assert not set(made.text) & {"\0", "\u202e", "\u2066"}
    for svg in made.figures.glob("*.svg"):
        assert not set(svg.read_text("utf-8")) & {"\0", "\u202e"}
        assert {part.tag.split("}")[1] for part in ElementTree.parse(svg).iter()} <= {
            *("svg", "style", "rect", "path", "text", "title", "a")
        }


def test_half_a_surrogate_pair_is_written_out(tmp_path, make_result):
    path = save(tmp_path, "run", make_result(value=1.0, generations=(Generation("p", None, "MARK", None),)), None)
    path.write_text(path.read_text().replace("MARK", "\\ud800"))
    report_command(ReportOptions((path,), tmp_path / "page.html", draws=10))
    assert "⟨U+D800⟩" in (tmp_path / "page.html").read_text("utf-8")


def test_every_number_leads_to_its_file(made):
    addresses = [address for address in links(made.page) if not address.startswith("#")]
    files = {(made.out.parent / unquote(address)).resolve() for address in addresses}
    assert all(re.match(r"[\w.%~/-]+$", address) and not address.startswith("/") for address in addresses)
    assert all(file.is_file() and file.suffix == ".json" for file in files)
    assert files == {path.resolve() for path in made.results}
    places = {one.attributes["id"] for one in made.page.elements if "id" in one.attributes}
    assert {address[1:] for address in links(made.page) if address.startswith("#")} <= places


def test_a_cell_and_a_sentence_for_each_curve(made):
    cells, entries = made.page.all("a", "class", "square"), made.page.all("ul", "class", "entries")
    sentences = [one for one in made.page.all("li") if one.attributes.get("class", "").startswith("is-")]
    assert (len(cells), len(entries), len(sentences)) == (3, 2, 3)
    assert [cell.attributes["href"] for cell in cells] == [f"#{one.attributes['id']}" for one in sentences]
    rows = [one for one in made.page.all("td") if "data-key" in one.attributes]
    assert len(rows) > len(made.results)
    assert "14.000 ± 0.010" in made.page.text("a")  # tiny-text with 0 tokens, to two digits of its standard error


def test_all_but_verdicts_sentences_and_figures_is_folded(made):
    shown = [one for one in made.page.all("table") if "details" not in one.inside]
    assert [one.attributes["class"] for one in shown] == ["grid"]
    folds = [one for one in made.page.all("details") if "details" not in one.inside]
    assert [one.attributes.get("id") for one in folds if "open" in one.attributes] == ["problems"]
    assert not [one for one in made.page.all("pre") if "details" not in one.inside]


def test_figures_lie_in_the_folder_that_was_asked_for_and_nowhere_else(made):
    names = {path.stem for path in made.figures.glob("*.svg")}
    assert names == {path.stem for path in made.figures.glob("*.png")}
    assert {"chess-loss", "skip-tokens-loss", "skip-tokens-paper"} <= names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made.figures.glob("*.png"))
    assert [path.name for path in made.out.parent.iterdir()] == ["all.html"]
    assert len(made.page.all("figure")) == 2 + 2 + 1  # losses of two tasks; items of two curves; beside the paper


def test_published_curves_stand_beside_the_same_model_and_data_alone(made):
    shown = "".join(text for _, text in made.page.texts)
    assert shown.count("Beside the published curve") == 1
    assert "arXiv 2505.14943" in shown
    assert "labels of padding were scored" in shown


@pytest.mark.parametrize(
    "changes",
    [{"variant": "skip-3"}, {"model": "tiny-text"}, {"data": "library"}, {"experiment": "repetition"}],
)
def test_a_curve_that_differs_in_anything_has_no_published_one(changes):
    names = {"experiment": "skip_tokens", "variant": "skip-2", "data": "togethercomputer/RedPajama-Data-V2"}
    names |= {"model": "EleutherAI/pythia-70m-deduped"}
    rest = {"prompt": "direct", "condition_mode": None, "settings": {}, "headline": "test_loss", "metric": "test_loss"}
    same = Curve(**names, **rest, unit="nats/token", curve=())
    found = published(same)
    assert found is not None
    assert [point[0] for point in found.points] == [0, 1, 4, 16, 64]
    assert published(dataclasses.replace(same, **changes)) is None


def test_problems_are_named(made):
    assert made.code == 1
    assert "broken.json" in made.page.text("li")


def test_what_cannot_be_made_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no result to report"):
        report_command(ReportOptions((tmp_path,), tmp_path / "page.html"))
    with pytest.raises(UsageError, match=r"--out is page.txt; give a file that ends in .html"):
        ReportOptions(out=Path("page.txt"))
    with pytest.raises(UsageError, match="--draws is 0"):
        ReportOptions(draws=0)


def test_a_page_of_comparisons_alone_needs_no_results(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_comparison(Path("comparison.json"), comparison())
    alone = ReportOptions(out=Path("rep.html"), behaviour=(Path("comparison.json"),))
    assert report_command(alone) == 0
    assert "skipped" not in capsys.readouterr().err
    assert Path("rep.html").exists()
    assert report_command(dataclasses.replace(alone, paths=(Path("results"),))) == 1  # asked for by name
    assert "skipped: results: no such file or folder" in capsys.readouterr().err
    with pytest.raises(InputError, match="no result to report: results: no such file"):
        report_command(ReportOptions())
    Path("results").mkdir()
    assert alone.asked == (Path("results"),)


def test_published_numbers_are_the_paper_s():
    values = json.loads(resources.files("soft_prompts.report.page").joinpath("paper_curves.json").read_text("utf-8"))
    assert sum(len(curve["points"]) for curve in values["curves"]) == 186
    (curve,) = (
        curve["points"]
        for curve in values["curves"]
        if curve["of"][:4] == ["autoregressive", None, "Pile", "EleutherAI/pythia-160m-deduped"]
    )
    assert [point[0] for point in curve] == [0, 1, 4, 16, 64]
    assert curve[0][1] == pytest.approx(2.98584, abs=1e-4)

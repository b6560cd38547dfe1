"""A browser shows the report without a complaint or a request, on a phone and on a desk, in light and in dark."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from soft_prompts.analysis.readings import read_all
from soft_prompts.report.page.document import document, rendered
from soft_prompts.results.findings import FINDING, find_findings
from tests.checks.made.chromium import Browser, Size, browser
from tests.checks.made.readings import made_readings
from tests.checks.made.report_results import hostile_runs, paper_runs

pytestmark = pytest.mark.browser

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
PHONE, DESK = Size(390, 844), Size(1440, 900)
SMALL = Size(360, 740)
SETTINGS = [(size, dark) for size in (PHONE, DESK) for dark in (False, True)]

# Pairs of names in one figure that lie on each other, and names beyond the figure's edge.
UNREADABLE = """
[...document.querySelectorAll('figure svg')].filter(svg => svg.getBoundingClientRect().width).flatMap(svg => {
  const edge = svg.getBoundingClientRect();
  const boxes = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  const out = boxes.filter(([, b]) => b.left < edge.left - 1 || b.right > edge.right + 1 || b.bottom > edge.bottom + 1);
  const on = boxes.flatMap(([name, a], at) => boxes.slice(0, at)
    .filter(([, b]) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3)
    .map(([other]) => `${name} on ${other}`));
  return [...out.map(([name]) => `${name} outside`), ...on];
})
"""
SEEN = "[...document.querySelectorAll('figure svg')].filter(svg => svg.getBoundingClientRect().width > 200).length"
OPENED = "document.querySelectorAll('details').forEach(part => { part.open = true })"
SIDEWAYS = "document.documentElement.scrollWidth - innerWidth"
BACK = "getComputedStyle(document.body).backgroundColor"
# Cells whose words do not fit them, but for names, which end in dots.
CUT = """
[...document.querySelectorAll('.square')].filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.innerText)
"""
# Of each verdict's word and of the cell under it, as a canvas paints them: red, green, blue.
CELLS = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const painted = (...colours) => {
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const paper = getComputedStyle(document.body).backgroundColor;
  return [...document.querySelectorAll('.square')].map(one => [
    painted(getComputedStyle(one.querySelector('b')).color), painted(paper, getComputedStyle(one).backgroundColor)]);
})()
"""
ROWS = "[...document.querySelectorAll('#runs tbody tr')].filter(row => !row.hidden)"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium here")
    with browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def write_page(paths: list[Path], out: Path) -> Path:
    """The page alone, without its figures in files."""
    page = document(read_all(paths, draws=20), out.parent, findings=find_findings(paths))
    out.write_text(rendered(page), "utf-8")
    return out


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "report.html"
    return write_page([REFERENCE], out)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Readings made by hand: one of each verdict."""
    out = tmp_path_factory.mktemp("made") / "report.html"
    out.write_text(rendered(document(made_readings(), out.parent)), "utf-8")
    return out


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hostile")
    assert [*hostile_runs(root / "results"), *paper_runs(root / "results")]
    return write_page([root / "results"], root / "report.html")


@pytest.mark.parametrize(("size", "dark"), SETTINGS)
@pytest.mark.parametrize("which", ["reference", "hostile"])
def test_no_complaint_no_request_and_every_figure_in_view(chromium, request, which, size, dark):
    page = request.getfixturevalue(which)
    seen = chromium.open(page, size, dark)
    assert seen.complaints == []
    assert seen.requests == []
    chromium.value(OPENED)
    figures, seen_figures = chromium.value("document.querySelectorAll('figure').length"), chromium.value(SEEN)
    assert seen_figures >= figures >= 2
    assert chromium.value("window.taken") is None
    colour = [int(part) for part in chromium.value(BACK).removeprefix("rgb(").rstrip(")").split(",")]
    assert (max(colour) < 60) if dark else (min(colour) > 240)


@pytest.mark.parametrize("size", [SMALL, PHONE, DESK])
@pytest.mark.parametrize("which", ["reference", "hostile", "made"])
def test_nothing_scrolls_sideways_and_no_name_lies_on_another(chromium, request, which, size):
    chromium.open(request.getfixturevalue(which), size, False)
    assert chromium.value(SIDEWAYS) <= 0
    assert chromium.value(CUT) == []
    chromium.value(OPENED)
    assert chromium.value(SIDEWAYS) <= 0
    assert chromium.value(UNREADABLE) == []


def test_the_answer_is_the_first_screen(chromium, reference):
    chromium.open(reference, DESK, False)
    assert chromium.value("document.querySelectorAll('.square').length") >= 25
    assert chromium.value("document.querySelector('.grid').getBoundingClientRect().bottom") <= DESK.height


def test_the_whole_is_ten_screens_at_most(chromium, reference):
    chromium.open(reference, DESK, False)
    assert chromium.value("document.documentElement.scrollHeight") <= 10 * DESK.height


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_a_cell_leads_to_its_sentence(chromium, made, size):
    chromium.open(made, size, False)
    chromium.value("document.documentElement.style.scrollBehavior = 'auto'")
    for at in range(5):
        chromium.value(f"document.querySelectorAll('.square')[{at}].click()")
        said = chromium.value("document.querySelector(location.hash).innerText.replaceAll('\\n', ' ')")
        assert chromium.value(f"document.querySelectorAll('.square b')[{at}].textContent") in said
        edge = chromium.value("document.querySelector(location.hash).getBoundingClientRect().top")
        assert 0 <= edge < size.height


def test_a_theme_is_a_click(chromium, reference):
    chromium.open(reference, DESK, False)
    light = chromium.value(BACK)
    chromium.value("document.getElementById('theme-dark').click()")
    assert chromium.value(BACK) != light


@pytest.mark.parametrize("dark", [False, True])
def test_every_verdict_is_legible_on_its_cell(chromium, made, dark):
    chromium.open(made, DESK, dark)
    for word, back in chromium.value(CELLS):
        assert contrast(word, back) >= 4.5


def contrast(first: list[float], second: list[float]) -> float:
    """WCAG 2.2, relative luminance."""
    bright, dark = sorted(map(luminance, (first, second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: list[float]) -> float:
    parts = [part / 255 for part in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_results_are_filtered_and_sorted(chromium, reference):
    chromium.open(reference, DESK, False)
    chromium.value("document.getElementById('results').open = true")
    every = chromium.value(f"{ROWS}.length")
    assert every == sum(not path.name.endswith(FINDING) for path in REFERENCE.rglob("*.json"))
    typed = (
        "const f = document.getElementById('filter'); f.value = 'Chess tiny-text'; f.dispatchEvent(new Event('input'))"
    )
    chromium.value(f"{{ {typed} }}")
    assert 0 < chromium.value(f"{ROWS}.length") < every
    assert chromium.value(f"{ROWS}.every(row => /chess/.test(row.textContent) && /tiny-text/.test(row.textContent))")
    tokens = f"{ROWS}.map(row => Number(row.cells[5].dataset.key))"
    for order in (sorted, lambda counts: sorted(counts, reverse=True)):
        chromium.value("document.querySelectorAll('#runs th button')[5].click()")
        counts = chromium.value(tokens)
        assert counts == order(counts)
        assert len(set(counts)) > 2


def test_a_picture_is_not_blank(chromium, reference, tmp_path):
    """The page is not blank."""
    chromium.open(reference, PHONE, True)
    (tmp_path / "phone.png").write_bytes(chromium.picture())
    assert (tmp_path / "phone.png").stat().st_size > 20_000

"""Is what was found in activations on the page, short first?"""

from pathlib import Path

from soft_prompts.analysis.readings import Readings
from soft_prompts.report.page.document import document, rendered
from soft_prompts.results.findings import Finding


def test_two_sentences_stand_open_and_the_rest_behind_a_fold(tmp_path: Path) -> None:
    says = ("the first", "the second", "the third", "the <fourth>")
    found = Finding("concepts", "tiny-lands", "lands", 48, 0, {}, says=says, path=tmp_path / "words.steering.json")
    page = rendered(document(Readings((), (), ()), tmp_path, findings=[found]))
    part = page[page.index('<section id="findings"') : page.index('<section id="rest"')]
    opened, fold = part.split("<details><summary>2 more</summary>")
    assert "words: tiny-lands, lands, 48 items, seed 0" in opened
    assert [one in opened for one in ("the first", "the second", "the third")] == [True, True, False]
    assert "the third" in fold
    assert "the &lt;fourth&gt;" in fold

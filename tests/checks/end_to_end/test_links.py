"""Is anything ever written through a symbolic link that stands where a result belongs?"""

from pathlib import Path
from typing import Any

from soft_prompts.results.files import items_path
from soft_prompts.training.apparatus import run_paths
from tests.checks.made.disturbances import Record, Settings, count_fault

LINKS = (("result", "file"), ("result", "folder"), ("result", "nothing"), ("items", "file"), ("items", "nothing"))


def test_a_link_at_a_result_path_is_refused(
    harness: Any, settings: Settings, tmp_path: Path, record_property: Record
) -> None:
    """Exit code 3 and one line; what the link names stays as it is, or away."""
    outcomes = []
    for what, to in LINKS:
        root = tmp_path / f"{what}-{to}"
        config = settings(root / "out", steps=2)
        result = run_paths(config).result
        link = result if what == "result" else items_path(result)
        link.parent.mkdir(parents=True)
        (root / "file").write_text("precious")
        (root / "folder").mkdir()
        link.symlink_to(root / to)
        ended = harness.run(config)
        lines = [line for line in ended.text.splitlines() if "symbolic link" in line]
        right = ended.code == 3 and len(lines) == 1 and str(link) in lines[0] and "Traceback" not in ended.text
        right &= "step 1/2" not in ended.text  # before the work
        right &= link.is_symlink() and (root / "file").read_text() == "precious"
        right &= not list((root / "folder").iterdir()) and not (root / "nothing").exists()
        outcomes.append(right)
    count_fault(record_property, "symbolic link at a result path", outcomes)


def test_a_finished_result_may_lie_behind_a_link(harness: Any, settings: Settings, tmp_path: Path) -> None:
    """As tools leave it that keep large files elsewhere: it is read, and what would be made again is refused."""
    config = settings(tmp_path / "out", steps=2)
    assert harness.run(config).code == 0
    for path in (run_paths(config).result, items_path(run_paths(config).result)):
        path.rename(kept := tmp_path / path.name)
        path.symlink_to(kept)
    ended = harness.run(config)
    assert (ended.code, "finished before, read from" in ended.text) == (0, True)
    again = harness.run(settings(tmp_path / "out", steps=2, fresh=True))
    assert (again.code, "symbolic link" in again.text) == (3, True)
    assert (tmp_path / run_paths(config).result.name).is_file()

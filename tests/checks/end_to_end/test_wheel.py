"""Does the wheel alone do what the clone does: in an environment of its own, from another folder, without git?"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from soft_prompts.results.files import find_results

ROOT = Path(__file__).parents[3]
Ended = subprocess.CompletedProcess[str]
SMALL = ("--steps", "3", "--test-samples", "20", "--validation-samples", "8", "--tokens", "0", "1")
CERTIFICATE = ("--tokens", "1", "--secrets", "1", "--seeds", "0", "--steps", "2", "--samples", "48")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the clone stays as it is."""
    pytest.importorskip("setuptools", minversion="77")
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT / "soft_prompts", source / "soft_prompts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(built), str(source)], check=True)
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def start(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ended]:
    """The installed command in an empty folder; libraries are those of this environment, its soft_prompts is not."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")  # .pth files there are not read
    folder = tmp_path_factory.mktemp("elsewhere")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GIT"))}
    environment = kept | {"PATH": str(home / "bin"), "HF_HUB_OFFLINE": "1"}

    def run(*words: str, program: str = "soft-prompts") -> Ended:
        return subprocess.run(
            [str(home / "bin" / program), *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.slow
def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = {path.relative_to(ROOT) for path in (ROOT / "soft_prompts").rglob("*") if path.is_file()}
    assert {str(file) for file in files if "__pycache__" not in file.parts} - packed == set()


@pytest.mark.slow
def test_what_is_installed_is_what_is_started(start: Callable[..., Ended], wheel: Path) -> None:
    where = start("-c", "import soft_prompts; print(soft_prompts.__file__)", program="python")
    assert "site-packages" in where.stdout
    assert str(ROOT) not in where.stdout
    assert start("--version").stdout.split()[1] == wheel.name.split("-")[1]
    assert "chess " in start("list").stdout
    assert "tiny-chess " in start("models").stdout
    assert "tiny-chess" in start("models", "tiny-chess").stdout


@pytest.mark.slow
def test_an_experiment_its_table_its_page_and_a_certificate(start: Callable[..., Ended]) -> None:
    """In this order, each in the folder that the one before left."""
    folder = Path(start("-c", "import os; print(os.getcwd())", program="python").stdout.strip())
    ended = start("run", "chess", *SMALL)
    assert ended.returncode == 0, ended.stderr
    assert "tiny-chess" in ended.stdout
    found = find_results([folder / "results"])
    assert not found.problems
    assert len(found.results) == 4
    assert {result.environment.commit for _, result in found.results} == {None}
    compared = start("compare", "--json", "--plot", "curve.png")
    assert compared.returncode == 0, compared.stderr
    assert json.loads(compared.stdout)
    reported = start("report", "--draws", "20")
    assert reported.returncode == 0, reported.stderr
    assert "<html" in (folder / "report.html").read_text()
    certified = start("calibrate", "tiny-text", *CERTIFICATE, "--target-tokens", "4")
    assert certified.returncode == 0, certified.stderr
    assert "tiny-text" in certified.stdout

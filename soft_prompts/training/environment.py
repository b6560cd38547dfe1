"""Where does a number come from? Versions, commit and device."""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
import transformers

from soft_prompts.common.command_line import command_line
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.schema import EnvironmentSection

Versions = dict[str, str]


def versions() -> Versions:
    """Of this package and of those that compute its numbers."""
    package = version("soft_prompts")
    return {"soft_prompts": package, "torch": torch.__version__, "transformers": transformers.__version__}


def versions_of(section: EnvironmentSection) -> Versions:
    """The same of a result, as far as they are known."""
    then = {"soft_prompts": section.package_version, "torch": section.torch, "transformers": section.transformers}
    return {name: text for name, text in then.items() if text is not None}


def environment(frozen: FrozenModel, started: datetime) -> EnvironmentSection:
    """Versions, commit and device: where a number came from."""

    def git(*arguments: str) -> str | None:
        try:
            asked = subprocess.run(
                ["git", *arguments], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
            )
        except OSError:  # no git on this machine
            return None
        return asked.stdout.strip() if asked.returncode == 0 else None

    is_ours = git("ls-files", "--error-unmatch", "__init__.py") is not None  # not somebody else's repository
    now = versions()
    dirty = git("status", "--porcelain", "--untracked-files=no", "--", ".") if is_ours else None
    return EnvironmentSection(
        package_version=now["soft_prompts"],
        commit=git("rev-parse", "HEAD") if is_ours else None,
        dirty=None if dirty is None else bool(dirty),
        python=sys.version.split()[0],
        torch=now["torch"],
        transformers=now["transformers"],
        device=torch.cuda.get_device_name(frozen.device) if frozen.device.type == "cuda" else "cpu",
        platform=platform.platform(),
        command=command_line(),
        threads=torch.get_num_threads(),
        started=started.isoformat(),
        finished=datetime.now(UTC).isoformat(),
    )

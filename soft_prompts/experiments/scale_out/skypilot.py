"""How does a sweep come to a machine of a cloud? As a SkyPilot task: the same command, on results in a bucket."""

import math
import shlex
from collections.abc import Sequence

import yaml

BUCKET = "s3://YOUR-BUCKET/soft-prompts"
PLACE = "/sweep"


def skypilot_task(arguments: Sequence[str], cpus: int, gpus: float, memory: float | None) -> str:
    """A task for `sky jobs launch`: a machine that is taken away is replaced, and the command goes on from the bucket.

    Its form is SkyPilot's task YAML (docs.skypilot.co, "SkyPilot YAML").
    """
    command = [word for word in arguments if word != "--skypilot"]
    resources: dict[str, object] = {"cpus": f"{cpus}+", "use_spot": True}
    if memory is not None:
        resources["memory"] = f"{math.ceil(memory)}+"
    if gpus:
        resources["accelerators"] = f"A100:{math.ceil(gpus)}"
    task = {
        "name": "soft-prompts-sweep",
        "resources": resources,
        "workdir": ".",
        "file_mounts": {PLACE: {"source": BUCKET, "mode": "MOUNT"}},
        "setup": "pip install soft_prompts",
        "run": f"soft-prompts {shlex.join(command)} --output-dir {PLACE}",
    }
    return yaml.safe_dump(task, sort_keys=False, width=1000)

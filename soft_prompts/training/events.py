"""What can tensorboard show of a run? Scalars, generations as text, and settings for its HPARAMS tab.

After a resume no event beyond the restored step remains: the files are rewritten up to it. Records are written by this
thread, not by a writer's own, so that a full disk is noticed where it happens.
"""

import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import hparams, scalar, text

from soft_prompts.common.files import sync, writing_to
from soft_prompts.results.schema import Generation

PATTERN = "events.out.tfevents.*"
CURVES = ("train/", "validation/")  # written during training; all other events come with the result
FORMAT = "brain.Event:2"  # the first record of every event file


class EventLog:
    """Tensorboard events of one run; `folder` None writes nothing (processes other than the first)."""

    def __init__(self, folder: Path | None, restored_step: int = 0) -> None:
        self.folder = folder
        self.writer = None
        if folder is not None:
            with writing_to(folder):
                folder.mkdir(parents=True, exist_ok=True)
                self.writer = RecordWriter(keep_events_until(folder, restored_step).open("ab"))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """One point of each curve."""
        self._write((scalar(name, value) for name, value in values.items()), step)

    def generations(self, shown: Sequence[Generation], step: int) -> None:
        """Text side by side: what was given, what the model wrote, what was played."""
        rows = [[f"**{name}**: {words}" for name, words in row._asdict().items() if words] for row in shown]
        self._write((text(f"generation/{number}", "\n\n".join(row)) for number, row in enumerate(rows)), step)

    def settings(
        self, values: Mapping[str, bool | str | float | int], metrics: Mapping[str, float | None], step: int
    ) -> None:
        """A row of the HPARAMS tab, in the order given; metrics with a value are also scalars of the same names.

        The tab takes its columns from one run and shows all others in them: name the same for every run.
        """
        self._write(hparams(dict(values), dict(metrics)), 0)
        self.scalars({name: value for name, value in metrics.items() if value is not None}, step)

    def image(self, name: str, png: bytes) -> None:
        """A picture for the IMAGES tab."""
        width, height = (int.from_bytes(png[place : place + 4], "big") for place in (16, 20))  # of its first chunk
        shown = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
        self._write([Summary(value=[Summary.Value(tag=name, image=shown)])], 0)

    def flush(self) -> None:
        """Bring all events to the file, before a state that counts on them is published."""
        if self.writer and self.folder:
            with writing_to(self.folder):
                self.writer.flush()

    def close(self) -> None:
        """Flush and end; nothing can be written after it."""
        if self.writer and self.folder:
            with writing_to(self.folder):
                self.writer.close()
            self.writer = None

    def _write(self, summaries: Iterable[object], step: int) -> None:
        if self.writer and self.folder:
            with writing_to(self.folder):
                for summary in summaries:
                    event = Event(wall_time=time.time(), step=step, summary=summary)
                    self.writer.write(event.SerializeToString())
                self.writer.flush()


def keep_events_until(folder: Path, step: int) -> Path:
    """Put one file in the place of a run's event files, with the curves up to `step`; a torn last record is dropped.

    Whenever this is killed, the next call finds either all the old files or a whole new one.
    """
    staged, temporary = folder / ".kept-events", folder / ".tmp-events"
    if staged.exists():  # an earlier call was killed before it ended
        _put_in_place(staged)
    kept = [event for file in sorted(folder.glob(PATTERN)) for event in _curves(file) if event.step <= step]
    with temporary.open("wb") as stream:
        writer = RecordWriter(stream)
        for event in (Event(wall_time=time.time(), file_version=FORMAT), *kept):
            writer.write(event.SerializeToString())
    sync(temporary)
    temporary.rename(staged)
    return _put_in_place(staged)


def _put_in_place(staged: Path) -> Path:
    for file in staged.parent.glob(PATTERN):
        file.unlink()
    name = PATTERN.replace("*", f"{int(time.time())}.{socket.gethostname()}.{os.getpid()}")
    return staged.rename(staged.with_name(name))


def _curves(file: Path) -> list[Event]:
    events = [Event.FromString(record) for record in RawEventFileLoader(str(file)).Load()]
    return [event for event in events if any(value.tag.startswith(CURVES) for value in event.summary.value)]

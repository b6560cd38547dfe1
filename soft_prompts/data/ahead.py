"""How do other processes read data ahead of training without changing what is read?

Every process goes through the same batches and answers for its share: process k of N for the batches k, k + N, ...
The parent takes one batch from each in turn, so the order is that of the data whatever N is. A batch is a line of JSON
on a pipe, and each process keeps a bounded number of them ready. Children are fresh interpreters that import only
the named module: no torch, no threads or locks of the parent, nothing of its main module.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from queue import Queue
from typing import IO, Any

from soft_prompts.common.errors import InputError, OutOfRoom

PACKAGE_ROOT = str(Path(__file__).parents[2])
LINES_AHEAD = 16  # batches that a process keeps ready: training takes games by the thousand to shuffle them
Job = dict[str, Any]  # what a process is to read, as JSON
Batches = Callable[[Job, int, int], Iterator[list[Any]]]  # the share of process k of N; empty batches included


class ReadAhead:
    """An iterator of batches read by `workers` processes that run `python -m module`.

    Raises InputError where a process met one, OutOfRoom or RuntimeError if one died.
    """

    def __init__(self, module: str, job: Job, workers: int) -> None:
        self._children: list[subprocess.Popen[bytes]] = []
        self.close = weakref.finalize(self, _end, self._children)  # called at the latest when the parent exits
        for worker in range(workers):
            self._children.append(_start(module, {"job": job, "worker": worker, "workers": workers}))
        self._turn = cycle(self._children)

    def __iter__(self) -> Iterator[list[Any]]:
        return self

    def __next__(self) -> list[Any]:
        if not self.close.alive:
            raise StopIteration
        child = next(self._turn)
        line = _pipe(child.stdout).readline()
        if not line.endswith(b"\n"):
            code = child.wait()
            self.close()
            raise _death(code)
        message = json.loads(line)
        if "batch" in message:
            return message["batch"]
        self.close()
        if "error" in message:
            raise InputError(message["error"])
        raise StopIteration


def _start(module: str, message: dict[str, Any]) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(filter(None, (PACKAGE_ROOT, os.environ.get("PYTHONPATH"))))
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", module],  # -P: nothing from the working directory
        stdin=subprocess.PIPE,  # stays open: its end tells the child that the parent is gone
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
        start_new_session=True,  # Ctrl-C is for the parent, which ends its children when it has saved its state
    )
    with suppress(BrokenPipeError):  # it died at once; the first read says so
        stdin = _pipe(child.stdin)
        stdin.write(json.dumps(message).encode() + b"\n")
        stdin.flush()
    return child


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _death(code: int) -> Exception:
    if code == -signal.SIGKILL:
        return OutOfRoom("a process that reads data was killed, most likely for want of memory; start the run again")
    return RuntimeError(f"a process that reads data ended with code {code} before its work was done")


def _end(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        child.kill()
    for child in children:
        child.wait()
        for pipe in (child.stdin, child.stdout):
            with suppress(BrokenPipeError):  # the job could not be flushed to a child that died at once
                _pipe(pipe).close()


def serve(batches: Batches) -> None:
    """The main function of a reading process: answer the job on stdin with batches on stdout."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # may be sent to a whole job; the parent decides when to end
    message = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    lines: Queue[bytes] = Queue(LINES_AHEAD)
    writer = threading.Thread(target=_write, args=(lines,), daemon=True)
    writer.start()
    try:
        for batch in batches(message["job"], message["worker"], message["workers"]):
            lines.put(_line({"batch": batch}))
        lines.put(_line({"end": True}))
    except InputError as error:
        lines.put(_line({"error": str(error)}))
    lines.put(b"")
    writer.join()
    os._exit(0)  # past the interpreter's flush of a pipe that nobody may be reading any more


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _write(lines: "Queue[bytes]") -> None:
    try:
        while line := lines.get():
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
    except BrokenPipeError:  # the parent wants no more
        os._exit(0)


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)

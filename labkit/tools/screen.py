"""Where a command says how the trainings get on: a line that changes on a terminal, a line per epoch in a log."""

import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from tqdm.std import tqdm

from labkit.progress import Progress

EVERY = 1.0  # seconds between looks at trainings in other processes


class Screen:
    """A bar of ``total`` units, and behind it the training that was heard of last."""

    def __init__(self, title: str, total: int, unit: str):
        self.terminal = sys.stderr.isatty()
        self.bar = tqdm(total=total, desc=title, unit=unit, leave=False, disable=not self.terminal, dynamic_ncols=True)

    def hear(self, news: dict[Path, Progress]) -> None:
        for progress in news.values():
            if self.terminal:
                self.bar.set_postfix_str(str(progress))
            elif progress.history:
                print(progress, flush=True)

    def done(self, count: int) -> None:
        self.bar.update(count - self.bar.n)

    def say(self, line: str) -> None:
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        self.bar.close()


@contextmanager
def repeatedly(look: Callable[[], None]):
    """Inside, ``look()`` is called every now and then, and once more at the end."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(EVERY):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        look()

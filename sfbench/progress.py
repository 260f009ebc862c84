"""One progress bar for whatever takes long, on standard error: rate, remaining time, a note."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, final

Item = TypeVar("Item")


class Progress(Protocol):
    """What is told of work as it goes on."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count ``n`` more steps; the note replaces the last one."""

    def say(self, text: str) -> None:
        """Print a line above the bar."""


@final
class _Silent:
    def advance(self, n: int = 1, note: str = "") -> None: ...

    def say(self, text: str) -> None: ...


@final
class _Bar:
    def __init__(self, total: int, label: str, done: int) -> None:
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.rich: Any = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}", markup=False),
            console=Console(stderr=True),
        )
        self._task = self.rich.add_task(escape(label), total=total, completed=done, rate="", note="")
        self._start, self._steps = time.monotonic(), 0

    def advance(self, n: int = 1, note: str = "") -> None:
        self._steps += n
        shown = ""
        if self._steps:
            rate = self._steps / max(time.monotonic() - self._start, 1e-9)
            shown = f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
        self.rich.update(self._task, advance=n, rate=shown, note=note)

    def say(self, text: str) -> None:
        self.rich.console.print(text, highlight=False, soft_wrap=True, markup=False)


@contextmanager
def progress(total: int, label: str, enabled: bool = True, *, done: int = 0) -> Iterator[Progress]:
    """A bar over ``total`` steps, ``done`` of which were made before; nothing at all if not enabled."""
    if not enabled:
        yield _Silent()
        return
    bar = _Bar(total, label, done)
    with bar.rich:
        yield bar


def tracked(items: Iterable[Item], total: int, label: str, enabled: bool = True) -> Iterator[Item]:
    """The items, counted by a bar."""
    with progress(total, label, enabled) as bar:
        for item in items:
            yield item
            bar.advance()

"""A progress bar with rate, remaining time and failures, on standard error."""

from typing import Any, Self, final


@final
class ProgressBar:
    """Context manager around a rich bar; silent if not wanted."""

    def __init__(self, title: str, total: int, done: int, *, wanted: bool) -> None:
        self._bar: Any = None
        self._task: Any = None
        if wanted:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", style="red"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(title, total=total, completed=done, rate="", note="")
        self._start = done
        self._done = done

    def advance(self, n: int, *, seconds: float, failures: int) -> None:
        """Show n more finished cells."""
        self._done += n
        if self._bar is not None:
            rate = (self._done - self._start) / max(seconds, 1e-9)
            shown = f"{rate:.1f}/s" if rate >= 1 else f"{1 / max(rate, 1e-9):.1f} s each"
            note = f"{failures} failed" if failures else ""
            self._bar.update(self._task, completed=self._done, rate=shown, note=note)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

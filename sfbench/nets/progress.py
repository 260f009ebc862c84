"""The progress bar of a training run."""

from typing import Any


class TrainingBar:
    """A progress bar with losses, or nothing."""

    def __init__(self, total: int, start: int, enabled: bool) -> None:
        self.bar: Any = None
        if enabled:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, TextColumn("{task.fields[losses]}"))
            self.task = self.bar.add_task("training", total=total, completed=start, losses="")

    def __enter__(self) -> "TrainingBar":
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def show(self, p: Any) -> None:
        """Update counts and losses."""
        if self.bar is not None:
            text = f"loss {p.history[-1][1]:.4f}, validation {p.history[-1][2]:.4f}" if p.history else ""
            self.bar.update(self.task, completed=p.step, losses=text)

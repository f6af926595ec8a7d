"""A progress bar for mmengine's `Runner`."""

from typing import Any

from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

# Iterations between lines of output, if there is no terminal to draw a bar in.
LINE_EVERY = 50


def progress_bar(console: Console) -> Progress:
    """A bar with the loss, the elapsed and the remaining time. It does not redirect stdout, since the demo does so itself."""
    return Progress(
        TextColumn("{task.description:>18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        redirect_stdout=False,
        redirect_stderr=False,
    )


class ProgressHook(Hook):
    """Advances a bar after each training iteration and each test image. Without a terminal it prints a line now and then.

    Args:
        progress: The bars; this hook adds its own.
        title: The name of the run, shown before the bar.
    """

    def __init__(self, progress: Progress, title: str) -> None:
        self.progress = progress
        self.title = title

    def before_train(self, runner: Any) -> None:
        self.training = self.progress.add_task(f"{self.title}: train", total=runner.max_iters, loss="")

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        loss = f"loss {float(outputs['loss']):.3f}"
        self.progress.update(self.training, advance=1, loss=loss)
        done = batch_idx + 1
        if not self.progress.console.is_terminal and (done % LINE_EVERY == 0 or done == runner.max_iters):
            self.progress.console.print(f"{self.title}: iteration {done} of {runner.max_iters}, {loss}")

    def before_val_epoch(self, runner: Any) -> None:
        total = len(runner.val_dataloader)
        self.testing = self.progress.add_task(f"{self.title}: test", total=total, loss="")

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.progress.update(self.testing, advance=1)

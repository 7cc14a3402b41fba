"""What students watch while a network trains."""

import sys

from matplotlib.ticker import MaxNLocator, PercentFormatter
from tqdm.std import tqdm

from labkit.view import plots


def live_curve(title: str):
    """A ``watch`` for ``training.fit``: in a notebook a curve that grows with every epoch, in a
    terminal a progress bar."""
    shell = "IPython" in sys.modules and sys.modules["IPython"].get_ipython()
    return _NotebookCurve(title) if hasattr(shell, "kernel") else _progress_bar(title)


class _NotebookCurve:
    def __init__(self, title: str):
        self.title, self.handle = title, None

    def __call__(self, history: list[dict], epochs: int) -> None:
        from IPython.display import display

        figure, (axis,) = plots.panels(1, f"Live accuracy over epochs, {self.title}.", height=1.8, width=4.6)
        x = [row["epoch"] for row in history]
        for i, part in enumerate(("train", "validation")):
            values = [row[f"{part}_accuracy"] for row in history]
            axis.plot(x, values, ms=3, label=part, **plots.style(i))
        last = history[-1]
        axis.set(
            xlim=(0.5, epochs + 0.5), title=f"{self.title}: epoch {last['epoch']} of {epochs}, loss {last['loss']:.2f}"
        )
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.yaxis.set_major_formatter(PercentFormatter(1))
        axis.legend(fontsize=8)
        picture = {"image/png": plots.png(figure), "text/plain": figure.get_label()}
        alt = {"image/png": {"alt": figure.get_label()}}
        if self.handle is None:
            self.handle = display(picture, raw=True, metadata=alt, display_id=True)
        else:
            self.handle.update(picture, raw=True, metadata=alt)


def _progress_bar(title: str):
    bar = tqdm(desc=title, unit="epoch")

    def watch(history: list[dict], epochs: int) -> None:
        bar.total, bar.n = epochs, len(history)
        bar.set_postfix(loss=history[-1]["loss"], validation=history[-1]["validation_accuracy"])
        if len(history) == epochs:
            bar.close()

    return watch

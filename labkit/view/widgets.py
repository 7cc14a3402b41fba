"""What students watch while a network trains."""

import sys
from contextlib import suppress
from pathlib import Path

from matplotlib.ticker import MaxNLocator, PercentFormatter
from tqdm.std import tqdm

from labkit import records
from labkit.settings import LabError
from labkit.view import plots


def live_curve(title: str, folder: Path | None = None):
    """A ``watch`` for ``training.fit``: in a notebook curves that grow with every epoch, in a terminal a progress
    bar. With ``folder``, the run's own, the notebook also shows its map of scaling factors growing."""
    shell = "IPython" in sys.modules and sys.modules["IPython"].get_ipython()
    return _NotebookCurve(title, folder) if hasattr(shell, "kernel") else _progress_bar(title)


class _NotebookCurve:
    def __init__(self, title: str, folder: Path | None = None):
        self.title, self.folder, self.handle = title, folder, None

    def __call__(self, history: list[dict], epochs: int) -> None:
        from IPython.display import display

        figure = self.figure(history, epochs)
        picture = {"image/png": plots.png(figure), "text/plain": figure.get_label()}
        alt = {"image/png": {"alt": figure.get_label()}}
        if self.handle is None:
            self.handle = display(picture, raw=True, metadata=alt, display_id=True)
        else:
            self.handle.update(picture, raw=True, metadata=alt)

    def figure(self, history: list[dict], epochs: int):
        """Accuracy so far and, where scaling factors are kept, their map so far."""
        gammas = None
        with suppress(LabError):  # a file that cannot be read must not end the training
            gammas = self.folder and records.gammas_so_far(Path(self.folder))
        alt = f"Accuracy on training and validation images over the epochs so far, {self.title}"
        alt += "; a map of all scaling factors over the same epochs." if gammas else "."
        figure, axes = plots.panels(1 + bool(gammas), alt, height=2.6, width=8.4 if gammas else 4.6)
        x = [row["epoch"] for row in history]
        for i, part in enumerate(("train", "validation")):
            label = f"{'training' if part == 'train' else part} images"
            axes[0].plot(x, [row[f"{part}_accuracy"] for row in history], ms=3, label=label, **plots.style(i))
        last = history[-1]
        title = f"{self.title}\nepoch {last['epoch']} of {epochs}, loss {last['loss']:.2f}"
        axes[0].set(xlim=(0.5, epochs + 0.5), ylim=(0, 1.02), title=title, xlabel="epoch", ylabel="accuracy")
        axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0].yaxis.set_major_formatter(PercentFormatter(1))
        axes[0].legend(fontsize=8)
        if gammas:
            picture = plots.scaling_factor_map(axes[1], *gammas)
            axes[1].set(xlim=(-0.5, epochs + 0.5), ylabel="layer", title="its scaling factors")
            figure.colorbar(picture, label="log10 |γ|")
        return figure


def _progress_bar(title: str):
    bar = tqdm(desc=title, unit="epoch")

    def watch(history: list[dict], epochs: int) -> None:
        bar.total, bar.n = epochs, len(history)
        bar.set_postfix(loss=history[-1]["loss"], validation=history[-1]["validation_accuracy"])
        if len(history) == epochs:
            bar.close()

    return watch

"""Every figure and table again, from records alone. Not in the student edition."""

from pathlib import Path

from labkit import methods
from labkit.files import write_text
from labkit.records import folders_with_runs
from labkit.settings import LabError
from labkit.view import plots


def redraw(folder: Path, out: Path, labs: list[str]) -> None:
    """Draw the runs of ``labs`` (names of their folders) in ``folder`` and write their tables, below ``out``
    as they lie below ``folder``. Raises ``LabError`` where there are none."""
    found = [lab for lab in folders_with_runs(folder) if lab.resolve().name in labs]
    if not found:
        raise LabError(f"{folder} holds no finished runs: give a folder made by labkit run, or data/reference.")
    for lab in found:
        inside = out / lab.relative_to(folder)
        print(f"{len(draw(lab, inside))} figures in {inside / 'figures'}")
    print(f"tables in {write_results(folder, out)}")
    for overview in methods.declared("overview"):
        for name, figure in overview(folder).items():
            print(f"all experiments in {plots.save(figure, out / f'{name}.png')}")


def draw(lab: Path, out: Path) -> list[Path]:
    """All figures of one folder of runs as PNG in ``out/figures``, and its tables in ``out/results.md``."""
    write_results(lab, out)
    drawn = {name: figure for figures in methods.declared("figures") for name, figure in figures(lab).items()}
    return [plots.save(figure, out / "figures" / f"{name}.png") for name, figure in drawn.items()]


def write_results(folder: Path, out: Path) -> Path:
    write_text(
        out / "results.md", "\n\n".join(filter(None, (results(folder) for results in methods.declared("results"))))
    )
    return out / "results.md"

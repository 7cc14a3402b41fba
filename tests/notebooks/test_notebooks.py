"""The notebooks as documents: executed in order, small, complete, and worth what the table of labs says."""

import re
from pathlib import Path

import nbformat
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from workers import vgg

from labkit import models, pruning
from labkit.course import blanks, labs
from labkit.settings import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
MAX_BYTES, MAX_LINES, MAX_LETTERS = 600_000, 40, 88


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def faults(notebook) -> list[str]:
    """What is wrong with a notebook that claims to have been executed top to bottom in one go."""
    cells, found = code_cells(notebook), []
    if [cell.execution_count for cell in cells] != list(range(1, len(cells) + 1)):
        found.append("cells were not executed in order, in one go")
    for cell in cells:
        if "NBVAL_CHECK_OUTPUT" in cell.source and not (cell.execution_count and cell.outputs):
            found.append(f"a compared cell holds no output: {cell.id}")
        if any(output.output_type == "error" for output in cell.outputs):
            found.append(f"a cell holds an error: {cell.id}")
        if len(cell.source.splitlines()) > MAX_LINES:
            found.append(f"a cell is longer than {MAX_LINES} lines: {cell.id}")
        if max(map(len, cell.source.splitlines()), default=0) > MAX_LETTERS:
            found.append(f"a line would scroll sideways on the course's pages: {cell.id}")
    if "widgets" in notebook.metadata:
        found.append("widget metadata is kept: some viewers refuse to show the notebook")
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_was_executed_in_one_go_and_is_small(path):
    assert faults(nbformat.read(path, 4)) == []
    assert path.stat().st_size < MAX_BYTES


def test_the_guard_finds_what_it_looks_for():
    def first_compared(change):
        notebook = nbformat.read(NOTEBOOKS[0], 4)
        change(next(cell for cell in notebook.cells if "NBVAL_CHECK_OUTPUT" in cell.source), notebook)
        return faults(notebook)

    assert first_compared(lambda cell, _: cell.update(execution_count=None, outputs=[]))
    assert first_compared(lambda cell, _: cell.update(outputs=[]))
    assert first_compared(lambda cell, _: cell.update(execution_count=99))
    assert first_compared(lambda cell, _: cell.update(source=cell.source + "\n" * 50 + "1"))
    assert first_compared(lambda cell, _: cell.update(source=cell.source + "  # " + "long " * 20))
    assert first_compared(lambda _, notebook: notebook.metadata.update(widgets={}))


@pytest.mark.parametrize("lab", labs.LABS, ids=lambda lab: lab.name)
def test_blanks_and_manual_cells_are_worth_what_the_table_says(lab):
    cells = [
        cell for name in lab.notebooks for cell in nbformat.read(REPOSITORY / "notebooks" / f"{name}.ipynb", 4).cells
    ]
    graded = {c.metadata.nbgrader.grade_id: c for c in cells if c.metadata.get("nbgrader", {}).get("grade")}
    found = {c.metadata.nbgrader.grade_id: c for c in cells if c.id.startswith("blank-")}
    points = {name: cell.metadata.nbgrader.points for name, cell in graded.items()}
    declared = {f"blank-{name}": blank.points for name, blank in blanks.of(lab).items()}
    assert set(found) == set(declared)
    assert {name.replace("blank-", "check-"): worth for name, worth in declared.items()}.items() <= points.items()
    assert sum(points.values()) == lab.points + lab.bonus
    for name, cell in (found | {n: c for n, c in graded.items() if n.startswith("manual-")}).items():
        assert len(re.findall("### BEGIN SOLUTION|### END SOLUTION", cell.source)) >= 2, name
        assert cell.metadata.nbgrader.solution, name


def test_lab_1_is_graded_as_it_always_was():
    (lab,) = labs.chosen(1)
    worth = [blank.points for blank in blanks.of(lab).values()]
    assert worth == [5] * 7 and lab.points == 100
    cells = nbformat.read(REPOSITORY / "notebooks" / "05_report.ipynb", 4).cells
    assert sum(cell.metadata.nbgrader.points for cell in cells if cell.id.startswith("manual-report")) == 40


def test_no_two_labs_share_a_blank_or_a_notebook():
    for names in ([n for lab in labs.LABS for n in blanks.of(lab)], [n for lab in labs.LABS for n in lab.notebooks]):
        assert len(names) == len(set(names))


@pytest.mark.parametrize("lab", labs.LABS, ids=lambda lab: lab.name)
def test_exercises_are_where_the_table_says_and_carry_no_mark_of_grading(lab):
    exercises = {blank.cell: blank for blank in blanks.declared(lab).values() if not blank.points}
    found = {}
    for name in lab.notebooks:
        for cell in nbformat.read(REPOSITORY / "notebooks" / f"{name}.ipynb", 4).cells:
            if cell.id.startswith("exercise-"):
                found[cell.id] = name
            if cell.id.startswith("exercise-") or f"exercise-{cell.id.removeprefix('check-')}" in exercises:
                assert "nbgrader" not in cell.metadata
    assert found == {cell: blank.notebook for cell, blank in exercises.items()}


def test_each_check_stands_directly_below_its_blank():
    for path in NOTEBOOKS:
        names = [cell.id for cell in nbformat.read(path, 4).cells]
        for above, below in zip(names, names[1:], strict=False):
            if above.startswith(("blank-", "exercise-")):
                assert below == f"check-{above.partition('-')[2]}"


def test_prose_shows_no_local_path_and_no_widget_output_without_a_still():
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/(home|root|tmp|Users)/\w", text), path.name


def functions_of(name: str) -> dict:
    """The functions of a notebook's blanks and exercises, executed as they stand in it, and ``build_thin``."""
    namespace = {"torch": torch, "models": models}
    for cell in nbformat.read(REPOSITORY / "notebooks" / name, 4).cells:
        if cell.id.startswith(("blank-", "exercise-")) or "def build_thin" in cell.source:
            exec(cell.source, namespace)
    return namespace


@given(
    channels=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    pool_after=st.integers(0, 3),
    ratio=st.floats(0, 0.95),
    seed=st.integers(0, 1000),
)
def test_surgery_by_hand_and_by_dependency_graph_agree_bit_for_bit(channels, pool_after, ratio, seed):
    torch.manual_seed(seed)
    stages = [stage for stage in (channels[: pool_after + 1], channels[pool_after + 1 :]) if stage]
    model = vgg(*stages, seed=seed).eval()
    for norm in models.norms(model).values():
        for tensor in (norm.weight.data, norm.bias.data, norm.running_mean):
            tensor.normal_()
        norm.running_var.uniform_(0.5, 2)
    scores = pruning.scaling_factors(model)
    reachable = (sum(channels) - len(channels)) / sum(channels)
    plan = pruning.global_plan(scores, min(ratio, reachable * 0.99))
    by_hand = functions_of("03_channel_pruning.ipynb")["build_thin"](model, plan).state_dict()
    by_graph = pruning.thin(model, plan).state_dict()
    assert by_hand.keys() == by_graph.keys()
    assert all(torch.equal(by_hand[k], by_graph[k]) for k in by_hand if "num_batches" not in k)
    x = torch.randn(2, 3, 32, 32)
    masked = pruning.masked(model, plan)
    thin = pruning.thin(model, plan)
    with torch.no_grad():
        assert torch.allclose(thin(x), masked(x), atol=1e-5)


def test_notebooks_open_and_close_as_they_should():
    assert [path.stem for path in NOTEBOOKS] == sorted(name for lab in labs.LABS for name in lab.notebooks)
    for path in NOTEBOOKS:
        cells = nbformat.read(path, 4).cells
        assert cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
        assert any("## What you saw" in cell.source for cell in cells), path.name
        links = re.findall(r"\]\((\d\d_\w+\.ipynb)\)", cells[-1].source)
        assert all((Path(path).parent / link).exists() for link in links)

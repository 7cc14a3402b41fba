"""The worked solutions: every answer and every mistake is in them, nothing that only graders need, and none of it
in the student edition."""

import html
import re
import zipfile

import nbconvert.filters
import nbformat
import pytest

from labkit.course import answers, blanks, labs, release, solutions

LAB = labs.named(1)
BLANKS = blanks.declared(LAB)
MARK = re.compile(r" *### (BEGIN|END) SOLUTION|# NBVAL_CHECK_OUTPUT")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("solutions") / "pruning-lab-solutions"
    solutions.release(folder, (LAB,))
    return folder


@pytest.fixture(scope="module")
def cells(folder):
    """Every cell of the solutions by its id."""
    read = [nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4) for name in LAB.notebooks]
    return {cell.id: cell for notebook in read for cell in notebook.cells}


def rendered(markdown: str) -> str:
    """The text that a reader sees."""
    return html.unescape(re.sub(r"<[^>]+>", "", nbconvert.filters.markdown2html(markdown)))


def test_notebooks_are_valid_and_differ_from_the_complete_ones_in_marks_and_mistakes_only(folder):
    for name, complete in release.complete_notebooks(LAB).items():
        given = nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4)
        nbformat.validate(given)
        assert given.metadata == complete.metadata
        kept = [cell for cell in given.cells if not cell.id.startswith("mistakes-")]
        assert [cell.id for cell in kept] == [cell.id for cell in complete.cells]
        for now, before in zip(kept[1:], complete.cells[1:]):
            assert now.source.splitlines() == [x for x in before.source.splitlines() if not MARK.fullmatch(x)]
            assert now.get("outputs") == before.get("outputs")
            assert now.get("execution_count") == before.get("execution_count")


def test_outputs_are_there(cells):
    assert sum("image/png" in output.get("data", {}) for c in cells.values() for output in c.get("outputs", [])) > 10
    for name in BLANKS:
        assert "right." in cells[f"check-{name}"].outputs[0].text


def test_every_answer_is_in_it_and_no_mark_and_no_metadata_of_nbgrader(folder, cells):
    for name, blank in BLANKS.items():
        assert cells[blank.cell].source + "\n" == answers.solution(name)
        assert "NotImplementedError" not in cells[blank.cell].source
    by_hand = [cell for page in release.complete_notebooks(LAB).values() for cell in page.cells]
    by_hand = [cell for cell in by_hand if cell.id.startswith("manual-")]
    assert len(by_hand) >= 9
    for cell in by_hand:
        (region,) = release.REGION.finditer(cell.source)
        assert "\n".join(region[0].splitlines()[1:-1]) in cells[cell.id].source
    for path in folder.rglob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        assert "SOLUTION" not in text and "nbgrader" not in text and "NBVAL" not in text


def test_every_mistake_and_its_sentence_stand_folded_below_the_check(folder, cells):
    for name, blank in BLANKS.items():
        order = [c.id for c in nbformat.read(folder / f"notebooks/{blank.notebook}.ipynb", as_version=4).cells]
        assert order[order.index(f"check-{name}") + 1] == f"mistakes-{name}"
        source = cells[f"mistakes-{name}"].source
        assert source.startswith("<details><summary>Usual mistakes") and source.endswith("\n\n</details>")
        seen = rendered(source)
        assert len(blank.mistakes) > 5 and source.count("```python") == len(blank.mistakes)
        for mistake in blank.mistakes:
            assert mistake.sentence in seen
            assert all(line in seen for line in mistake.body.splitlines())


def test_mistakes_stand_with_their_function():
    text = solutions.usual_mistakes(BLANKS["penalty"])
    one, other = text.index("In `sparsity_penalty`"), text.index("In `lambda_for`")
    assert one < text.index("return lam * gammas[-1]") < other < text.index("return budget / sum(learning_rates)")


def test_the_readme_says_what_it_is_and_links_every_notebook(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# The pruning lab: worked solutions\n") and "<!--" not in text and "Drive" not in text
    for name in LAB.notebooks:
        assert f"(notebooks/{name}.ipynb)" in text
        assert (folder / "notebooks" / f"{name}.ipynb").exists()


def test_the_zip_holds_the_folder_and_equal_solutions_are_equal_files(folder):
    target = folder.with_name("pruning-lab-solutions.zip")
    before = target.read_bytes()
    with zipfile.ZipFile(target) as archive:
        names = set(archive.namelist())
    assert names == {p.relative_to(folder.parent).as_posix() for p in folder.rglob("*") if p.is_file()}
    solutions.release(folder, (LAB,))
    assert target.read_bytes() == before


def test_with_a_repository_the_first_code_cell_sets_colab_up(tmp_path):
    solutions.release(tmp_path / "out", (LAB,), "someone/pruning-lab", "v1.0")
    for name in LAB.notebooks:
        notebook = nbformat.read(tmp_path / "out" / "notebooks" / f"{name}.ipynb", as_version=4)
        nbformat.validate(notebook)
        assert (
            next(c for c in notebook.cells if c.cell_type == "code").source.count("github.com/someone/pruning-lab") == 1
        )
    assert "Drive" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_the_student_edition_has_nothing_of_it(tmp_path):
    edition = tmp_path / "pruning-lab"
    release.release(edition, (LAB,), "someone/pruning-lab", "v1.0")
    assert not {path.name for path in edition.rglob("*")} & {"solutions.py", solutions.PAGE}
    bodies = {
        line
        for blank in blanks.of(LAB).values()  # labkit itself ranks channels, as exercise A does
        for m in blank.mistakes
        for line in m.body.splitlines()
        if len(line) > 30
    }
    assert len(bodies) > 50
    for path in (path for path in edition.rglob("*") if path.suffix in (".py", ".ipynb", ".md", ".json")):
        text = path.read_text(encoding="utf-8")
        assert "Usual mistakes" not in text and '"mistakes-' not in text and solutions.NOTE.strip() not in text, path
        assert not [line for line in bodies if line in text], path


def test_neither_edition_overwrites_the_other(folder, tmp_path, refused):
    with refused("holds something that is no student edition"):
        release.release(folder, (LAB,))
    release.release(tmp_path / "edition", (LAB,))
    with refused("holds something that is no folder of worked solutions"):
        solutions.release(tmp_path / "edition", (LAB,))
    assert (tmp_path / "edition" / "labkit").exists() and (folder / "notebooks").exists()


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "student edition in build/pruning-lab and"),
        (["--solutions"], "worked solutions in build/pruning-lab-solutions and"),
    ],
)
def test_the_command_writes_what_was_asked_for(words, said, tmp_path, monkeypatch, capsys):
    from labkit import cli

    monkeypatch.chdir(tmp_path)
    assert cli.main(["release", *words]) == 0
    assert said in capsys.readouterr().out
    assert [path.name for path in sorted((tmp_path / "build").iterdir()) if path.is_dir()] == [
        "pruning-lab-solutions" if words else "pruning-lab"
    ]

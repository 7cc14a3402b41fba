"""An edition in which every student has a seed and images of their own."""

import json
import re
from dataclasses import replace

import nbformat
import pytest

from labkit import cli
from labkit.course import edition, labs, release
from labkit.course.edition import Edition
from labkit.course.practice.variant import PLACEHOLDER

CLASS = replace(edition.current(), variants="a class")


def test_a_seed_follows_from_the_id_and_the_word_alone():
    assert CLASS.seed_of("ab1234") == 451220733, "a seed that moved would orphan the runs of a class"
    assert replace(CLASS, repository="some/one", ref="v2").seed_of("ab1234") == CLASS.seed_of("ab1234")
    assert replace(CLASS, variants="another").seed_of("ab1234") != CLASS.seed_of("ab1234")
    assert edition.current().seed_of("ab1234") is None


def test_two_ways_to_write_an_id_are_one_student_as_in_collecting():
    assert CLASS.seed_of("AB1234") == CLASS.seed_of(" ab1234 ") == CLASS.seed_of("ab1234")
    assert CLASS.seed_of("jos\u00e9") == CLASS.seed_of("jose\u0301")
    assert CLASS.seed_of("ab1234") != CLASS.seed_of("ab1235")


def test_seeds_of_a_large_class_differ_and_meet_none_that_ships():
    seeds = [CLASS.seed_of(f"s{number:07d}") for number in range(500)]
    assert len(set(seeds)) == 500
    assert all(seed in edition.VARIANTS and len(str(seed)) == 9 for seed in seeds)
    assert edition.VARIANTS.start > 2


@pytest.fixture
def staffs_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(edition, "FILE", tmp_path / "edition.json")
    edition.keep(Edition(archive="lab{lab}_{student}", student="[a-z0-9]{4,9}"))
    return tmp_path / "edition.json"


def test_the_command_writes_it_into_both_editions(staffs_copy, tmp_path, capsys):
    out, usual = tmp_path / "out", tmp_path / "usual"
    assert cli.main(["release", "--out", str(usual)]) == 0
    assert cli.main(["release", "--variant-by-student", "--out", str(out)]) == 0
    assert f"{staffs_copy} says variants '1'" in capsys.readouterr().out
    shipped = Edition(**json.loads((out / "labkit/course/edition.json").read_text(encoding="utf-8")))
    assert shipped.variants == edition.current().variants == "1"
    assert shipped.seed_of("ab1234") == edition.current().seed_of("ab1234")
    edition.keep(replace(edition.current(), variants="autumn"))
    assert cli.main(["release", "--out", str(out), "--variant-by-student"]) == 0
    assert edition.current().variants == "autumn", "a word that is there stays"
    for path in sorted((out / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        assert cells[1].id == "student"
    for path, said in ((out / "README.md", True), (usual / "README.md", False)):
        text = path.read_text(encoding="utf-8")
        assert ("Numbers of your own" in text) is said and "<!--" not in text
        assert ("Write your id into `STUDENT` at the top of the lab's last notebook." in text) is not said


@pytest.mark.parametrize("wrong", [("--lab", "9"), ("--repo", "bad"), ("--variant-by-student", "spring")])
def test_a_release_that_fails_leaves_the_staffs_copy_as_it_was(wrong, staffs_copy, tmp_path, capsys):
    edition.keep(replace(edition.current(), variants="autumn"))
    before = staffs_copy.read_bytes()
    arguments = ["release", "--out", str(tmp_path / "out"), "--variant-by-student", *wrong]
    assert cli.main(arguments) == 1 and staffs_copy.read_bytes() == before
    assert not (tmp_path / "out").exists()
    assert "autumn" in capsys.readouterr().err or "spring" not in wrong


def test_the_first_word_of_a_class_is_kept_only_with_an_edition(staffs_copy, tmp_path):
    before = staffs_copy.read_bytes()
    assert cli.main(["release", "--out", str(tmp_path / "out"), "--lab", "9", "--variant-by-student", "autumn"]) == 1
    assert staffs_copy.read_bytes() == before


@pytest.mark.parametrize("lab", labs.LABS, ids=lambda lab: lab.name)
@pytest.mark.parametrize("repository", ["", "someone/pruning-lab"])
def test_every_notebook_asks_for_the_id_once_below_the_set_up_cell(lab, repository):
    course = replace(CLASS, repository=repository, ref="v1")
    usual = release.released_notebooks(lab, replace(course, variants=""))
    for name, notebook in release.released_notebooks(lab, course).items():
        ids = [cell.id for cell in notebook.cells]
        assert ids[1:3] == ["setup", "student"] if repository else ids[1] == "student"
        (cell,) = (cell for cell in notebook.cells if cell.id == "student")
        assert cell.source.endswith(f'STUDENT = begin("{PLACEHOLDER}")') and "nbgrader" not in cell.metadata
        assert "jupyter" not in cell.metadata and max(map(len, cell.source.splitlines())) <= 88
        code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
        assert len(re.findall("^STUDENT =", code, re.MULTILINE)) == 1
        others = {c.id: c.source for c in notebook.cells if c.id != "student"}
        sentence = "Write your student id into `STUDENT` at the top, run"
        before = {
            c.id: c.source.replace(f'STUDENT = "{PLACEHOLDER}"\n', "").replace(sentence, "Run")
            for c in usual[name].cells
        }
        assert others == before and not any("into `STUDENT`" in source for source in others.values())
        nbformat.validate(notebook)

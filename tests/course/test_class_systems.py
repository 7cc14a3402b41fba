"""A small class all the way: from a system's export, through points by hand, to grades and feedback that it reads back."""

import class_of
import needs
import pytest
import systems as made
from bs4 import BeautifulSoup

from labkit.course.grading import gradebook

pytestmark = [needs.bubblewrap, needs.nbgrader]
LAB = class_of.LAB
KINDS = ("perfect", "squeeze", "zip slip")


@pytest.mark.parametrize("system", class_of.SYSTEMS)
def test_from_a_system_s_export_to_the_grades_that_it_reads_back(system, tmp_path, capsys):
    course, people = tmp_path / "class", class_of.students(kinds=KINDS)
    file, site = class_of.SYSTEMS[system](tmp_path / "export", people)
    downloaded = file.read_bytes()
    export = ("export", f"--{system}={file}", f"--course={course}")
    class_of.command("collect", str(tmp_path / "export"), f"--course={course}")
    class_of.command("grade", f"--course={course}")

    class_of.command(*export)
    grades, pages = class_of.back(system, course, site)
    assert grades == {} and pages == {}, "nobody has graded the rest by hand yet"
    assert file.read_bytes() == downloaded

    class_of.by_hand(course)
    capsys.readouterr()
    class_of.command(*export)
    perfect, squeeze, refused = (person.name for person in people)
    grades, pages = class_of.back(system, course, site)
    assert grades == {perfect: 100, squeeze: 98}
    if system == "canvas":
        pages = {name: made.only_file(page) for name, page in pages.items()}
    written = {name: (course / "feedback" / LAB.name / f"{name}.html").read_bytes() for name in grades}
    assert pages == written and "100 of 100 points" in BeautifulSoup(pages[perfect], "html.parser").get_text()
    said = capsys.readouterr().out
    assert f"- {refused} has no final total: refused." in said and "2 grades written" in said
    assert f"- {refused} has no final total" in (course / f"grades_lab1_{system}.md").read_text(encoding="utf-8")

    with_old = gradebook.uploaders(course, LAB)
    assert [one.owner for one in with_old[perfect]] == [made.owner_of(site.people[0], system)]


@pytest.mark.parametrize("most", ["nan", "0", "-1", "inf"])
def test_a_size_that_is_none_is_refused(tmp_path, capsys, most):
    assert class_of.cli.main(["export", "--moodle=x.csv", f"--most={most}", f"--course={tmp_path}"]) == 1
    assert f"--most {most} is no size" in capsys.readouterr().err


def test_the_downloaded_file_is_never_written_over(tmp_path, capsys):
    file = tmp_path / "worksheet.csv"
    file.write_bytes(made.worksheet([made.Person(1, "Ada", "ada1815")]))
    assert class_of.cli.main(["export", f"--moodle={file}", str(file), f"--course={tmp_path}"]) == 1
    assert "give another name" in capsys.readouterr().err
    assert class_of.cli.main(["export", f"--moodle={file}", f"--course={tmp_path}"]) == 1
    assert "run labkit grade first" in capsys.readouterr().err

"""From collected and graded hand-ins to nbgrader's gradebook, to CSV and feedback pages; and hostile notebooks on the way."""

import base64
import copy
import csv
import hashlib
import json
import shutil
import sys
from dataclasses import replace

import browser
import nbformat
import needs
import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from labkit.course import blanks, labs, release
from labkit.course.grading import gradebook, pages

pytestmark = needs.nbgrader
LAB = labs.named(1)
BLANKS = blanks.of(LAB)

LAMBDA = "λ is missing: the penalty is λ times the sum."
REFUSED = "`<b>bob</b>.zip` is no archive."
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
PICTURE = {"output_type": "display_data", "metadata": {}, "data": {"image/png": PNG, "text/plain": "<Figure>"}}
FOUND = {"cell": "manual-prune-50", "well": False, "text": "The record's ratio is 0.4, not 0.5."}
RIGHT = dict.fromkeys(BLANKS, 5)


@pytest.fixture(scope="module")
def released():
    return release.released_notebooks(LAB)


def hand_in(course, student, released, archive="first", refused=None, **others):
    """What ``labkit collect`` leaves of one hand-in, with a picture below manual-prune-50."""
    folder = course / "collected" / LAB.name / student
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    submission = {"student": student, "archive": f"{student}.zip", "refused": refused, "notes": []} | others
    submission["sha256"] = hashlib.sha256(archive.encode()).hexdigest()
    (folder / "submission.json").write_text(json.dumps(submission), encoding="utf-8")
    for name, notebook in ({} if refused else copy.deepcopy(released)).items():
        for cell in notebook.cells:
            if cell.id == "manual-prune-50":
                cell.outputs = [nbformat.from_dict(PICTURE)]
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")


def graded(course, student, points, sentences=(), findings=()):
    """What ``labkit grade`` leaves of it; ``sentences`` go to every blank without full points."""
    content = (course / "collected" / LAB.name / student / "submission.json").read_bytes()
    blanks = {
        name: {"points": given, "of": 5, "sentences": [] if given == 5 else list(sentences)}
        for name, given in points.items()
    }
    result = {"student": student, "submission": hashlib.sha256(content).hexdigest(), "blanks": blanks, "of": 35}
    result |= {"refused": json.loads(content)["refused"], "points": sum(points.values()), "notes": []}
    (course / "graded" / LAB.name).mkdir(parents=True, exist_ok=True)
    (course / "graded" / LAB.name / f"{student}.json").write_text(json.dumps(result | {"findings": list(findings)}))


@pytest.fixture(scope="module")
def filled(released, tmp_path_factory):
    """A class of three, filled once: ada is graded, bob's hand-in was refused, eve is not graded yet."""
    course = tmp_path_factory.mktemp("class") / "grading"
    hand_in(course, "ada", released)
    graded(course, "ada", RIGHT | {"penalty": 2.5, "subgradient": 0}, [LAMBDA], [FOUND])
    hand_in(course, "bob", released, refused=REFUSED)
    graded(course, "bob", {})
    hand_in(course, "eve", released)
    assert gradebook.fill(course, LAB) == []
    return course


@pytest.fixture
def course(filled, tmp_path):
    return shutil.copytree(filled, tmp_path / "grading")


def rows(course, student):
    """nbgrader's own view of a student: ``{cell: grade}`` and ``{cell: comment}`` as dictionaries."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "") as book:
        notebooks = book.find_submission("lab1", student).notebooks
        grades = {grade.name: grade.to_dict() for notebook in notebooks for grade in notebook.grades}
        comments = {comment.name: comment.to_dict() for notebook in notebooks for comment in notebook.comments}
    return grades, comments


def by_hand(course, student, cell, **values):
    """Set fields of a grade or comment as formgrader does."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "") as book:
        for notebook in book.find_submission("lab1", student).notebooks:
            for row in [*notebook.grades, *notebook.comments]:
                for field, value in values.items():
                    if row.name == cell and hasattr(row, field):
                        setattr(row, field, value)
        book.db.commit()


def read_csv(file):
    with open(file, encoding="utf-8-sig", newline="") as lines:
        return {row["Student ID"]: row for row in csv.DictReader(lines)}


def test_points_sentences_and_findings_are_in_the_gradebook(course):
    grades, comments = rows(course, "ada")
    assert sum(grade["max_score"] for grade in grades.values()) == 100
    assert grades["check-penalty"]["auto_score"] == 2.5 and not grades["check-penalty"]["needs_manual_grade"]
    assert grades["check-subgradient"]["auto_score"] == 0 and grades["check-subgradient"]["failed_tests"]
    assert comments["blank-penalty"]["auto_comment"] == LAMBDA
    assert comments["blank-linear-bias"]["auto_comment"] is None
    assert comments["manual-prune-50"]["auto_comment"] == "✗ The record's ratio is 0.4, not 0.5."
    manual = {name: grade for name, grade in grades.items() if name.startswith("manual-")}
    assert len(manual) == 9 and len(grades) == 16
    assert all(grade["auto_score"] is None and grade["needs_manual_grade"] for grade in manual.values())


@pytest.mark.parametrize("student, comment", [("bob", f"Refused: {REFUSED}"), ("eve", "Not graded yet.")])
def test_what_is_refused_or_not_graded_has_no_points_rather_than_zero(course, student, comment):
    grades, comments = rows(course, student)
    assert all(grade["auto_score"] is None and grade["needs_manual_grade"] for grade in grades.values())
    assert comments["blank-penalty"]["auto_comment"] == comment


def test_marks_of_an_earlier_hand_in_do_not_count(course, released):
    hand_in(course, "ada", released, archive="second")
    gradebook.fill(course, LAB)
    assert rows(course, "ada")[0]["check-linear-bias"]["auto_score"] is None


def test_grading_again_changes_automatic_points_and_nothing_given_by_hand(course):
    by_hand(course, "ada", "manual-prune-50", manual_score=4.0, extra_credit=1.0, needs_manual_grade=False)
    by_hand(course, "ada", "manual-prune-50", manual_comment="Well done.")
    by_hand(course, "ada", "check-penalty", manual_score=3.0, needs_manual_grade=False)
    before = rows(course, "ada")
    assert gradebook.fill(course, LAB) == [] and rows(course, "ada") == before

    graded(course, "ada", RIGHT | {"kept-channels": 1.25}, ["That is the mask itself."])
    assert gradebook.fill(course, LAB) == [
        "ada: check-penalty went from 2.5 to 5 points.",
        "ada: check-penalty keeps its 3 points given by hand; look at it again.",
        "ada: check-subgradient went from 0 to 5 points.",
        "ada: check-kept-channels went from 5 to 1.25 points.",
    ]
    grades, comments = rows(course, "ada")
    assert comments["blank-kept-channels"]["auto_comment"] == "That is the mask itself."
    assert comments["blank-penalty"]["auto_comment"] is None
    assert comments["manual-prune-50"]["manual_comment"] == "Well done."
    kept = {"manual_score": 4.0, "extra_credit": 1.0, "needs_manual_grade": False}
    assert grades["manual-prune-50"].items() >= kept.items()
    assert grades["check-penalty"].items() >= {"manual_score": 3.0, "needs_manual_grade": True}.items()


def test_after_a_new_hand_in_what_was_graded_by_hand_waits_for_review(course, released):
    by_hand(course, "ada", "manual-prune-50", manual_score=4.0, needs_manual_grade=False)
    hand_in(course, "ada", released, archive="second")
    graded(course, "ada", RIGHT)
    changes = gradebook.fill(course, LAB)
    assert changes[0] == "ada has handed in again."
    assert "ada: manual-prune-50 keeps its 4 points given by hand; look at it again." in changes
    assert rows(course, "ada")[0]["manual-prune-50"]["needs_manual_grade"]
    row = {row["Student ID"]: row for row in gradebook.export(course, LAB, course / "grades.csv")}["ada"]
    assert row["manual-prune-50"] == 4 and row["status"] == "8 cells ungraded, 1 cell to review"

    by_hand(course, "ada", "manual-prune-50", needs_manual_grade=False)  # the TA pressed Resolve
    assert gradebook.fill(course, LAB) == []
    assert not rows(course, "ada")[0]["manual-prune-50"]["needs_manual_grade"]


def test_the_csv_has_a_row_a_student_and_holes_where_points_are_missing(course):
    gradebook.export(course, LAB, course / "grades.csv")
    found = read_csv(course / "grades.csv")
    assert list(found) == ["ada", "bob", "eve"]
    ada, bob, eve = found.values()
    assert list(ada)[:9] == ["Student ID", *(f"blank-{name}" for name in BLANKS), "code"]
    assert list(ada)[-5:] == ["points so far", "total", "max", "status", "comments"]
    assert (ada["blank-penalty"], ada["blank-subgradient"], ada["code"]) == ("2.5", "0", "27.5")
    assert (ada["manual-prune-50"], ada["points so far"], ada["total"], ada["max"]) == ("", "27.5", "", "100")
    assert ada["comments"].startswith(f"{BLANKS['penalty'].title}: {LAMBDA} | ") and ada["status"] == "9 cells ungraded"
    assert "ratio" not in ada["comments"]  # findings are for the TA
    assert (bob["code"], bob["status"], bob["comments"]) == ("", "refused", f"Refused: {REFUSED}")
    assert (eve["code"], eve["points so far"], eve["status"]) == ("", "", "16 cells ungraded")


def test_a_total_appears_with_the_last_score_also_for_a_refused_hand_in(course):
    for cell in rows(course, "bob")[0]:
        by_hand(course, "bob", cell, manual_score=2.5, needs_manual_grade=False)
    gradebook.export(course, LAB, course / "grades.csv")
    bob = read_csv(course / "grades.csv")["bob"]
    assert (bob["total"], bob["status"]) == ("40", "graded")


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"])
def test_text_is_no_formula(text):
    assert pages.spreadsheet(text) == "'" + text
    assert pages.spreadsheet(-1.5) == "-1.5" and pages.spreadsheet("λ = 1") == "λ = 1"


def test_the_csv_is_utf8_with_a_byte_order_mark_and_one_line_a_student(course):
    by_hand(course, "ada", "blank-penalty", manual_comment='Größer,\n"λ"?')
    gradebook.export(course, LAB, course / "grades.csv")
    content = (course / "grades.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfStudent ID,") and content.count(b"\n") == 4
    assert 'Größer, "λ"?' in read_csv(course / "grades.csv")["ada"]["comments"]


def test_feedback_holds_sentences_comments_and_work_of_one_student_and_needs_no_network(course):
    by_hand(course, "ada", "manual-prune-50", manual_score=4.0, manual_comment="**Well** done.")
    files = gradebook.feedback(course, LAB)
    assert [file.name for file in files] == ["ada.html", "bob.html", "eve.html"]
    page = BeautifulSoup(files[0].read_text(encoding="utf-8"), "html.parser")
    text = page.get_text()
    assert LAMBDA in text and "Well done." in text and "Prune ratio 0.5: 4 of 5" in text
    assert "Prune ratio 0.9: not graded yet" in text and "0.4, not" not in text
    assert page.find("img")["src"] == f"data:image/png;base64,{PNG}"
    assert "default-src 'none'" in page.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    for page in files:
        assert not BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").find_all(["script", "link", "iframe"])
    assert "Not graded: your archive could not be read. Please hand in again." in (
        BeautifulSoup(files[1].read_text(encoding="utf-8"), "html.parser").get_text()
    )
    assert "points so far; 8 of 16 items are not graded yet" in text


def test_what_formgrader_reads_is_there_and_nothing_that_could_be_autograded(course):
    assert {path.suffix for path in (course / "submitted").rglob("*") if path.is_file()} == {".txt"}
    assert len(list((course / "autograded" / "ada" / "lab1").glob("*.ipynb"))) == 5
    assert not list((course / "autograded" / "bob" / "lab1").glob("*.ipynb"))
    assert len(list((course / "source" / "lab1").glob("*.ipynb"))) == 5


def test_copies_of_a_hand_in_that_is_now_refused_go_away(course, released):
    hand_in(course, "ada", released, archive="second", refused="Two archives.")
    shutil.rmtree(course / "collected" / LAB.name / "ada" / "notebooks")
    gradebook.fill(course, LAB)
    assert not list((course / "autograded" / "ada" / "lab1").glob("*.ipynb"))


def test_mistakes_of_the_ta_are_said_in_one_sentence(course, released, refused, monkeypatch, tmp_path):
    with refused("labkit collect", tmp_path):
        gradebook.fill(tmp_path, LAB)
    with refused("labkit grade", tmp_path):
        gradebook.export(tmp_path, LAB, tmp_path / "grades.csv")
    hand_in(course, "new", released)
    with refused("new", "labkit grade"):
        gradebook.feedback(course, LAB)
    (course / "collected" / LAB.name / "new" / "submission.json").write_text("[" * 100_000)
    with refused("submission.json", "labkit collect"):
        gradebook.fill(course, LAB)
    (course / "collected" / LAB.name / "new").rename(course / "collected" / LAB.name / "old")
    hand_in(course, "new", released)
    (course / "collected" / LAB.name / "new" / "submission.json").replace(
        course / "collected" / LAB.name / "old" / "submission.json"
    )
    with refused("old"):
        gradebook.fill(course, LAB)


def test_a_gradebook_for_other_notebooks_is_left_alone(course, released, refused, monkeypatch):
    fewer = copy.deepcopy(released)
    fewer["03_channel_pruning"].cells = [c for c in fewer["03_channel_pruning"].cells if c.id != "manual-prune-90"]
    monkeypatch.setattr(release, "released_notebooks", lambda lab: fewer)
    with refused("03_channel_pruning", "new class folder"):
        gradebook.fill(course, LAB)


def test_a_damaged_gradebook_and_a_missing_nbgrader_are_said(course, refused, monkeypatch):
    (course / "gradebook.db").write_bytes(b"no database" * 100)
    with refused("gradebook.db", "not a database"):
        gradebook.fill(course, LAB)
    monkeypatch.setitem(sys.modules, "nbgrader.api", None)
    with refused('pip install "labkit[grading]"'):
        gradebook.fill(course, LAB)


# ------------------------------------------------------------------ hostile notebooks

MARK = "window.owned = [...(window.owned || []), '{}']"


def script(way):
    return f"<script>{MARK.format(way)}</script>"


def data(kind, content):
    return {"output_type": "display_data", "metadata": {}, "data": {kind: content, "text/plain": "plain"}}


HOSTILE = [
    {"cell_type": "markdown", "id": "m1", "metadata": {}, "source": f"my notes {script('markdown')}"},
    {"cell_type": "markdown", "id": "m2", "metadata": {}, "source": "[a](javascript:alert(1)) ![](http://127.0.0.1/x)"},
    {"cell_type": "markdown", "id": "m3", "metadata": {}, "source": f"```\n$$ {script('fence')} $$\n````\n<b>"},
    {"cell_type": "raw", "id": "r1", "metadata": {"raw_mimetype": "text/html"}, "source": script("raw")},
    {
        "cell_type": "code",
        "id": "c1",
        "metadata": {"nbgrader": {"grade": True, "solution": True, "grade_id": f'">{script("grade id")}', "points": 5}},
        "source": f"print('{script('source')}')",
        "execution_count": script("execution count"),
        "outputs": [
            data("text/html", script("html")),
            data("text/html", ['<img src=x onerror="', MARK.format("onerror"), '">']),
            data("application/javascript", MARK.format("javascript")),
            data("text/markdown", script("markdown output")),
            data("image/svg+xml", f"<svg xmlns='http://www.w3.org/2000/svg'>{script('svg')}</svg>"),
            data("image/png", f'{PNG}">{script("png")}'),
            data("application/vnd.jupyter.widget-view+json", {"model_id": "1"}),
            {"output_type": "stream", "name": "stdout", "text": f"kept {script('stream')}\x1b[38m"},
            {"output_type": "error", "ename": "E", "evalue": "", "traceback": [script("traceback"), 5]},
        ],
    },
]


def test_a_hostile_notebook_keeps_its_text_and_loses_everything_else(released):
    notebook = released["03_channel_pruning"]
    safe = pages.harmless({"cells": HOSTILE, "metadata": {"widgets": {}}}, notebook)
    nbformat.validate(safe)
    assert safe.metadata == notebook.metadata
    code = safe.cells[4]
    assert code.execution_count is None and code.metadata == {} and "source" in code.source
    assert {kind for output in code.outputs for kind in output.get("data", {})} == {"text/plain"}
    assert code.outputs[-2].text == f"kept {script('stream')}"
    for cell in safe.cells[:4]:
        html = BeautifulSoup(rendered(cell.source), "html.parser")
        assert {tag.name for tag in html.find_all()} <= {"pre", "code"}


def test_the_courses_own_cells_stay_as_they_are_and_lost_ones_come_back(released):
    notebook = released["03_channel_pruning"]
    assert pages.harmless(copy.deepcopy(notebook), notebook) == notebook
    changed = copy.deepcopy(notebook)
    changed.cells = [cell for cell in changed.cells if cell.id != "manual-prune-50"]
    changed.cells[0].source += "<b>mine</b>"
    changed.cells.append(copy.deepcopy(next(cell for cell in changed.cells if cell.id == "blank-linear-bias")))
    safe = pages.harmless(changed, notebook)
    nbformat.validate(safe)
    assert safe.cells[0].source == pages.verbatim(changed.cells[0].source)
    assert [cell.id for cell in safe.cells].count("blank-linear-bias") == 1
    assert safe.cells[-1] == next(cell for cell in notebook.cells if cell.id == "manual-prune-50")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"cells": None},
        {"cells": [None, 5, [], {}, {"cell_type": []}, {"id": {}, "source": {}}]},
        {
            "cells": [
                {"cell_type": "code", "id": [], "source": ["a", 5], "outputs": [None, {"output_type": "stream"}, 3]}
            ]
        },
        {"cells": [{"cell_type": "code", "source": "\ud800", "outputs": [{"output_type": "error", "traceback": 1}]}]},
        {
            "cells": [
                {"cell_type": "code", "source": "x" * 200_000, "outputs": [PICTURE | {"data": {"image/png": [1]}}]}
            ]
        },
    ],
)
def test_a_notebook_that_is_none_still_gives_one(released, content):
    safe = pages.harmless(content, released["05_report"])
    nbformat.validate(safe)
    assert len(nbformat.writes(safe).encode("utf-8")) < 200_000
    assert {cell.id for cell in safe.cells} >= {"manual-report-problem", "manual-report-lambda"}


def test_pictures_are_kept_if_they_are_pictures(released):
    jpeg = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(30)).decode()
    outputs = [data("image/png", PNG[:40] + "\n" + PNG[40:]), data("image/jpeg", jpeg), data("image/png", jpeg)]
    cell = {"cell_type": "code", "id": "x", "source": "", "outputs": outputs}
    safe = pages.harmless({"cells": [cell]}, released["05_report"]).cells[0]
    assert [output.data for output in safe.outputs] == [
        {"image/png": PNG},
        {"image/jpeg": jpeg},
        {"text/plain": "plain"},
    ]


def rendered(source):
    """As formgrader and JupyterLab's exports render Markdown: raw HTML goes through."""
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    return markdown2html_mistune(source)


@given(st.text(alphabet="`~$\\<>[](){}!&*#-:ab \n\t"))
def test_verbatim_shows_any_text_letter_for_letter(text):
    html = BeautifulSoup(rendered(pages.verbatim(text)), "html.parser")
    assert {tag.name for tag in html.find_all()} <= {"pre", "code"}
    assert html.get_text().replace("\t", "").strip() == text.replace("\t", "").strip()


@needs.browser
def test_formgrader_in_a_browser(course, tmp_path):
    hostile = course / "collected" / LAB.name / "eve" / "notebooks" / "03_channel_pruning.ipynb"
    content = json.loads(hostile.read_text(encoding="utf-8"))
    content["cells"] = HOSTILE + content["cells"]
    hostile.write_text(json.dumps(content), encoding="utf-8")
    gradebook.fill(course, LAB)
    shown = course / "autograded" / "eve" / "lab1" / hostile.name

    with browser.formgrader(course, tmp_path) as address, browser.chromium(tmp_path / "chromium") as page:
        harmless = shown.read_text(encoding="utf-8")
        code = HOSTILE[-1] | {"execution_count": None, "outputs": HOSTILE[-1]["outputs"][:-2]}
        raw = json.loads(harmless) | {"cells": HOSTILE[:-1] + [code]}  # nbconvert refuses the rest
        shown.write_text(json.dumps(raw), encoding="utf-8")
        browser.open_submission(page, address, "03_channel_pruning", "eve")
        assert {"html", "markdown", "javascript", "onerror", "grade id"} <= set(browser.until(page, "window.owned"))

        shown.write_text(harmless, encoding="utf-8")
        browser.open_submission(page, address, "03_channel_pruning", "eve")
        assert page.execute_script("return window.owned === undefined")
        assert "my notes <script>" in page.execute_script("return document.body.innerText")
        assert not page.execute_script("return $('#notebook a[href^=javascript], #notebook img[src^=http]').length")
        assert page.execute_script("return $('#notebook img')[0].naturalWidth") == 1

        for button in (
            "submission/lab1/ada/autograde",
            "assignment/lab1/ada/generate_feedback",
            "assignment/lab1/assign",
        ):
            post = f"$.post('/formgrader/api/{button}').always(answer => arguments[0](JSON.parse(answer)))"
            assert page.execute_async_script(post)["success"] is False
        assert not (course / "release").exists()

        browser.open_submission(page, address, "03_channel_pruning", "ada")
        assert page.execute_script("return $('#manual-prune-50-comment').attr('placeholder')") == f"✗ {FOUND['text']}"
        browser.enter(page, "manual-prune-50", "4.5")
        browser.enter(page, "manual-prune-50-comment", "Größer als nötig.")

        for file in gradebook.feedback(course, LAB):
            page.get(file.as_uri())
            assert page.execute_script("return window.owned === undefined && document.scripts.length == 0")

    gradebook.export(course, LAB, course / "grades.csv")
    ada = read_csv(course / "grades.csv")["ada"]
    assert (ada["manual-prune-50"], ada["code"], ada["status"]) == ("4.5", "27.5", "8 cells ungraded")
    assert "Prune ratio 0.5: Größer als nötig." in ada["comments"]

    graded(course, "ada", RIGHT)
    gradebook.fill(course, LAB)
    gradebook.export(course, LAB, course / "grades.csv")
    ada = read_csv(course / "grades.csv")["ada"]
    assert (ada["manual-prune-50"], ada["code"], ada["points so far"]) == ("4.5", "35", "39.5")
    assert "Größer als nötig." in ada["comments"]


def test_who_leaves_out_a_bonus_notebook_waits_for_nobody_and_loses_nothing(released, tmp_path):
    bonus = "03_channel_pruning"
    lab = replace(LAB, points=90, bonus=10, bonus_notebooks=(bonus,))
    written = {name: ["1"] for name in LAB.notebooks}
    hand_in(tmp_path, "ada", released, code=written | {bonus: []})
    hand_in(tmp_path, "bob", released, code=written)
    gradebook.fill(tmp_path, lab)
    worked = {cell.id for cell in released[bonus].cells if cell.id.startswith("manual-")}
    rows = gradebook.export(tmp_path, lab, tmp_path / "marks.csv")
    assert worked and {row["max"] for row in rows} == {90}
    assert [{row[cell] for cell in worked} for row in rows] == [{0}, {None}]

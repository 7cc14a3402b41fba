"""Marks and feedback on their way into Moodle and Canvas: files built, and read back, by the systems' own rules."""

import io
import json
import zipfile
from collections import Counter
from dataclasses import replace

import pytest
import systems as made
from hypothesis import given
from hypothesis import strategies as st
from systems import COMMENTS, GRADE, LANGUAGES, Column, Moodle, Person

from labkit.course import labs
from labkit.course.grading import canvas, gradebook, moodle, sheet, systems
from labkit.course.grading.uploads import Uploader, uploader_of
from labkit.settings import LabError

LAB = labs.named(1)
CLASS = [
    Person(101, "Ada Lovelace", "ada1815"),
    Person(102, "Jürgen Müller-Lüdenscheidt", "jml1"),
    Person(103, "王小明", "wang03"),
    Person(104, "Sinéad O'Connor", "sine04"),
    Person(105, '=HYPERLINK("x"),y', "mal05"),
    Person(106, "Bob", "bob06"),
]
TOTALS = {"ada1815": 87.5, "jml1": 0, "wang03": 100, "sine04": 64.25, "mal05": 71}


def mark(student, total, comments="", status="graded"):
    """A row of ``gradebook.table``, as far as systems look at it."""
    return {"Student ID": student, "total": total, "status": status, "comments": comments}


MARKS = [mark(student, total, f"Mask: {student} < 1 & 2") for student, total in TOTALS.items()]


def through_moodle(people, **options):
    return {p.login: [uploader_of(made.moodle_path(p, f"pruning_lab1_{p.login}.zip", **options))] for p in people}


def through_canvas(people, **options):
    return {
        p.login: [uploader_of(made.canvas_path(p, 9000 + p.number, f"lab1_{p.login}.zip", **options))] for p in people
    }


@pytest.fixture
def written(tmp_path):
    """``written(bytes)`` -> the file, and its sheet."""

    def written(data):
        file = tmp_path / "downloaded.csv"
        file.write_bytes(data)
        return file, sheet.read(file)

    return written


@pytest.fixture
def to_moodle(written):
    def to_moodle(data, marks=MARKS, uploaders=None, force=False):
        file, table = written(data)
        form = systems.checked(moodle.form(table, file), LAB, force)
        return systems.fill(form, marks, through_moodle(CLASS) if uploaders is None else uploaders, force)

    return to_moodle


@pytest.fixture
def to_canvas(written):
    def to_canvas(data, marks=MARKS, uploaders=None, force=False, assignment=None):
        file, table = written(data)
        form = systems.checked(canvas.form(table, file, LAB, assignment), LAB, force)
        return systems.fill(form, marks, through_canvas(CLASS) if uploaders is None else uploaders, force)

    return to_canvas


# ------------------------------------------------------------------ any sheet


@given(
    st.lists(st.lists(st.text(alphabet="aé\"',;\n =", max_size=5), min_size=3, max_size=3), min_size=2, max_size=5),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_a_sheet_gives_back_its_bytes_and_one_changed_cell_changes_no_other(tmp_path_factory, rows, sign, end, codec):
    text = end.join(sign.join(made.php(cell, sign) for cell in row) for row in rows) + end
    file = tmp_path_factory.mktemp("sheet") / "any.csv"
    file.write_bytes(text.encode(codec))
    split = sheet.split(text, sign, b"")
    assert split.bytes() == text.encode() and split.rows[: len(rows)] == rows
    changed = split.changed({(1, 2): f'new"{sign}'})
    assert changed.rows[1][2] == f'new"{sign}'
    back = changed.changed({(1, 2): rows[1][2]})
    assert back.rows == split.rows and changed.cells[0] == split.cells[0]


def test_a_cell_in_quotes_keeps_them():
    assert sheet.split('a,"1"\n', ",", b"").changed({(0, 0): "b", (0, 1): "2"}).bytes() == b'b,"2"\n'


@pytest.mark.parametrize(("sign", "words"), [(",", "UTF-8, commas"), (";", "UTF-8, semicolons"), ("\t", "UTF-8, tabs")])
def test_delimiters_are_seen_and_kept(written, sign, words):
    data = made.worksheet(CLASS, "de", delimiter=sign)
    _, table = written(data)
    assert (table.delimiter, table.format, table.bytes()) == (sign, words, data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04\xff\xfe", "do not save it in a spreadsheet"),
        ("ä;b\n1;2\n".encode("cp1252"), "no text in UTF-8 or UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "no text in UTF-8 or UTF-16"),
        (b"a,b\n1,2,3\n", "different numbers of cells"),
        (b"one\ntwo\n", "different numbers of cells"),
        (b"", "different numbers of cells"),
    ],
)
def test_what_is_no_sheet_is_refused_in_a_sentence(written, refused, data, said):
    with refused("downloaded.csv", said):
        written(data)


# --------------------------------------------------------------------- Moodle


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_worksheet_is_filled_cell_by_cell_and_moodle_reads_the_grades(to_moodle, language):
    data = made.worksheet(CLASS, language)
    filled = to_moodle(data)
    assert filled.held == {} and list(filled.rows) == list(TOTALS)
    before, after = made.cells(data), made.cells(filled.sheet.bytes())
    comma = LANGUAGES[language].comma
    for row, (old, new) in enumerate(zip(before, after, strict=True)):
        expected = list(old)
        if 0 < row < 6:
            login = CLASS[row - 1].login
            expected[GRADE] = f"{TOTALS[login]:g}".replace(".", "," if comma else ".")
            expected[COMMENTS] = f"Mask: {login} &lt; 1 &amp; 2"
        assert new == expected
    site = Moodle(CLASS, language)
    site.read(filled.sheet.bytes())
    assert site.grades == {person.number: TOTALS[person.login] for person in CLASS[:5]}
    assert site.comments[101] == "Mask: ada1815 &lt; 1 &amp; 2" and 106 not in site.comments


@pytest.mark.parametrize("delimiter", ",;\t")
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_saved_in_another_way_stays_as_it_was_saved(to_moodle, delimiter, codec, end):
    data = made.worksheet(CLASS, "de", delimiter=delimiter, codec=codec, end=end)
    filled = to_moodle(data).sheet.bytes()
    assert filled[:3] == data[:3] and filled.count(end.encode("utf-16")[2:]) == data.count(end.encode("utf-16")[2:])
    site = Moodle(CLASS, "de")
    site.read(filled, codec, delimiter)
    assert site.grades == {person.number: TOTALS[person.login] for person in CLASS[:5]}


@pytest.mark.parametrize("without", [(), (2,), (2, 3), (8,), (10,), (2, 3, 8, 10)])
def test_columns_that_a_course_does_not_have_are_not_needed(to_moodle, without):
    filled = to_moodle(made.worksheet(CLASS, without=without))
    site = Moodle(CLASS)
    site.read(filled.sheet.bytes())
    assert len(site.grades) == 5 and len(site.comments) == 5 * (10 not in without)


def test_comments_stand_right_of_the_dates_whatever_follows(to_moodle):
    """gradingtable.php puts other feedback and outcomes after them."""
    more = (
        made.worksheet(CLASS)
        .decode("utf-8-sig")
        .replace("\n", ",1: -\n")
        .replace('comments",1: -', 'comments",Outcomes')
    )
    for data in (more, more.replace(",1: -", ",")):
        filled = made.cells(to_moodle(data.encode()).sheet.bytes(), "utf-8")
        assert filled[0][-1] == "Outcomes" and filled[1][GRADE] == "87.5"
        assert filled[1][COMMENTS].startswith("Mask: ada1815") and filled[1][-1] == made.cells(data.encode())[1][-1]


def test_a_comment_with_a_backslash_swallows_no_row(to_moodle):
    filled = to_moodle(made.worksheet(CLASS), [mark("ada1815", 5, 'no "path", C:\\'), *MARKS[1:]])
    site = Moodle(CLASS)
    assert site.read(filled.sheet.bytes()) == 5
    assert site.comments[101] == "no &quot;path&quot;, C:&#92;" and site.comments[102].startswith("Mask: jml1")


@pytest.mark.parametrize("language", LANGUAGES)
def test_whose_grade_is_locked_is_held_back(to_moodle, language):
    """Moodle passes over it in silence."""
    people = [*CLASS[:3], replace(CLASS[3], locked=True), *CLASS[4:]]
    data = made.worksheet(people, language)
    filled = to_moodle(data)
    assert held(filled, "sine04", LANGUAGES[language].no, "locked grades") and unchanged(filled, data, "sine04")
    site = Moodle(people, language)
    assert site.read(filled.sheet.bytes()) == filled.written[GRADE] == 4


def test_after_the_pages_moodle_takes_no_grades_unless_told_so(course, written):
    folder = course(through_moodle(CLASS))
    file, table = written(made.worksheet(CLASS))
    said = exported(folder, moodle.form(table, file), moodle.page_of)
    assert any("grades before the feedback" in line and "Allow updating records" in line for line in said)
    grades, pages = ((folder / name).read_bytes() for name in ("filled.csv", "feedback_lab1_moodle.zip"))
    first, second = Moodle(CLASS), Moodle(CLASS)
    assert first.read(grades) == 5 and len(first.read_feedback(pages)) == 5
    assert len(second.read_feedback(pages)) == 5 and second.read(grades) == 0
    assert second.read(grades, ignore_modified=True) == 5


def test_numbers_about_a_person_are_no_grades(to_moodle):
    header = (
        "Identifier,Full name,ID number,Phone,Status,Grade,Maximum grade,Grade can be changed,Last modified (grade)"
    )
    data = f"{header}\nParticipant 101,Ada Lovelace,12345,4711,Submitted,,100.00,Yes,-\n"
    filled = to_moodle(data.encode(), [mark("ada1815", 71)])
    assert filled.sheet.bytes().decode() == data.replace(",,100.00", ",71,100.00")


def test_where_names_are_hidden_the_number_is_enough(to_moodle):
    hidden = [Person(one.number, "Participant", one.login) for one in CLASS]
    filled = to_moodle(made.worksheet(CLASS, blind=True), uploaders=through_moodle(hidden))
    assert filled.held == {} and len(filled.rows) == 5
    filled = to_moodle(made.worksheet(CLASS, "de", blind=True), uploaders=through_moodle([
        Person(one.number, "Teilnehmer/in", one.login) for one in CLASS
    ]))  # fmt: skip
    assert filled.held == {}


def held(filled, student, *parts):
    return student not in filled.rows and all(part in filled.held[student] for part in parts)


def unchanged(filled, data, person):
    row = [one.login for one in CLASS].index(person) + 1
    return made.cells(filled.sheet.bytes())[row] == made.cells(data)[row]


def test_nobody_gets_the_marks_of_another(to_moodle):
    """A number, a name and an id that do not agree are all held back."""
    data, right = made.worksheet(CLASS), through_moodle(CLASS)

    def with_uploaders(**changes):
        return to_moodle(data, uploaders=right | changes)

    group = with_uploaders(ada1815=[Uploader("moodle", "102", "Group 7", "")])  # a group's number looks the same
    assert held(group, "ada1815", "Group 7_102", "has neither")
    assert held(group, "jml1") is False and unchanged(group, data, "ada1815")
    borrowed = with_uploaders(ada1815=right["bob06"])
    assert held(borrowed, "ada1815", "Bob_106", "another row") and unchanged(borrowed, data, "bob06")
    both = with_uploaders(ada1815=[*right["ada1815"], *right["jml1"]])
    assert held(both, "ada1815", "several people", "Ada Lovelace_101")
    gone = with_uploaders(ada1815=[Uploader("moodle", "999", "Ada Lovelace", "")])
    assert held(gone, "ada1815", "another row")
    twice = to_moodle(data, [*MARKS, mark("ada2", 12)], right | {"ada2": right["ada1815"]})
    assert held(twice, "ada1815", "ada2", "same row") and held(twice, "ada2", "ada1815")
    assert unchanged(twice, data, "ada1815")


def test_the_beginning_of_somebody_s_address_is_no_id_beside_ids_or_in_another_domain(to_moodle, refused):
    eve = Person(107, "Eve Moneypenny", "eve7")
    sheet_ = made.worksheet([*CLASS, eve]).replace(b"eve7@example.org", b"ghost@gmail.com")
    for data in (sheet_, sheet_.replace(b"ghost@gmail.com", b"ghost@example.org")):
        filled = to_moodle(data, [*MARKS, mark("ghost", 99)], uploaders={})
        assert held(filled, "ghost", "is not in the file") and len(filled.rows) == 5
    lines = [line.split(",") for line in sheet_.decode("utf-8-sig").splitlines()[:2] + sheet_.decode().splitlines()[7:]]
    nobody = "\n".join(",".join([*line[:2], "ID" if not at else "", *line[3:]]) for at, line in enumerate(lines)) + "\n"
    with refused("None of the 1 students", "ghost is not in the file"):
        to_moodle(nobody.encode(), [mark("ghost", 99)], uploaders={})


def test_an_id_may_be_an_address(to_moodle):
    assert to_moodle(made.worksheet(CLASS), [mark("Ada1815@example.org", 5)], uploaders={}).rows == {
        "Ada1815@example.org": 1
    }


def test_a_hundred_students_are_filled_in_without_reading_the_file_for_each(to_moodle, monkeypatch):
    read = Counter()
    unquoted = sheet.unquoted
    monkeypatch.setattr(sheet, "unquoted", lambda cell: read.update(cells=1) or unquoted(cell))
    people = [Person(n, f"Name {n}", f"id{n}") for n in range(100, 200)]
    filled = to_moodle(made.worksheet(people), [mark(one.login, 5) for one in people], through_moodle(people))
    assert len(filled.rows) == 100 and read["cells"] <= 3 * 11 * 103, "once for each delimiter that it may have"


def test_why_nobody_stands_in_the_file_is_said(to_moodle, refused):
    """As where a team handed in: its number is nobody's, and its zip lies in each member's folder."""
    teams = {login: [Uploader("moodle", "12", "Team 1", "")] for login in TOTALS}
    with refused("None of the 5 students", "ada1815 is not in the file", "; …", "team assignment"):
        to_moodle(made.worksheet(CLASS, without=(2, 3)), uploaders=teams)
    german = through_moodle([replace(one, name="Teilnehmer/in") for one in CLASS])
    with refused("ada1815 was handed in by `Teilnehmerin_101`, and the row with this number has neither", "language"):
        to_moodle(made.worksheet(CLASS, blind=True), uploaders=german)


def test_a_student_who_stands_there_twice_is_held_back(to_moodle):
    data = made.worksheet([*CLASS, CLASS[0]])
    filled = to_moodle(data)
    assert held(filled, "ada1815", "2 rows") and len(filled.rows) == 4


def test_without_a_number_the_id_counts_and_then_the_name(to_moodle):
    data = made.worksheet(CLASS, without=(2,))  # the id is in the e-mail address
    filled = to_moodle(data, uploaders={})
    assert list(filled.rows.values()) == [1, 2, 3, 4, 5]
    team = [Uploader("moodle", "", "Default group", "")]
    assert list(to_moodle(data, uploaders=dict.fromkeys(TOTALS, team)).rows.values()) == [1, 2, 3, 4, 5]
    names = {"x": [Uploader("moodle", "", "Lovelace Ada", "")], "y": [Uploader("moodle", "", "Nobody", "")]}
    filled = to_moodle(made.worksheet(CLASS, without=(2, 3)), [mark("x", 5), mark("y", 6)], names)
    assert filled.rows == {"x": 1} and held(filled, "y", "is not in the file")
    same = [*CLASS, Person(107, "Ada Lovelace", "ada2")]
    with pytest.raises(LabError, match="None of the 1 students"):
        to_moodle(made.worksheet(same, without=(2, 3)), [mark("x", 5)], names)


@pytest.mark.parametrize(
    ("status", "total", "said"),
    [
        ("refused", None, "refused"),
        ("9 cells ungraded", None, "9 cells ungraded"),
        ("1 cell to review", 50, "1 cell to review"),
        ("graded", 104, "takes 100 at most"),
    ],
)
def test_what_is_not_final_or_too_much_is_held_back_and_never_0(to_moodle, status, total, said):
    data = made.worksheet(CLASS)
    filled = to_moodle(data, [mark("ada1815", total, "Not read.", status), *MARKS[1:]])
    assert held(filled, "ada1815", said) and unchanged(filled, data, "ada1815")
    site = Moodle(CLASS)
    site.read(filled.sheet.bytes())
    assert 101 not in site.grades and 101 not in site.comments and site.grades[102] == 0


def test_with_a_higher_maximum_extra_credit_goes_in(to_moodle):
    filled = to_moodle(made.worksheet(CLASS, most=110), [mark("ada1815", 104)], force=True)
    site = Moodle(CLASS, most=110)
    site.read(filled.sheet.bytes())
    assert site.grades == {101: 104}


def test_grades_and_comments_that_are_there_change_only_with_force(to_moodle):
    there = [
        Person(101, "Ada Lovelace", "ada1815", 80),
        Person(102, CLASS[1].name, "jml1", 0),
        Person(103, CLASS[2].name, "wang03", None, "<p>late</p>"),
        *CLASS[3:],
    ]
    data = made.worksheet(there, "de")
    marks = [mark(student, total, "Good." if student == "wang03" else "") for student, total in TOTALS.items()]
    filled = to_moodle(data, marks)
    assert held(filled, "ada1815", "`80,00`", "`87,5`", "--force") and held(filled, "wang03", "<p>late</p>")
    assert unchanged(filled, data, "ada1815") and unchanged(filled, data, "wang03")
    assert unchanged(filled, data, "jml1") and filled.rows["jml1"] == 2  # 0 is what stands there, as 0,00
    site = Moodle(there, "de")
    forced = to_moodle(data, marks, force=True).sheet.bytes()
    assert site.read(forced) == 2 and 101 not in site.grades, "no date in German is one for strtotime"
    site.read(forced, ignore_modified=True)
    assert (site.grades[101], site.grades[103], site.comments[103]) == (87.5, 100, "Good.")


def test_filling_again_changes_nothing(to_moodle):
    once = to_moodle(made.worksheet(CLASS, "de"))
    again = to_moodle(once.sheet.bytes())
    assert again.sheet.bytes() == once.sheet.bytes() and again.held == {} and again.rows == once.rows


def test_the_worksheet_of_another_assignment_is_refused(to_moodle, refused):
    with refused("None of the 5 students", "this lab's assignment"):
        to_moodle(made.worksheet([Person(one.number + 500, f"X{one.name}", "x" + one.login) for one in CLASS]))
    with refused("None of the 5 students"):
        to_moodle(made.worksheet([Person(one.number + 1, one.name, one.login) for one in CLASS]))
    with refused("is 10 points", "lab1 has 100"):
        to_moodle(made.worksheet(CLASS, most=10), force=True)
    with refused("is 200 points", "lab1 has 100", "--force"):
        to_moodle(made.worksheet(CLASS, most=200))
    scale = made.worksheet(CLASS).replace(b"100.00", b"fail")
    with refused("no column of grades"):
        to_moodle(scale)
    with refused("no grading worksheet of Moodle"):
        to_moodle(made.gradebook_export(CLASS, [Column("Lab 1", 7, 100)]))
    with refused("no grading worksheet of Moodle"):
        to_moodle(made.worksheet([]))


def test_a_comment_is_no_html_and_no_formula(to_moodle):
    filled = to_moodle(made.worksheet(CLASS), [mark("ada1815", 5, "=1+1 <script>alert(1)</script>")])
    assert made.cells(filled.sheet.bytes())[1][COMMENTS] == "'=1+1 &lt;script&gt;alert(1)&lt;/script&gt;"


# --------------------------------------------------------------------- Canvas

COLUMNS = [
    Column("Essay, part 1", 6, 10, {101: "9.00"}),
    Column("Lab 1: Network Slimming", 7, 100),
    Column("Lab 10", 8, 10),
]


@pytest.mark.parametrize("delimiter", ",;")
@pytest.mark.parametrize("comma", [False, True])
@pytest.mark.parametrize("options", [{}, {"sis": False}, {"muted": True}, {"mark": False}, {"split": True}], ids=str)
def test_an_export_is_filled_cell_by_cell_and_canvas_reads_the_scores(to_canvas, delimiter, comma, options):
    data = made.gradebook_export(CLASS, COLUMNS, comma=comma, delimiter=delimiter, **options)
    filled = to_canvas(data)
    assert filled.held == {}
    before, after = (made.cells(d, delimiter=delimiter) for d in (data, filled.sheet.bytes()))
    at = before[0].index("Lab 1: Network Slimming (7)")
    ids = {str(person.number): TOTALS.get(person.login) for person in CLASS}
    section = before[0].index("Section")
    for old, new in zip(before, after, strict=True):
        total = next((ids[cell] for cell in old[:4] if cell in ids), None)
        text = old[at] if total is None else f"{total:g}".replace(".", "," if comma else ".")
        assert new == [*old[: section + 1], text], "the scores of other assignments are of the time of the download"
    if not options.get("split"):
        scores = made.Canvas(CLASS, COLUMNS).read(filled.sheet.bytes())
        assert scores[7] == {p.number: f"{TOTALS[p.login]:g}" if p.login in TOTALS else "" for p in CLASS}
        assert list(scores) == [7]


def test_canvas_takes_more_than_the_maximum(to_canvas):
    filled = to_canvas(made.gradebook_export(CLASS, COLUMNS), [mark("ada1815", 104)])
    assert made.Canvas(CLASS, COLUMNS).read(filled.sheet.bytes())[7][101] == "104"


def test_excused_and_unassigned_students_and_scores_that_are_there_are_held_back(to_canvas):
    there = Column("Lab 1", 7, 100, {101: "EX", 102: "N/A", 103: "50.00", 104: "-", 105: "71.00"})
    data = made.gradebook_export(CLASS, [there])
    filled = to_canvas(data)
    assert (
        held(filled, "ada1815", "is excused")
        and held(filled, "jml1", "not assigned")
        and held(filled, "wang03", "`50.00`")
    )
    assert list(filled.rows) == ["sine04", "mal05"]
    scores = made.Canvas(CLASS, [there]).read(to_canvas(data, force=True).sheet.bytes())[7]
    assert scores == {101: "EX", 102: "N/A", 103: "100", 104: "64.25", 105: "71.00", 106: ""}


def test_the_assignment_is_the_one_that_says_the_lab_or_that_is_named(to_canvas, refused):
    two = made.gradebook_export(CLASS, [*COLUMNS, Column("Lab 1 (again)", 9, 100)])
    with refused("2 of the assignments", "--assignment", "Lab 1 (again) (9)", "Lab 1: Network Slimming (7)"):
        to_canvas(two)
    for name in ("9", "Lab 1 (again)", "lab 1 (AGAIN) (9)"):
        assert (
            made.Canvas(CLASS, [*COLUMNS, Column("Lab 1 (again)", 9, 100)]).read(
                to_canvas(two, assignment=name).sheet.bytes()
            )[9][101]
            == "87.5"
        )
    with refused("None of the assignments", "Essay, part 1 (6)"):
        to_canvas(made.gradebook_export(CLASS, [COLUMNS[0], COLUMNS[2]]))
    with refused("is 10 points"):
        to_canvas(two, assignment="Lab 10")
    with refused("no export of Canvas's gradebook"):
        to_canvas(made.worksheet(CLASS))
    with refused("no row Points Possible"):
        to_canvas(made.gradebook_export(CLASS, COLUMNS).replace(b"Points Possible", b"Points"))


def test_half_a_lab_more_is_another_lab(to_canvas):
    columns = [Column("Lab 1.5", 6, 100), Column("lab 01", 7, 100)]
    assert made.Canvas(CLASS, columns).read(to_canvas(made.gradebook_export(CLASS, columns)).sheet.bytes())[7]


def test_the_number_that_canvas_gives_a_person_is_nobody_s_id(to_canvas, refused):
    people = [Person(4711, "Ada Lovelace", "ada1815"), Person(4712, "Bob", "4713")]
    filled = to_canvas(made.gradebook_export(people, COLUMNS), [mark("4711", 99), mark("4713", 50)], uploaders={})
    assert held(filled, "4711", "is not in the file") and filled.rows == {"4713": 3}


def test_anonymous_scores_have_to_be_posted_first(to_canvas, refused):
    people = [*CLASS, Person(9999, "Test Student", "")]
    data = made.gradebook_export(CLASS, [Column("Lab 1", 7, 100, {one.number: "N/A" for one in people})])
    with refused("N/A for everyone", "post the grades", "Lab 1 (7)"):
        to_canvas(data)


def test_totals_are_never_taken_for_an_assignment(to_canvas, refused):
    data = made.gradebook_export(
        CLASS, [Column("Lab 1 Override Score", 2020, 100), Column("Lab 1 Final Score", 21, 100)]
    )
    with refused("None of the assignments"):
        to_canvas(data)


def test_anonymous_submissions_find_their_student_by_the_login(to_canvas):
    uploaders = {p.login: [uploader_of(made.canvas_path(p, 5, "lab.zip", anonymous="aB3dE"))] for p in CLASS}
    assert len(to_canvas(made.gradebook_export(CLASS, COLUMNS), uploaders=uploaders).rows) == 5


# ------------------------------------------------------------- whole exports


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A class folder with a gradebook of five complete students, and pages of feedback."""

    def course(through):
        for person in CLASS[:5]:
            folder = tmp_path / "collected" / LAB.name / person.login
            folder.mkdir(parents=True)
            people = [vars(one) for one in through[person.login]]
            (folder / "submission.json").write_text(json.dumps({"uploaders": people}), encoding="utf-8")
        (tmp_path / "feedback").mkdir()
        files = [tmp_path / "feedback" / f"{login}.html" for login in TOTALS]
        for file in files:
            file.write_bytes(b"<p>" + file.stem.encode() * (400 if file.stem == "mal05" else 1))
        monkeypatch.setattr(gradebook, "table", lambda course, lab: MARKS)
        monkeypatch.setattr(gradebook, "feedback", lambda course, lab, students: files[: len(students)])
        return tmp_path

    return course


def exported(folder, form, page_of, most=1_000_000):
    return systems.export(folder, LAB, form, page_of, folder / "filled.csv", most)


def pages_of(file):
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("options", [{}, {"trailing": True}, {"folders": False}], ids=str)
def test_moodle_finds_whose_page_each_is(course, written, options):
    folder = course(through_moodle(CLASS, **options))
    file, table = written(made.worksheet(CLASS))
    said = exported(folder, moodle.form(table, file), moodle.page_of)
    data = (folder / "feedback_lab1_moodle.zip").read_bytes()
    found = Moodle(CLASS).read_feedback(data)
    pages = {p.number: {"/feedback.html": (folder / "feedback" / f"{p.login}.html").read_bytes()} for p in CLASS[:5]}
    assert found == pages and "Ada Lovelace_101_assignfeedback_file/feedback.html" in pages_of(io.BytesIO(data))
    assert said[0] == f"5 grades written under `Grade` in {folder / 'filled.csv'} (UTF-8, commas)"
    assert said[1] == "5 comments written under `Feedback comments`" and not any("Held back" in line for line in said)
    notes = (folder / "grades_lab1_moodle.md").read_text(encoding="utf-8")
    assert notes.startswith("# lab1 for Moodle\n") and all(line in notes for line in said[:-1])


def test_a_page_of_somebody_without_a_name_is_found_by_its_number(written):
    ids = [Person(101, "Ada Lovelace", "ada_1815")]
    file, table = written(made.worksheet(ids))
    path, page = moodle.page_of(moodle.form(table, file), "ada_1815", [], 1, b"<p>")
    assert path == "ada 1815_101_assignfeedback_file/feedback.html"


def test_pages_over_the_limit_are_left_out_by_name_and_others_packed_under_it(course, written):
    folder = course(through_moodle(CLASS))
    (folder / "feedback_lab1_moodle_9.zip").write_bytes(b"of last time")
    (folder / "feedback_lab1_moodle_old.zip").write_bytes(b"of the TA")
    file, table = written(made.worksheet(CLASS))
    said = exported(folder, moodle.form(table, file), moodle.page_of, most=20)
    assert any(line.startswith("- mal05 has a page") for line in said) and "Without feedback:" in said
    *zips, kept = sorted(folder.glob("*.zip"))
    assert kept.read_bytes() == b"of the TA"
    assert [file.name for file in zips] == ["feedback_lab1_moodle.zip", "feedback_lab1_moodle_2.zip"]
    assert sum((list(pages_of(file).values()) for file in zips), []) == [
        b"<p>ada1815",
        b"<p>jml1",
        b"<p>wang03",
        b"<p>sine04",
    ]


def test_canvas_finds_whose_page_each_is_and_it_opens_under_the_students_own_name(course, written):
    folder = course(through_canvas(CLASS, late=True))
    file, table = written(made.gradebook_export(CLASS, COLUMNS))
    exported(folder, canvas.form(table, file, LAB), canvas.page_of)
    site = made.Canvas(CLASS, COLUMNS, {9000 + p.number: (p.number, f"lab1_{p.login}.zip") for p in CLASS})
    found = site.read_feedback((folder / "feedback_lab1_canvas.zip").read_bytes())
    assert list(found) == [p.number for p in CLASS[:5]]
    assert pages_of(io.BytesIO(found[101]["lab1_ada1815.zip"])) == {"feedback.html": b"<p>ada1815"}


def test_anonymous_pages_find_their_way_too(course, written):
    people = {
        p.login: [uploader_of(made.canvas_path(p, 9000 + p.number, "lab.zip", True, f"aB{p.number}"))] for p in CLASS
    }
    folder = course(people)
    file, table = written(made.gradebook_export(CLASS, COLUMNS))
    exported(folder, canvas.form(table, file, LAB), canvas.page_of)
    site = made.Canvas(CLASS, COLUMNS, {9000 + p.number: (p.number, "lab.zip") for p in CLASS})
    assert list(site.read_feedback((folder / "feedback_lab1_canvas.zip").read_bytes())) == [p.number for p in CLASS[:5]]


def test_through_canvas_a_page_goes_only_in_an_archives_place(course, written):
    people = through_canvas(CLASS)
    people["ada1815"] = [uploader_of(made.canvas_path(CLASS[0], 1, "05_report.ipynb"))]
    folder = course(people)
    file, table = written(made.gradebook_export(CLASS, COLUMNS))
    said = exported(folder, canvas.form(table, file, LAB), canvas.page_of)
    assert said[0].startswith("5 grades written under `Lab 1: Network Slimming (7)`") and any(
        line.startswith("- ada1815 handed in no zip") for line in said
    )


@pytest.mark.parametrize("people", [None, 5, ["x"], [{"system": "moodle"}], [{"a": 1}], {"x": 1}])
def test_a_submission_that_does_not_say_who_handed_it_in_is_refused(course, refused, people):
    folder = course(through_moodle(CLASS))
    file = folder / "collected" / LAB.name / "ada1815" / "submission.json"
    file.write_text(json.dumps({"uploaders": people}), encoding="utf-8")
    with refused("submission.json", "labkit collect"):
        gradebook.uploaders(folder, LAB)

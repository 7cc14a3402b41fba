"""Slides: what stands on them, that a student's text is only ever text, and what is refused."""

import datetime

import pytest
from matplotlib.figure import Figure
from pypdf import PdfReader

from labkit.settings import LabError
from labkit.view import report, slides

DAY = datetime.date(2025, 11, 20)
TABLE = [["method", "zeros"], ["dense", "0 %"], ["str-80", "81 %"]]


@pytest.fixture
def write(tmp_path):
    """Exports slides, of which some parts are changed, and returns the path of the PDF."""

    def write(**changes):
        figure = Figure()
        figure.subplots().plot([1, 2])
        parts = {"title": "Learned thresholds", "student": "s1", "method": "One a layer.", "equation": r"g = \sigma(s)"}
        parts |= {"figure": figure, "table": TABLE, "seen": "It held.", "date": DAY}
        return slides.export(tmp_path / "slides.pdf", **parts | changes)

    return write


def pages(path):
    return [" ".join(page.extract_text().split()) for page in PdfReader(path).pages]


def test_every_part_has_a_slide_of_its_own(write):
    first, method, figure, table, seen = pages(write())
    assert "Learned thresholds" in first and "s1" in first and "2025-11-20" in first
    assert "One a layer." in method and "What came out" in figure and "It held." in seen
    assert all(cell in table for row in TABLE for cell in row)
    images = [len(page.images) for page in PdfReader(write(equation="a = b\n\nc = d")).pages]
    assert images == [0, 2, 1, 0, 0]


def test_the_student_is_found_in_the_pdf_as_in_a_report(write):
    assert report.student_of(write(student=" s99 ").read_bytes()) == "s99"


@pytest.mark.parametrize("text", ['#import "@preview/evil:1.0": *', "#panic()", "$x$ *b* _i_ @ref <label>", "= head"])
def test_text_is_never_markup(write, text):
    found = pages(write(title=text, method=text, seen=text, student=text, table=[[text]]))
    assert all(text in found[number] for number in (0, 1, 3, 4))


def test_what_is_not_written_is_marked(write):
    found = pages(write(method="", seen=" \n", student=""))
    assert "no student id" in found[0] and "not written yet" in found[1] and "not written yet" in found[4]


def test_a_table_of_many_rows_stays_on_one_slide_and_a_longer_text_loses_nothing(write):
    assert len(pages(write(table=[["method", "zeros"]] + [[f"m{i}", f"{i} %"] for i in range(16)]))) == 5
    found = " ".join(pages(write(seen="\n".join(f"- number {i}." for i in range(80)))))
    assert all(f"number {i}." in found for i in range(80))


def test_equal_input_gives_an_equal_file(write):
    assert write().read_bytes() == write().read_bytes() != write(seen="Other.").read_bytes()


@pytest.mark.parametrize("equation", [r"\frac{1}", r"\nonsense{x}", "a $ b"])
def test_an_equation_that_is_none_is_refused_with_its_text(write, equation):
    with pytest.raises(LabError, match="cannot be read .* without"):
        write(equation=equation)

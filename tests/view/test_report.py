import datetime
import io
import os
import re

import pytest
from matplotlib.figure import Figure
from PIL import Image
from pypdf import PdfReader

from labkit.settings import LabError
from labkit.view import report
from labkit.view.report import Section, export

DAY = datetime.date(2025, 11, 20)


def picture(size=(60, 30), format="png") -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).save(buffer, format)
    return buffer.getvalue()


@pytest.fixture
def write(tmp_path):
    """Exports the sections given and returns the PDF's reader."""

    def write(*sections, title="Network Slimming", student="s1234567", date=DAY):
        return PdfReader(export(tmp_path / "report.pdf", title=title, student=student, sections=sections, date=date))

    return write


def words(reader: PdfReader) -> str:
    """All text of the document, in one line."""
    return " ".join(" ".join(page.extract_text() for page in reader.pages).split())


def letters(reader: PdfReader) -> str:
    """All text without any blanks: where lines are broken does not matter."""
    return re.sub(r"\s", "", words(reader))


def figures(reader: PdfReader) -> list[tuple[int, int]]:
    return [image.image.size for page in reader.pages for image in page.images]


@pytest.mark.parametrize("student", ["s1234567", "your student id", "", 'Ünal <&> "x"', "网络"])
def test_a_report_says_whose_it_is(tmp_path, student):
    section = Section("A", 1, "<dc:creator><rdf:Seq><rdf:li>another</rdf:li>")
    pdf = export(tmp_path / "report.pdf", title="<dc:creator>", student=f" {student} ", sections=[section])
    assert report.student_of(pdf.read_bytes()) == student
    assert report.student_of(b"%PDF-1.7 of another program") is None


@pytest.mark.parametrize(
    "text",
    [
        '#import "@preview/evil:1.0": *',
        '#panic("boom") #{1 + 1} #read("data.json")',
        "$x^2$ *bold* _slanted_ `raw` ```python print(1)```",
        r"\ \n \u{1F600} a \ b",
        "@ref <label> = heading // comment /* another */ [content]",
        "+ one / term: two ~ -- --- ... 'single' \"double\"",
        '{"json": ["]}", \\"',
        "https://example.org/a/b?c=d&e=f#g",
        "</script><b>&amp;",
        "λ·Σ|γ|/(1−μ) β η ≥ ≤ ≈ × ± → √ ∑ ∈ 10⁻⁴ 93.5 % − x₀ x₁₂ xᵢ é ß Ž",
    ],
)
def test_text_comes_out_literally(write, text):
    """In every place that takes a text."""
    section = Section(text, 3, text + "\n\n- " + text, picture(), text, [[text, "x"], ["y", text]])
    reader = write(section, Section("table", 1, "x", None, text, [["a"], ["b"]]), title=text, student=text)
    assert letters(reader).count(re.sub(r"\s", "", text)) >= 9
    assert reader.metadata.title == text
    assert reader.metadata.author == text


@pytest.mark.parametrize(
    "text",
    [
        "中文答案:剪枝比例" * 12,
        "😀👩‍🔬" * 50,
        "عربى ไทย עברית",
        "a\x00b\x01\x07\x7f\ufeff\u202e\u200b\ufffe",
        "\ud800 half",
        "ρ̂ é" * 30,
    ],
    ids=["Chinese", "emoji", "scripts", "control", "surrogate", "combining"],
)
def test_text_without_a_font_or_a_meaning_still_compiles(write, text):
    section = Section(text, 3, text + "\n\n- " + text, picture(), text, [[text, "x"], ["y", text]])
    assert "after it" in words(write(section, Section("after it", 1), title=text, student=text))


def test_a_long_answer_of_a_script_without_blanks_fills_pages(write):
    reader = write(Section("long", 1, "剪枝" * 5000))
    assert len(reader.pages) > 1


def test_no_word_leaves_the_page(write):
    """10,000 signs in one word: all are there, and none is right of the text's edge."""
    reader = write(Section("long", 1, "x" * 10_000 + " end", table=[["y" * 300, "b"], ["c", "d"]]))
    rows = "".join(page.extract_text() for page in reader.pages).splitlines()
    assert sum(row.count("x") for row in rows) == 10_000
    assert sum(row.count("y") for row in rows) == 300
    assert max(map(len, rows)) < 120


def test_blank_lines_part_paragraphs_and_dashes_make_lists():
    text = "\n One\r\nparagraph.\n\n \nAnother:\n- first\n  goes on\n - second\n\n- third\n\n-4 is no item\n- \n"
    assert report.blocks(text) == [
        "One paragraph.",
        "Another:",
        ["first goes on", "second"],
        ["third"],
        "-4 is no item",
    ]
    assert report.blocks(" \n\t\n- \n") == []


def test_missing_answers_are_marked(write):
    text = words(
        write(Section("a", 5), Section("b", 1, " \n"), Section("c", 0, None), Section("d", 2.5, "done"), student=" ")
    )
    assert text.count("a 5 points not written yet") == 1
    assert text.count("b 1 point not written yet") == 1
    assert "c d 2.5 points done" in text
    assert "no student id" in text
    assert "4 sections, 8.5 points, 2 answers not written yet" in text


def test_title_block_page_numbers_and_nothing_missing(write):
    text = words(write(Section("a", 1, "word " * 2000)))
    assert text.startswith("Network Slimming s1234567 2025-11-20 1 section, 1 point labkit ")
    assert "1 / 3" in text and "3 / 3" in text
    assert "not written" not in text


def test_without_a_date_it_is_today(write):
    before = datetime.date.today()
    text = words(write(date=None))
    assert before.isoformat() in text or datetime.date.today().isoformat() in text


def test_figures_come_from_bytes_paths_and_matplotlib(write, tmp_path):
    path = tmp_path / "a name with # and ünïcode.png"
    path.write_bytes(picture((50, 20)))
    drawn = Figure(figsize=(2, 1))
    drawn.set_label("A line that rises.")
    reader = write(
        Section("a", 1, "x", picture((60, 30)), "From memory."),
        Section("b", 1, "x", path),
        Section("c", 1, "x", str(path)),
        Section("d", 1, "x", drawn, "Drawn."),
    )
    assert figures(reader) == [(60, 30), (50, 20), (50, 20), (400, 200)]
    assert "Figure 1. From memory." in words(reader)
    assert alt_texts(reader) == ["From memory.", "Figure of b", "Figure of c", "A line that rises."]


def alt_texts(reader: PdfReader) -> list[str]:
    found, todo = [], [reader.trailer["/Root"]["/StructTreeRoot"]]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo += [child.get_object() for child in reversed(node)]
        elif isinstance(node, dict):
            found += [node["/Alt"]] if "/Alt" in node else []
            todo.append(node.get("/K", 0).get_object() if node.get("/K") else 0)
    return found


def test_a_tall_figure_stays_on_its_page(write):
    reader = write(Section("tall", 1, "x", picture((20, 400)), "Tall."))
    assert len(reader.pages) == 2
    assert "Figure 1. Tall." in reader.pages[1].extract_text()


def test_tables_are_padded_and_may_be_empty(write):
    ragged = [["network", "accuracy"], ["baseline", 0.93, "best"], []]
    text = words(
        write(
            Section("a", 1, "x", None, "All.", ragged), Section("b", 1, "x", table=[]), Section("c", 1, "x", table=[[]])
        )
    )
    assert "Table 1. All. network accuracy baseline 0.93 best b 1 point" in text


def test_equal_input_gives_an_equal_file(tmp_path):
    def content(name):
        drawn = Figure(figsize=(2, 1))
        drawn.subplots().plot([1, 2])
        sections = [Section("a", 1, "λ 中", drawn, "x", [["a"], ["1"]])]
        return export(tmp_path / name, title="t", student="s", sections=sections, date=DAY).read_bytes()

    first = content("one.pdf")
    assert first == content("two.pdf")
    assert b"CreationDate" not in first


WHOLE = picture((200, 200))


@pytest.mark.parametrize(
    "content",
    [b"", b"text", WHOLE[:8], WHOLE[:-20], WHOLE[:60] + b"zz" + WHOLE[62:], picture(format="jpeg")],
    ids=["empty", "text", "signature", "cut", "damaged", "jpeg"],
)
def test_what_is_no_png_is_refused(write, tmp_path, content):
    with pytest.raises(LabError, match=r"section 'Task 7' is not a whole PNG file: .*savefig"):
        write(Section("Task 7", 1, "x", content))
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(LabError, match=r"section 'Task 7', .*bad\.png, is not a whole PNG"):
        write(Section("Task 7", 1, "x", tmp_path / "bad.png"))
    assert not (tmp_path / "report.pdf").exists()


def test_a_missing_figure_is_named(write, tmp_path):
    with pytest.raises(LabError, match=r"section 'Task 7', .*gone\.png, cannot be read .*: run the notebook"):
        write(Section("Task 7", 1, "x", tmp_path / "gone.png"))
    with pytest.raises(LabError, match="cannot be read"):
        write(Section("Task 7", 1, "x", tmp_path))


def test_a_place_that_takes_no_file_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.pdf").mkdir()
    for path in (tmp_path / "file" / "report.pdf", tmp_path / "folder.pdf"):
        with pytest.raises(LabError, match=r"could not be written to .*\.pdf \(.*\): close it"):
            export(path, title="t", student="s", sections=[])
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.pdf"]


def test_a_failed_export_leaves_the_last_report(tmp_path, monkeypatch):
    path = export(tmp_path / "new" / "report.pdf", title="t", student="s", sections=[])
    before = path.read_bytes()

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(LabError, match=r"Permission denied.*close it if a viewer"):
        export(path, title="other", student="s", sections=[])
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["report.pdf"]

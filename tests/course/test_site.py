"""The web site: the public one holds no answer, every picture has words, every link leads somewhere, and a browser
without a network shows all of it."""

import hashlib
import html
import re
import zlib
from base64 import b64decode
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import browser
import nbformat
import needs
import pytest

from labkit import cli, records
from labkit.course import answers, blanks, labs, release, site, solutions
from labkit.course.site import pages, write
from labkit.course.site.public import ANSWERS, LEFT_OUT, published, telling

pytestmark = needs.site

LAB = labs.named(1)
NAMES = [name for lab in labs.LABS for name in lab.notebooks]
READ = {".html", ".js", ".css", ".txt"}  # what leaks reads of a site; the other files hold pictures, fonts and titles
OTHER = {".png", ".svg", ".woff", ".woff2", ".inv", ""}


class Page(HTMLParser):
    """What the tests ask of a page: its pictures, its links and the places that links may lead to."""

    def __init__(self, path: Path):
        super().__init__()
        self.images, self.links, self.places = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.places |= {found[name] for name in ("id", "name") if name in found}
        if tag == "img":
            self.images.append(found)
        if tag == "a" and "href" in found:
            self.links.append(found["href"])


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    """The public site of all labs, with the repository of the student edition."""
    out = tmp_path_factory.mktemp("site") / "public"
    site.build(out, labs.LABS, "someone/pruning-lab", "v1.0")
    return out


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """The instructors' site of lab 1, without a repository."""
    out = tmp_path_factory.mktemp("site") / "solved"
    site.build(out, (LAB,), solutions=True)
    return out


@pytest.fixture(scope="module")
def read(public):
    """The public site's pages by their path."""
    return {path.relative_to(public).as_posix(): Page(path) for path in html_of(public)}


def html_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]


@cache
def text_of(path: Path) -> str:
    """What the leak test reads of a page."""
    return release._read(path)


@cache
def complete() -> dict[str, nbformat.NotebookNode]:
    """Every complete notebook of the course by its name."""
    return {name: notebook for lab in labs.LABS for name, notebook in release.complete_notebooks(lab).items()}


# Answers


def test_no_file_of_the_public_site_holds_what_a_solution_says(public):
    pieces = release.solution_pieces(labs.LABS)
    assert len(pieces) > 300 and release.leaks(public, labs.LABS) == []
    assert {path.suffix for path in public.rglob("*") if path.is_file()} <= READ | OTHER
    titles = zlib.decompress((public / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode()
    assert "notebooks/03_channel_pruning" in titles and not [piece for piece in pieces if piece in titles]
    assert (
        not list(public.rglob("*.ipynb*"))
        and not list(public.rglob("*.doctree"))
        and not list(public.rglob("*.pickle"))
    )


def test_the_leak_test_sees_all_highlighted_code(solved):
    seen = {leak.partition(": ")[2] for leak in release.leaks(solved, (LAB,))}
    assert seen == release.solution_pieces((LAB,)) and len(seen) > 90


def test_no_output_of_a_cell_that_holds_or_shows_an_answer_is_on_the_public_site(public):
    """Pictures by their bytes, text by its lines, unless another cell puts out the same."""
    shown = {hashlib.sha256(path.read_bytes()).digest() for path in (public / "_images").iterdir()}
    text = "\n".join(text_of(path) for path in html_of(public))
    withheld, open_ = [], []
    for notebook in complete().values():
        told = telling(notebook)
        for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
            (withheld if cell.id in told else open_).extend(cell.outputs)
    assert len(images_in(withheld)) > 8 and images_in(open_) <= shown and not images_in(withheld) & shown
    assert len(lines_in(withheld) - lines_in(open_)) > 40
    assert not [line for line in lines_in(withheld) - lines_in(open_) if line in text]
    assert len([line for line in lines_in(open_) if line in text]) > 0.9 * len(lines_in(open_))


def images_in(outputs) -> set[bytes]:
    pngs = (output.data["image/png"] for output in outputs if "image/png" in output.get("data", {}))
    return {hashlib.sha256(b64decode(png)).digest() for png in pngs}


def lines_in(outputs) -> set[str]:
    lines = {line.strip() for output in outputs for line in output.get("text", "").splitlines()}
    return {line for line in lines if len(line) > 30}


def test_how_the_policies_of_notebook_08_cut_is_nowhere(public):
    """Neither their shares nor their widths, nor a link to their records; what they reached is on the course's page."""
    text = "\n".join(text_of(path) for path in html_of(public))
    assert "Share of each group" in text and not re.search(r"\bown( \d+%,){7}", text)
    for lab in labs.LABS:
        for run in (run for run in lab.reference_runs() if run.name in lab.answers):
            kept = [len(indices) for indices in records.load(run).plan["kept"].values()]
            assert str(kept) not in text and f"/{run.name}" not in text


def test_code_and_text_are_those_of_the_student_edition(public):
    for lab in labs.LABS:
        notebooks = release.complete_notebooks(lab)
        for name, edition in release.released_notebooks(lab).items():
            given = published(notebooks[name])
            assert [cell.source for cell in given.cells] == [cell.source for cell in edition.cells]
            text = text_of(public / "notebooks" / f"{name}.html")
            for cell in (cell for cell in edition.cells if cell.cell_type == "code"):
                assert all(line in text for line in cell.source.splitlines()), (name, cell.id)


# The cells whose outputs are left out, but for those that are graded by hand.
LEFT_OUT_CELLS = {
    "02_scaling_factors": {"02-06b"},
    "04_fine_tuning": {"04-21", "04-22"},
    "05_report": {"05-07", "05-22"},
    "08_front": {"08-48", "08-57"},
    "09_ratios": {"09-r5", "09-r6", "09-r9"},
    "10_amc": {"10-40", "10-49", "10-51"},
    "11_pruning_while_training": {"11-52", "11-54"},
    "12_quantization": {"12-r4"},
}


def test_the_outputs_of_these_cells_are_left_out_and_a_line_says_so(public):
    for name, notebook in complete().items():
        told, cells = telling(notebook), [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert {id for id in told if not id.startswith("manual-")} == LEFT_OUT_CELLS.get(name, set())
        shown = text_of(public / "notebooks" / f"{name}.html").partition("<!DOCTYPE")[0]
        assert shown.count(LEFT_OUT.strip()) == len([cell for cell in cells if cell.id in told and cell.outputs]), name
        outputs = {cell.id: cell.get("outputs") for cell in published(notebook).cells}
        assert all(outputs[cell.id] == cell.outputs for cell in cells if cell.id not in told), name


def test_every_name_in_the_list_of_answers_is_a_cells():
    known = [cell.id for notebook in complete().values() for cell in notebook.cells]
    assert all(any(name.startswith(start) for name in known) for start in ANSWERS)


# What the course calls its own attempts in figures and tables; docs say what they are, outputs must not show them.
ATTEMPTS = re.compile(
    r"^\s*(quarter|eighth|twentieth)\s+\d|\bfirst-try\b|\bopen-task-|\bfew-bits\b|\bhalf, (AMC|random)\b",
    re.M,
)


def test_no_output_on_the_public_site_names_an_attempt_of_the_course():
    full, shown = ("\n".join(map(said, map(of, complete().values()))) for of in (lambda notebook: notebook, published))
    names = {match[0].split()[0].strip(",") for match in ATTEMPTS.finditer(full)}
    assert names == {"quarter", "eighth", "twentieth", "first-try", "open-task-", "few-bits", "half"}
    assert [match[0] for match in ATTEMPTS.finditer(shown)] == []


def said(notebook: nbformat.NotebookNode) -> str:
    """The text of a notebook's outputs: printed, in tables, and the words of pictures."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = [output.get("text", "") for output in outputs]
    texts += [output.get("data", {}).get("text/markdown", "").replace("|", " ") for output in outputs]
    texts += [output.get("metadata", {}).get("image/png", {}).get("alt", "") for output in outputs]
    return "\n".join(texts)


def test_pages_say_whose_answers_and_guesses_their_outputs_were_made_with(public, solved):
    for path in (public / "notebooks").iterdir():
        assert pages.MADE_WITH.strip("*\n") in text_of(path), path
    assert pages.MADE_WITH.strip("*\n") not in "".join(text_of(path) for path in html_of(solved))
    assert "made with the course's own answers and guesses" in text_of(public / "index.html")


def notebook_of(**sources) -> nbformat.NotebookNode:
    cells = [nbformat.v4.new_code_cell(source, id=name.replace("_", "-")) for name, source in sources.items()]
    for number, cell in enumerate(cells, 1):
        cell.execution_count, cell.outputs = number, [nbformat.v4.new_output("stream", text="seen\n")]
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# 1 · Title: more\n\nText."), *cells], metadata=PYTHON
    )


PYTHON = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}
MANUAL = "mine = {}\n### BEGIN SOLUTION\nfor row in rows:\n    mine[row] = 1\n### END SOLUTION"


@pytest.mark.parametrize(
    "source, shows",
    [
        ("print(mine)", True),
        ("%time print(mine)", True),
        ("if mine:\n    print(1)", True),
        ("best = [item for item in mine]", True),
        ("mine = 3\nprint(mine)", False),
        ("for mine in range(3):\n    print(mine)", False),
        ("print([mine for mine in range(3)])", False),
        ("def square(mine):\n    return mine**2\nprint(square(3))", False),
        ("print(rows)", False),
        ("print(row)", False),  # the variable of the solution's loop
        ("for row in rows:\n    row = 2\n    print(row)", False),
        ("plans['one'].kept = mine\nprint(plans)", True),
        ("mine[3] = 1\nprint(mine)", True),  # the rest of it is still an answer
        ("if rows:\n    mine = 1\nprint(mine)", True),  # which may not have happened
    ],
)
def test_a_cell_shows_an_answer_if_it_reads_what_a_solution_bound(source, shows):
    notebook = notebook_of(manual_x=MANUAL, later=source)
    assert ("later" in telling(notebook)) == shows
    given = {cell.id: cell.get("outputs") for cell in published(notebook).cells}
    assert given["manual-x"][0].text == LEFT_OUT and (given["later"][0].text == LEFT_OUT) == shows


def test_what_is_computed_from_an_answer_shows_it_and_what_a_blank_returns_does_not():
    further = notebook_of(manual_x=MANUAL, one="n = len(mine)", two="print(n)", three="n = 1", four="print(n)")
    assert telling(further) == {"manual-x", "one", "two"}
    function = notebook_of(manual_x=MANUAL, one="def show():\n    print(mine)", two="show()")
    assert telling(function) == {"manual-x", "one", "two"}
    recorded = notebook_of(**{"05_07": "best = load('best')", "one": "plans = {1: best}", "two": "print(plans)"})
    assert telling(recorded) == {"05-07", "one", "two"}
    blank = "def f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION"
    assert telling(notebook_of(blank_x=blank, one="print(f(1))")) == set()


def test_the_instructors_site_has_answers_mistakes_and_the_staffs_pages(solved, public):
    for blank in blanks.declared(LAB).values():
        text = text_of(solved / "notebooks" / f"{blank.notebook}.html")
        code = [line for line in answers.solution(blank.name).splitlines() if line.strip()]
        assert all(line in text for line in code) and "raise NotImplementedError" not in text
        assert all(line in text for mistake in blank.mistakes for line in mistake.body.splitlines())
        assert text.count("<summary>Usual mistakes") == len(
            [other for other in blanks.declared(LAB).values() if other.notebook == blank.notebook]
        )
    assert solutions.NOTE.strip("*. \n").partition("**")[0] in text and LEFT_OUT.strip() not in text
    ours, theirs = ({path.stem for path in (folder / "docs").glob("*.html")} for folder in (solved, public))
    assert ours - theirs == {"ta", "site", "decisions"} and theirs == {"course", "results", "cluster"}
    assert "Usual mistakes" not in "".join(text_of(path) for path in html_of(public))


# Pictures and links


def test_every_picture_has_words_that_are_no_files_name(read):
    found = [image for page in read.values() for image in page.images]
    assert len(found) > 140
    for image in found:
        assert len(image.get("alt", "")) > 20 and not re.search(r"\.(png|svg)|^[0-9a-f-]+$", image["alt"]), image


def test_the_words_of_a_notebooks_picture_are_its_own(read):
    for name, notebook in complete().items():
        notebook = published(notebook)
        words = [text for _, text, _ in pages.pictures(notebook)]
        assert words == [image["alt"] for image in read[f"notebooks/{name}.html"].images]


def test_words_with_any_sign_reach_the_page():
    words = r"a $x$ *b* [c](d) `e` <f> \g & |γ| # _h_ 50 % {i} ~j~"
    assert re.sub(r"\\(.)", r"\1", pages.image(words, "f.png")) == f"![{words}](f.png)"


def test_every_link_leads_to_a_file_and_a_place(read):
    inside = 0
    for name, page in read.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            inside, (path, _, place) = inside + 1, link.partition("#")
            target = Path("/", name).parent.joinpath(path).resolve().relative_to("/").as_posix() if path else name
            assert target in read, f"{name}: {link}"
            assert not place or place in read[target].places, f"{name}: {link}"
    assert inside > 500
    for before, after in pairwise([*LAB.notebooks, "06_granularity"][:5]):
        assert f"{after}.html" in read[f"notebooks/{before}.html"].links
    assert "12_quantization.html" in read["notebooks/06_granularity.html"].links
    assert "../notebooks/08_front.html" in read["docs/course.html"].links  # another lab's, another folder's


def test_links_to_files_lead_into_the_edition_or_are_words(read, solved):
    home = "https://github.com/someone/pruning-lab/"
    links = {link for page in read.values() for link in page.links if link.startswith(home)}
    shipped = pages.edition_files(labs.LABS)
    assert len(links) > 100 and {link.removeprefix(home).partition("/v1.0/")[2] for link in links} <= shipped
    assert f"{home}tree/v1.0/data/reference" in links
    course = text_of(solved / "docs" / "course.html")
    assert "To change one thing" in (release.REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "someone" not in course and "CONTRIBUTING" not in course and "../notebooks/08_front" not in course
    assert "../notebooks/03_channel_pruning.html" in course


def test_the_front_page_has_a_picture_a_sentence_and_colab_for_every_notebook(read, public, solved):
    text, front = text_of(public / "index.html"), read["index.html"]
    assert [image["src"].partition("_images/")[2].rpartition("-")[0] for image in front.images] == [
        pages.FACES[name] for name in NAMES
    ]
    for lab in labs.LABS:
        assert f"Lab {lab.number}: {lab.title}" in text and lab.summary in text
    for name in NAMES:
        colab = f"https://colab.research.google.com/github/someone/pruning-lab/blob/v1.0/notebooks/{name}.ipynb"
        assert f"notebooks/{name}.html" in front.links and pages.sentence_on(name) in text
        assert colab in front.links and colab in read[f"notebooks/{name}.html"].links
        assert text.count(f">Open {name[:2]} in Colab<") + text.count(f"Open {name[:2]} in Colab</span>") == 1
    assert "Colab" not in text_of(solved / "index.html")


# What is refused


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A course of one notebook and no docs: ``small(notebook)`` builds its site."""
    lab = replace(LAB, notebooks=("01_sparsity_training",))

    def make(notebook, out=tmp_path / "out"):
        monkeypatch.setattr(pages, "complete_notebooks", lambda lab: {"01_sparsity_training": notebook})
        monkeypatch.setattr(pages, "DOCS", {})
        return site.build(out, (lab,))

    return make


def unexecuted(notebook):
    notebook.cells[2].execution_count = None


def out_of_order(notebook):
    notebook.cells[1].execution_count, notebook.cells[2].execution_count = 2, 1


def failed(notebook):
    notebook.cells[2].outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]


def never(notebook):
    for cell in notebook.cells[1:]:
        cell.execution_count, cell.outputs = None, []


@pytest.mark.parametrize(
    "spoil, cell", [(unexecuted, "two"), (out_of_order, "one"), (failed, "two stopped"), (never, "one")]
)
def test_a_notebook_that_was_not_executed_in_order_is_refused_by_name(spoil, cell, small, tmp_path, refused):
    notebook = notebook_of(one="1", two="2", three="3")
    spoil(notebook)
    with refused("01_sparsity_training.ipynb cannot be shown", f"cell {cell}", "labkit run"):
        small(notebook)
    assert not (tmp_path / "out").exists()


def test_a_picture_without_words_is_refused(small, refused):
    notebook = notebook_of(one="1")
    notebook.cells[1].outputs = [nbformat.v4.new_output("display_data", data={"image/png": "AAAA"})]
    with refused("Cell one shows a picture without words", "plots.show"):
        small(notebook)


def test_a_warning_of_sphinx_is_an_error_and_nothing_is_written(small, tmp_path, refused):
    notebook = notebook_of(one="1")
    notebook.cells[0].source += "\n\n```{nonsense}\n```"
    with refused("Sphinx warns of notebooks/01_sparsity_training.ipynb", "nonsense", "mend that first"):
        small(notebook)
    assert not (tmp_path / "out").exists()


def test_a_site_that_is_refused_leaves_the_one_that_was_there(small, monkeypatch, tmp_path, refused):
    monkeypatch.setattr(write, "_made", pages_with("yesterday"))
    front = small(notebook_of(one="1"))
    monkeypatch.setattr(write, "_made", lambda *a: ["a warning"])
    with refused("Sphinx warns of a warning"):
        small(notebook_of(one="1"))
    monkeypatch.setattr(write, "_made", pages_with(html.escape(min(release.solution_pieces((LAB,))))))
    with refused("would give 1 answers away"):
        small(notebook_of(one="1"))
    assert "yesterday" in front.read_text(encoding="utf-8")


def pages_with(words: str):
    """Instead of Sphinx: a front page that says ``words``."""

    def instead(source, folder, state, title):
        (folder / "_static").mkdir(parents=True)
        (folder / "objects.inv").write_text(f"# Sphinx inventory version 2\n# Project: {title}\n")
        (folder / "index.html").write_text(f"<html><code>{words}</code></html>")
        return []

    return instead


def test_a_leak_is_an_error_and_nothing_is_written(small, monkeypatch, tmp_path, refused):
    line = html.escape(min(release.solution_pieces((LAB,)))).replace(" ", " <b></b>")
    monkeypatch.setattr(write, "_made", pages_with(line))
    with refused("would give 1 answers away", "index.html"):
        small(notebook_of(one="1"))
    assert not (tmp_path / "out").exists()


def test_only_a_site_of_the_same_kind_is_replaced(small, solved, monkeypatch, tmp_path, refused):
    notebook = notebook_of(one="1")
    for words in ("first", "second"):
        monkeypatch.setattr(write, "_made", pages_with(words))
        assert words in small(notebook).read_text(encoding="utf-8")
    with refused("holds something that is no site without solutions"):
        small(notebook, solved)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    with refused("holds something"):
        small(notebook, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "thesis.tex").exists() and (solved / "index.html").exists()


def test_what_is_missing_is_said_with_the_line_that_brings_it(monkeypatch, tmp_path, refused):
    monkeypatch.setattr(write, "NEEDS", (*write.NEEDS, "nowhere_at_all"))
    with refused("needs nowhere_at_all", 'pip install -e ".[site]"'):
        site.build(tmp_path / "out", (LAB,))


@pytest.mark.parametrize(
    "words, said",
    [
        (["--lab", "9"], "There is no lab 9"),
        (["--repo", "name-alone"], "give OWNER/NAME"),
        (["--repo", "a/b", "--ref", 'v"1'], "give OWNER/NAME"),
    ],
)
def test_the_command_refuses_in_one_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["site", *words]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("labkit: ") and said in shown and shown.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words, folder", [([], "pruning-lab-site"), (["--solutions"], "pruning-lab-site-solutions")])
def test_the_command_says_where_and_how_large(words, folder, tmp_path, monkeypatch, capsys):
    asked = []

    def instead(out, labs, repository, ref, solutions):
        asked.append((out.name, len(labs), repository, ref, solutions))
        out.mkdir(parents=True)
        (out / "index.html").write_text("x" * 1_500_000)
        return out / "index.html"

    monkeypatch.setattr(site, "build", instead)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["site", *words]) == 0
    assert asked == [(folder, 4, "", "main", bool(words))]
    assert (
        f"{'with' if words else 'without'} solutions, 1.5 MB: open build/{folder}/index.html" in capsys.readouterr().out
    )


def test_the_workflow_publishes_the_site_without_solutions():
    text = (release.REPOSITORY / ".github" / "workflows" / "pages.yml").read_text(encoding="utf-8")
    assert "make site REPO=" in text and "SOLUTIONS" not in text and "path: build/pruning-lab-site\n" in text
    variables = set(re.findall(r"vars\.(\w+)", text))
    docs = (release.REPOSITORY / "docs" / "site.md").read_text(encoding="utf-8")
    assert len(variables) == 2 and all(f"`{name}`" in docs for name in variables)


# In a browser

TYPESET = "window.MathJax?.startup?.promise ? [...document.querySelectorAll('.math')].every(m => m.querySelector('mjx-container')) : !document.querySelector('.math')"
ASKED = "return performance.getEntriesByType('resource').map(e => e.name).filter(name => !name.startsWith('file:') && !name.startsWith('data:'))"


def widths(driver, width: int, height: int = 900) -> tuple[int, int]:
    """How wide the page is in a window of this width, and how wide its text."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    return driver.execute_script(
        "return [document.documentElement.scrollWidth, document.querySelector('.bd-article section').clientWidth]"
    )


@needs.browser
def test_pages_are_complete_without_a_network_and_nothing_but_code_and_tables_scrolls_sideways(public, tmp_path):
    formulas = 0
    with browser.chromium(tmp_path) as driver:
        for path in html_of(public):
            if path.name == "search.html":
                continue
            driver.get(path.as_uri())
            browser.until(driver, TYPESET)
            formulas += driver.execute_script("return document.querySelectorAll('mjx-container').length")
            assert driver.execute_script(ASKED) == [], path
            assert driver.execute_script("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")
            assert widths(driver, 390)[0] <= 390, path
            assert widths(driver, 1440)[1] >= 786, path
    assert formulas > 50


@needs.browser
def test_a_dark_page_shows_pictures_on_white_and_the_search_finds_a_page(public, tmp_path):
    with browser.chromium(tmp_path) as driver:
        driver.get((public / "notebooks" / "08_front.html").as_uri())
        driver.execute_script("document.documentElement.dataset.theme = 'dark'")
        colours = "el => getComputedStyle(el).backgroundColor"
        assert set(driver.execute_script(f"return [...document.images].map({colours})")) == {"rgb(255, 255, 255)"}
        dark = driver.execute_script(f"return ({colours})(document.body)")
        assert max(map(int, re.findall(r"\d+", dark)[:3])) < 60
        driver.get((public / "search.html").as_uri() + "?q=subgradient")
        browser.until(driver, "document.querySelector('#search-results a[href*=\"01_sparsity_training\"]')")
        assert driver.execute_script(ASKED) == []


# The address of the link that a click into the element follows.
CLICKED = """function clicked(element, box = element.getBoundingClientRect()) {
  return document.elementFromPoint(box.x + 3, box.y + box.height / 2).closest('a').href;
}
"""
TOO_WIDE = (
    "return [...document.querySelectorAll('.output.stream pre')].filter(e => e.scrollWidth > e.clientWidth).length"
)


@needs.browser
def test_a_click_into_a_card_opens_its_notebook_and_on_its_other_link_colab(public, tmp_path):
    with browser.chromium(tmp_path) as driver:
        driver.get((public / "index.html").as_uri())
        widths(driver, 1440, 6000)
        pictures = "return [...document.querySelectorAll('.tile img')].map(image => clicked(image))"
        assert driver.execute_script(CLICKED + pictures) == [
            (public / "notebooks" / f"{name}.html").as_uri() for name in NAMES
        ]
        colab = "return [...document.querySelectorAll('.tile a[href*=colab]')].map(a => clicked(a) === a.href)"
        assert driver.execute_script(CLICKED + colab) == [True] * len(NAMES)


@needs.browser
def test_what_a_cell_prints_breaks_and_the_contents_at_the_right_scroll(public, tmp_path):
    with browser.chromium(tmp_path) as driver:
        driver.get((public / "notebooks" / "03_channel_pruning.html").as_uri())
        widths(driver, 1440)
        assert driver.execute_script(TOO_WIDE) == 0
        bar = "return getComputedStyle(document.querySelector('.bd-sidebar-secondary')).maxHeight"
        assert driver.execute_script(bar) != "none"

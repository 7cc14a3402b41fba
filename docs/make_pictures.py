"""Takes the pictures of docs/ in a real browser: a made-up class in nbgrader's formgrader for docs/ta.md, what export
makes of it for Moodle, and a quick question and the explorer in JupyterLab.

    python docs/make_pictures.py [class] [moodle] [widgets]

The class is made of the complete notebooks with their outputs, declared mistakes for blanks, and the
reference runs as records; points, sentences and findings are computed from them as for any class.
"""

import hashlib
import json
import sys
import tempfile
from dataclasses import asdict
from html import escape
from pathlib import Path

import nbformat
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import browser  # noqa: E402
import class_of  # noqa: E402
import systems  # noqa: E402

from labkit import settings  # noqa: E402
from labkit.course import answers, blanks, labs, release  # noqa: E402
from labkit.course.grading import findings, gradebook, uploads  # noqa: E402
from labkit.course.practice.judge import judge  # noqa: E402

LAB = labs.named(1)
ASKING = 'from labkit.course import ask\n\nask("zero-gamma")'
EXPLORING = """\
from labkit import records, settings, slimming

lab = settings.REFERENCE / "quick-shapes-seed0" / "lab1"
strong, sweep = (records.load_all(lab, kind)[-1] for kind in ("sparsity", "sweep"))
slimming.prune_explorer(strong, sweep)
"""

# As Moodle knows them.
NAMES = ("Ada Lovelace", "Jürgen Groß", "Wáng Xiǎomíng", "Sinéad O'Connor", "Nguyễn Thị Mai")
TABLE = """<!DOCTYPE html><meta charset="utf-8"><style>
body {{ font: 14px sans-serif; margin: 1rem }} table {{ border-collapse: collapse }}
td {{ border: 1px solid #bbc; padding: .25rem .5rem; max-width: 24rem; overflow: hidden; white-space: nowrap;
  text-overflow: ellipsis }}
tr:first-child {{ background: #eef; font-weight: bold }} .new {{ background: #dfd }}
</style><table>{}</table>"""

# Which declared mistake of a blank's first function a student made; what is not named is right.
CLASS = {
    "ab1234": {"subgradient": 4},
    "cd2345": {},
    "ef3456": {"penalty": 0, "kept-channels": 0},
    "gh4567": {"linear-bias": 0, "subgradient": 2},
    "ij5678": None,  # not graded yet
}


def people() -> list[systems.Person]:
    return [systems.Person(2411 + n, name, login) for n, (name, login) in enumerate(zip(NAMES, CLASS))]


def make_class(course: Path) -> None:
    """``collected/`` and ``graded/`` of ``CLASS``."""
    materials = {name: answers.material(name, answers.VISIBLE_SEED) for name in blanks.of(LAB)}
    found = findings.findings(settings.REFERENCE / "quick-shapes-seed0" / LAB.name, LAB)
    for student, mistakes in CLASS.items():
        folder = course / "collected" / LAB.name / student
        (folder / "notebooks").mkdir(parents=True)
        for name, notebook in release.complete_notebooks(LAB).items():
            for cell in notebook.cells:
                cell.source = answer(cell, mistakes or {})
            nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
        person = next(one for one in people() if one.login == student)
        path = systems.moodle_path(person, f"pruning_lab1_{student}.zip")
        submission = {"student": student, "sha256": student, "refused": None, "notes": []}
        submission["uploaders"] = [asdict(uploads.uploader_of(path))]
        content = json.dumps(submission).encode()
        (folder / "submission.json").write_bytes(content)
        if mistakes is not None:
            verdicts = {name: verdict(material, mistakes.get(name)) for name, material in materials.items()}
            result = {
                "submission": hashlib.sha256(content).hexdigest(),
                "refused": None,
                "blanks": {name: {"points": v.points, "sentences": v.sentences} for name, v in verdicts.items()},
                "findings": [finding for finding in found if finding["well"] or student == "ab1234"],
            }
            (course / "graded" / LAB.name).mkdir(parents=True, exist_ok=True)
            (course / "graded" / LAB.name / f"{student}.json").write_text(json.dumps(result), encoding="utf-8")


def answer(cell, mistakes: dict) -> str:
    """A complete cell's source without the solution's marks, or with a declared mistake in its place."""
    mistake = mistakes.get(cell.id.removeprefix("blank-")) if cell.id.startswith("blank-") else None
    if mistake is None:
        marks = ("### BEGIN", "### END", "# NBVAL")
        return "\n".join(line for line in cell.source.splitlines() if not line.strip().startswith(marks))
    body = blanks.named(cell.id.removeprefix("blank-")).mistakes[mistake].body
    return release.REGION.sub(lambda region: "\n".join(region[1] + line for line in body.splitlines()), cell.source, 1)


def verdict(material: dict, mistake: int | None):
    """The verdict on a blank that is right, or has this mistake in its first function."""
    parts = material["functions"]
    observed = {name: [case["expected"] for case in part["cases"]] for name, part in parts.items()}
    if mistake is not None:
        first = next(iter(parts))
        observed[first] = parts[first]["mistakes"][mistake]["observed"]
    return judge(material, observed)


def main() -> None:
    pictures = {"class": take_class, "moodle": take_moodle, "widgets": take_widgets}
    for name in sys.argv[1:] or pictures:
        pictures[name]()


def take_class() -> None:
    """Fill a gradebook with ``CLASS``, and save the pictures of it."""
    with tempfile.TemporaryDirectory() as scratch:
        course, scratch = Path(scratch) / "grading", Path(scratch)
        make_class(course)
        gradebook.fill(course, LAB)
        with browser.formgrader(course, scratch) as address, browser.chromium(scratch / "chromium") as page:
            take(page, address, scratch)


def take(page, address, scratch: Path) -> None:
    """Go through formgrader as a TA does, and save the pictures."""
    page.get(address(f"/formgrader/manage_submissions/{LAB.name}"))
    browser.until(page, "models && models.loaded")
    save(page, scratch, "submissions", 500)

    page.get(address(f"/formgrader/gradebook/{LAB.name}/03_channel_pruning"))
    browser.until(page, "models && models.loaded")
    page.execute_script("toggleAllNames()")
    save(page, scratch, "notebook", 500)

    browser.open_submission(page, address, "01_sparsity_training", "ab1234")
    save(page, scratch, "blank", 580, "blank-subgradient")

    browser.open_submission(page, address, "03_channel_pruning", "ab1234")
    browser.enter(page, "manual-prune-50", "4.5")
    browser.enter(page, "manual-prune-50-comment", "Right. Say on which images the accuracy was measured.")
    save(page, scratch, "manual", 900, "manual-prune-50")


def take_moodle() -> None:
    """Grade ``CLASS`` by hand, fill a worksheet, and save what the TA and a student see of it."""
    with tempfile.TemporaryDirectory() as scratch:
        course, scratch = Path(scratch) / "grading", Path(scratch)
        make_class(course)
        gradebook.fill(course, LAB)
        class_of.by_hand(course, LAB)
        worksheet = scratch / "Grades.csv"
        worksheet.write_bytes(systems.worksheet(people(), without=(2, 3, 7, 8)))
        class_of.command("export", f"--moodle={worksheet}", f"--course={course}")
        before, after = (systems.cells(file.read_bytes()) for file in (worksheet, course / "grades_lab1_moodle.csv"))
        (scratch / "worksheet.html").write_text(TABLE.format(table_rows(before, after)), encoding="utf-8")
        with browser.chromium(scratch / "chromium") as page:
            page.get((scratch / "worksheet.html").as_uri())
            save(page, scratch, "worksheet", 190)
            page.get((course / "feedback" / LAB.name / "ab1234.html").as_uri())
            page.execute_script("document.querySelectorAll('h2')[1].scrollIntoView()")
            save(page, scratch, "feedback", 220)


def table_rows(before: list[list[str]], after: list[list[str]]) -> str:
    """Rows of an HTML table of ``after``; cells that are new have a colour."""
    pairs = [list(zip(*rows)) for rows in zip(before, after)]
    return "".join(
        "<tr>" + "".join(f"<td{' class=new' * (old != new)}>{escape(new)}</td>" for old, new in row) + "</tr>"
        for row in pairs
    )


def take_widgets() -> None:
    """Show a quick question and the explorer in a notebook, use each, and save its cell."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    def choose(page):  # an option that is not right
        browser.until(page, "document.querySelector('.jupyter-button')")
        page.find_elements(By.CLASS_NAME, "jupyter-button")[1].click()
        browser.until(page, "document.querySelector('.widget-html').innerText")

    def drag(page):  # from 50 to 80 %
        picture = "document.querySelector('.jupyter-widgets img')?.src"
        for _ in range(3):
            before = browser.until(page, picture)
            page.find_element(By.CLASS_NAME, "noUi-handle").send_keys(Keys.RIGHT)
            browser.until(page, f"{picture} != {before!r}")

    for name, source, use in (("question", ASKING, choose), ("explorer", EXPLORING, drag)):
        with tempfile.TemporaryDirectory() as scratch:
            scratch, notebooks = Path(scratch), Path(scratch) / "notebooks"
            notebooks.mkdir()
            browser.write_notebook(notebooks / "shown.ipynb", source)
            with browser.jupyterlab(notebooks, scratch) as address, browser.chromium(scratch / "chromium") as page:
                browser.run_notebook(page, address, "shown.ipynb")
                use(page)
                file = HERE / "pictures" / f"{name}.png"
                page.find_element(By.CSS_SELECTOR, ".jp-Notebook .jp-Cell").screenshot(str(scratch / file.name))
                pack(scratch / file.name, file)


def save(page, scratch: Path, name: str, height: int, first: str | None = None) -> None:
    """Save a window of 1200 x ``height`` pixels, scrolled so that the cell ``first`` is near its top."""
    page.set_window_size(1200, height + page.execute_script("return window.outerHeight - window.innerHeight"))
    if first:
        top = f"$('#{first}-comment').parents('.nbgrader_cell').offset().top"
        page.execute_script(f"document.activeElement.blur(); $('html, body').stop().scrollTop({top} - 130)")
        page.execute_script("$('.save-icon, .help').stop(true).hide()")
    file = HERE / "pictures" / f"{name}.png"
    page.save_screenshot(str(scratch / file.name))
    pack(scratch / file.name, file)


def pack(screenshot: Path, file: Path) -> None:
    """Save a screenshot with few colours, which is much smaller."""
    image = Image.open(screenshot).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    image.save(file, optimize=True)
    print(f"{file}: {image.width} x {image.height}, {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

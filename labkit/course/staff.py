"""What instructors and teaching assistants type: release, site, collect, grade, formgrader, export, feedback, board.

Not in the student edition: its commands need what stays with the staff.
"""

import math
import sys
from pathlib import Path

from tqdm.std import tqdm

from labkit.course import edition, labs
from labkit.settings import LabError


def add_commands(commands) -> None:
    out = commands.add_parser("release", help="write the student edition: a folder for a public repository, and a zip")
    out.add_argument("--repo", default="", metavar="OWNER/NAME", help="where students find it (Colab badges, set-up)")
    out.add_argument("--ref", default="main", metavar="TAG", help="tag or branch that they use (default: main)")
    out.add_argument("--out", type=Path, help="default: build/pruning-lab, for solutions build/pruning-lab-solutions")
    out.add_argument("--solutions", action="store_true", help="the worked solutions instead, for after the deadline")
    out.add_argument("--lab", default="1", metavar="N", help="which lab, or all (default: 1)")
    out.add_argument(
        "--variant-by-student",
        nargs="?",
        const="",
        metavar="WORD",
        help="seed and images from the student's id, kept in edition.json; another WORD gives others",
    )
    out.set_defaults(command=release)

    pages = commands.add_parser("site", help="write the course as web pages, from the notebooks as they were executed")
    pages.add_argument(
        "--repo", default="", metavar="OWNER/NAME", help="of the student edition (links to Colab and to files)"
    )
    pages.add_argument("--ref", default="main", metavar="TAG", help="its tag or branch (default: main)")
    pages.add_argument("--out", type=Path, help="default: build/pruning-lab-site, with solutions …-site-solutions")
    pages.add_argument(
        "--solutions", action="store_true", help="the instructors' site, with answers: not to be published"
    )
    pages.add_argument("--lab", default="all", metavar="N", help="which lab, or all (default: all)")
    pages.set_defaults(command=site)

    collect_ = commands.add_parser("collect", help="read and repair the archives of a learning-management export")
    collect_.add_argument("folder", type=Path, help="the export")
    collect_.set_defaults(command=collect)

    grade_ = commands.add_parser("grade", help="mark the blanks in the sandbox and fill the gradebook")
    grade_.add_argument("--container", metavar="IMAGE", help="a container instead of bubblewrap (podman or docker)")
    grade_.add_argument("--workers", type=int, help="submissions at a time (default: one per core)")
    grade_.set_defaults(command=grade)

    formgrader = commands.add_parser("formgrader", help="open the gradebook in a browser, to grade by eye")
    formgrader.set_defaults(command=open_formgrader)

    export_ = commands.add_parser("export", help="write all points to a CSV file, or into that of Moodle or Canvas")
    export_.add_argument(
        "csv", type=Path, nargs="?", help="default: grades_labN.csv or grades_labN_SYSTEM.csv in the class folder"
    )
    system = export_.add_mutually_exclusive_group()
    system.add_argument(
        "--moodle", type=Path, metavar="WORKSHEET", help="fill this grading worksheet, and pack the feedback"
    )
    system.add_argument(
        "--canvas", type=Path, metavar="EXPORT", help="fill this gradebook export, and pack the feedback"
    )
    export_.add_argument("--assignment", metavar="TITLE", help="Canvas: which, if its title does not say the lab")
    export_.add_argument("--force", action="store_true", help="overwrite grades that stand in the file already")
    export_.add_argument(
        "--most", type=float, default=100, metavar="MB", help="of feedback in one upload (default: 100)"
    )
    export_.set_defaults(command=export)

    feedback_ = commands.add_parser("feedback", help="write a feedback page for each student")
    feedback_.set_defaults(command=feedback)

    board_ = commands.add_parser("board", help="write lab 2's board: the policies of the class, and what they gain")
    board_.set_defaults(command=board)

    for command in (collect_, grade_, formgrader, export_, feedback_):
        command.add_argument("--lab", default="1", metavar="N", help="which lab (default: 1)")
    for command in (collect_, grade_, formgrader, export_, feedback_, board_):
        command.add_argument("--course", type=Path, default=Path("grading"), help="the class folder (default: grading)")


def release(options) -> None:
    from labkit.course import release, solutions

    this, word = edition.current(), options.variant_by_student
    if word is not None:
        this = this.with_variants(word)
    if options.solutions:
        what, write, out = "worked solutions", solutions.release, options.out or Path("build/pruning-lab-solutions")
    else:
        what, write, out = "student edition", release.release, options.out or Path("build/pruning-lab")
    archive = write(out, labs.chosen(options.lab), options.repo, options.ref, this)
    print(f"{what} in {out} and {archive} ({archive.stat().st_size / 1e6:.1f} MB)")
    if word is not None:
        edition.keep(this)
        print(f"{edition.FILE} says variants {this.variants!r} from now on: grading reads it there, so commit it")
    if not options.repo:
        print("without what Colab needs, such as its set-up cell: give --repo OWNER/NAME --ref TAG for that")


def site(options) -> None:
    from labkit.course import site

    out = options.out or Path("build/pruning-lab-site-solutions" if options.solutions else "build/pruning-lab-site")
    front = site.build(out, labs.chosen(options.lab), options.repo, options.ref, options.solutions)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"site {'with' if options.solutions else 'without'} solutions, {size / 1e6:.1f} MB: open {front}")
    if not options.repo:
        print("without links to Colab: give --repo OWNER/NAME --ref TAG of the student edition for that")


def collect(options) -> None:
    from labkit.course.grading.collect import collect

    lab = labs.named(options.lab)
    found = collect(options.folder, options.course, edition.current(), lab)
    noted, refused = (sum(bool(s[key]) for s in found) for key in ("notes", "refused"))
    notes = options.course / "collected" / lab.name / "notes.md"
    print(f"{len(found)} hand-ins: {noted} with notes, {refused} refused: {notes}")


def grade(options) -> None:
    from labkit.course.grading import gradebook, sandbox
    from labkit.course.grading.grade import grade

    lab = labs.named(options.lab)
    with sandbox.opened(options.container) as way, tqdm(unit="submission", file=sys.stdout, leave=False) as bar:
        results = grade(options.course, lab, way, options.workers, progress=lambda result: bar.update())
    print(f"in the sandbox {way.how}")
    for change in gradebook.fill(options.course, lab):
        print(change)
    marked = [result["points"] for result in results if result["points"] is not None]
    mean = f", {sum(marked) / len(marked):.1f} of {results[0]['of']} code points on average" if marked else ""
    print(f"marked: {len(marked)}{mean}; {len(results) - len(marked)} refused")
    print(f"what to look at: {options.course / 'graded' / lab.name / 'notes.md'}")


def open_formgrader(options) -> None:
    from labkit.course.grading import gradebook

    gradebook.open_formgrader(options.course, labs.named(options.lab))


def export(options) -> None:
    from labkit.course.grading import gradebook

    lab = labs.named(options.lab)
    if options.moodle or options.canvas:
        export_into_system(options, lab)
    else:
        csv = options.csv or options.course / f"grades_{lab.name}.csv"
        gradebook.export(options.course, lab, csv)
        print(f"grades in {csv}")


def export_into_system(options, lab: labs.Lab) -> None:
    from labkit.course.grading import canvas, moodle, sheet, systems

    if not 0 < options.most < math.inf:
        raise LabError(f"--most {options.most:g} is no size of an upload: give a number of megabytes above 0.")
    file = options.moodle or options.canvas
    table = sheet.read(file)
    form = moodle.form(table, file) if options.moodle else canvas.form(table, file, lab, options.assignment)
    out = options.csv or options.course / f"grades_{lab.name}_{form.system}.csv"
    if out.resolve() == file.resolve():
        raise LabError(f"{out} is the file that you downloaded: give another name for the filled one.")
    page_of = moodle.page_of if options.moodle else canvas.page_of
    most = int(options.most * 1_000_000)
    print(*systems.export(options.course, lab, form, page_of, out, most, options.force), sep="\n")


def feedback(options) -> None:
    from labkit.course.grading import gradebook

    lab = labs.named(options.lab)
    gradebook.feedback(options.course, lab)
    print(f"feedback pages in {options.course / 'feedback' / lab.name}")


def board(options) -> None:
    from labkit.course.grading import board

    print(f"board in {' and '.join(map(str, board.write(options.course)))}")

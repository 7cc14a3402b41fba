"""The class's board of lab 2: every policy that was handed in, beside its own student's global front.

Computed from the collected records alone, as the findings are: no notebook, no board entry, no claim is believed.
"""

from pathlib import Path

from matplotlib.figure import Figure

from labkit.course import edition, labs
from labkit.course.grading import findings, lab2
from labkit.course.grading.lab2 import Standing
from labkit.files import write_text
from labkit.settings import LabError
from labkit.view import plots
from labkit.view.tables import markdown

LAB = labs.named(2)
NAMED = 5  # students with a marker of their own in the figure


def standings(course: Path) -> dict[str, Standing]:
    """By student, what the records of each collected hand-in are worth; the largest area gained first. Raises
    ``LabError`` where nothing was collected."""
    folder = Path(course) / "collected" / LAB.name
    students = [path.parent for path in sorted(folder.glob("*/submission.json"))]
    if not students:
        raise LabError(f"{folder} holds no submissions: run labkit collect --lab {LAB.number} first.")
    own = findings.own_variants(students, edition.current())
    cases = {student.name: findings.case_of(student / "records", LAB, own=own[student]) for student in students}
    found = {student: lab2.standing(case) for student, case in cases.items()}
    return dict(sorted(found.items(), key=lambda pair: (-pair[1].gained, pair[0])))


def page(found: dict[str, Standing]) -> str:
    """The board as Markdown: the students, then all policies."""
    students = [
        [
            str(place),
            f"`{student}`",
            f"{own.area:.4f}",
            f"{own.gained:.4f}",
            f"{own.gained / own.free:.1%}" if own.free else "–",
            f"{own.points:g}",
            str(len(own.policies)),
            str(own.left_out),
        ]
        for place, (student, own) in enumerate(found.items(), 1)
    ]
    policies = [
        [f"`{student}`", f"`{name}`", f"{point.cost:.1%}", f"{point.accuracy:.1%}", f"{own.alone[name]:.4f}"]
        for student, own in found.items()
        for name, point in own.policies.items()
    ]
    columns = [
        "place",
        "student",
        "area of the global front",
        "area gained",
        "of what was free",
        "points",
        "policies",
        "left out",
    ]
    parts = [
        "# Lab 2: policies and the area that they gain",
        markdown(columns, students),
        f"![All policies]({LAB.name}.png)",
    ]
    columns = ["student", "policy", "MACs left", "validation accuracy", "area gained alone"]
    return "\n\n".join([*parts, markdown(columns, policies)]).strip() + "\n"


def figure(found: dict[str, Standing]) -> Figure:
    """Validation accuracy over the share of MACs left of every policy; the first students have markers of their own."""
    some = {student: own.policies.values() for student, own in found.items() if own.policies}
    alt = f"Validation accuracy over the share of multiply-accumulates left, of the policies of {len(some)} students."
    drawn, (axis,) = plots.panels(1, alt, height=3.6)
    for place, (student, points) in enumerate(some.items()):
        look = plots.style(place) if place < NAMED else {"color": "0.6", "marker": "."}
        label = student if place < NAMED else "others" if place == NAMED else None
        look |= {"ls": "", "zorder": 3 - place / len(some)}  # of two in one place the first is seen
        axis.plot([point.cost for point in points], [point.accuracy for point in points], label=label, **look)
    axis.set(xlabel="MACs left", ylabel="validation accuracy", xlim=(0, 1.03))
    axis.xaxis.set_major_formatter(plots.PercentFormatter(1))
    axis.yaxis.set_major_formatter(plots.PercentFormatter(1, decimals=1))
    if some:
        axis.legend(title="most area gained first", loc="center left", bbox_to_anchor=(1, 0.5))
    return drawn


def write(course: Path) -> list[Path]:
    """Write ``board/lab2.md`` and ``board/lab2.png`` into the class folder; the files."""
    found, folder = standings(course), Path(course) / "board"
    files = [folder / f"{LAB.name}.md", folder / f"{LAB.name}.png"]
    write_text(files[0], page(found))
    plots.save(figure(found), files[1])
    return files

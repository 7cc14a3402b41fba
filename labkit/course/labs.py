"""The table of labs: what each is made of, what is handed in, what it is worth.

Whoever needs to know which notebooks there are reads it here. A new lab is one entry, its notebooks, and
a file of blanks.
"""

from dataclasses import dataclass
from pathlib import Path

from labkit.settings import REFERENCE, LabError


@dataclass(frozen=True)
class Lab:
    """``notebooks`` are file names without ending, in order; ``points`` are those of all graded cells
    together. ``report`` is the PDF that ``last_notebook`` writes into the folder of runs and that is handed
    in (none where empty); with ``{archive}`` in it, the name of the student's archive, it counts under this name only.

    ``bonus`` is what notebooks at the end, ``bonus_notebooks``, are worth on top of ``points``. They are handed in by
    those who have worked on them; who has not misses nothing.

    ``blanks`` names a module of ``labkit.course.blanks`` and ``findings`` one of ``labkit.course.grading``,
    which looks at the records. Neither ships to students, nor do the reference runs named in ``answers``, which
    answer a graded task.
    """

    number: int
    title: str
    summary: str
    notebooks: tuple[str, ...]
    points: int
    report: str = ""
    blanks: str = ""
    findings: str = ""
    answers: tuple[str, ...] = ()
    bonus: int = 0
    bonus_notebooks: tuple[str, ...] = ()

    @property
    def last_notebook(self) -> str:
        """The last of the notebooks that everybody hands in; it knows the student's id and writes the report."""
        return [name for name in self.notebooks if name not in self.bonus_notebooks][-1]

    @property
    def report_is_personal(self) -> bool:
        """Whether the report's name holds the student's id, and no other name counts."""
        return "{archive}" in self.report

    @property
    def name(self) -> str:
        """``lab1``: nbgrader's assignment, and the name of folders and files that belong to one lab."""
        return f"lab{self.number}"

    def reference_runs(self, reference: Path = REFERENCE) -> list[Path]:
        """The folders of the course's own runs of this lab, of every experiment; they ship to students."""
        return sorted(record.parent for record in reference.glob(f"*/{self.name}/*/record.json"))


LABS = (
    Lab(
        number=1,
        title="Network Slimming",
        summary="Train a network that says which of its channels it does not need, cut half of them and then 90 %, "
        "prove that the small network computes what the big one did, and bring it back by fine-tuning.",
        notebooks=("01_sparsity_training", "02_scaling_factors", "03_channel_pruning", "04_fine_tuning", "05_report"),
        points=100,
        report="report.pdf",
        blanks="lab1",
        findings="lab1",
    ),
    Lab(
        number=2,
        title="The front",
        summary="Rank channels by eight criteria, draw the fronts of compression and accuracy of three networks, let "
        "sensitivity curves and latencies measured on your machine say what each layer gives, and beat the global front "
        "with a policy of your own.",
        notebooks=("07_criteria", "08_front", "09_ratios", "10_amc"),
        points=100,
        report="{archive}.pdf",
        blanks="lab2",
        findings="lab2",
        answers=("policy-quarter", "policy-eighth", "policy-twentieth"),
        bonus=40,
        bonus_notebooks=("10_amc",),
    ),
    Lab(
        number=3,
        title="What speeds up",
        summary="Remove the same number of weights in five ways, one by one up to whole channels. Find out where accuracy "
        "breaks, what a file of zeros really takes, and which of it runs faster on the machine before you. Then write the "
        "weights that are left with fewer bits, and take the network out of the course: a file that a phone could run.",
        notebooks=("06_granularity", "12_quantization"),
        points=100,
        report="report.pdf",
        blanks="lab3",
        findings="lab3",
    ),
    Lab(
        number=4,
        title="Explore",
        summary="Let a network prune itself while it learns, in five ways: factors that become exactly zero, thresholds, "
        "masks, attention and bit lengths that are learned. Then choose a method of the course, take it to MiniCIFAR, and "
        "present what you saw.",
        notebooks=("11_pruning_while_training",),
        points=100,
        report="slides.pdf",
        blanks="lab4",
        findings="lab4",
    ),
)


def named(number: int | str) -> Lab:
    """The lab of this number. Raises ``LabError`` with the list where there is none."""
    for lab in LABS:
        if str(lab.number) == str(number):
            return lab
    raise LabError(f"There is no lab {number}: choose one of {', '.join(str(lab.number) for lab in LABS)}.")


def chosen(number: int | str) -> tuple[Lab, ...]:
    """The lab of this number, or every lab for ``all``."""
    return LABS if number == "all" else (named(number),)

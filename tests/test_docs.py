"""README and docs/: links lead somewhere, and what a course of so many hours takes fits into them."""

import importlib.util
import json
import re

import pytest

from labkit.course import labs
from labkit.settings import REPOSITORY

_spec = importlib.util.spec_from_file_location("make_reference", REPOSITORY / "data" / "make_reference.py")
make_reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_reference)

PAGES = [*(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md")), *sorted((REPOSITORY / "docs").glob("*.md"))]
COURSES = make_reference.published("courses.json")


def anchors(text: str) -> set[str]:
    """Of a page's headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_leads_to_a_file_and_a_heading(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), f"{page.name}: {link}"


def test_the_readme_has_every_notebook_in_its_lab():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    table = text.partition("## The notebooks")[2].partition("\n## ")[0]
    found, lab = {}, ""
    for line in re.findall(r"^\| .*$", table, re.M):
        lab = re.match(r"\| (\d?)", line)[1] or lab
        for name in re.findall(r"\(notebooks/(\w+)\.ipynb\)", line):
            found[name] = lab
    assert found.items() >= {name: str(one.number) for one in labs.LABS for name in one.notebooks}.items()


@pytest.mark.parametrize("hours", COURSES)
def test_a_course_fits_into_its_hours(hours):
    minutes = sum(make_reference.minutes_of(*part) for part in make_reference.named(COURSES[hours]))
    assert 0.9 * 60 * int(hours) <= minutes <= 60 * int(hours)


def test_minutes_are_those_of_the_first_cell():
    cells = json.loads((REPOSITORY / "notebooks" / "04_fine_tuning.ipynb").read_text(encoding="utf-8"))["cells"]
    assert "| 3 The summary | 10 |" in "".join(cells[0]["source"])
    assert make_reference.sections_of("04_fine_tuning")[3] == 10
    assert make_reference.minutes_of("04_fine_tuning", [3]) == 10 < make_reference.minutes_of("04_fine_tuning", [])
    assert make_reference.minutes_of("03_channel_pruning", [2, 3]) == (10 + 20) + (30 + 10), "exercises count too"


def test_every_published_method_has_what_stands_beside_it():
    known = make_reference.published("published_methods.json")
    table = make_reference.blocks()["methods"]
    for row in known["rows"]:
        assert row["method"] in known["beside"] and f"| {row['method']} | {row['source']} |" in table
    assert "| PCAS | the course's third session | ResNet-56, CIFAR-10 | 93.04% → 93.58% |" in table
    assert "| STR | Kusupati et al. 2020 | ResNet-50, ImageNet | 77.01% → 70.23% |" in table
    empty = [name for name, beside in known["beside"].items() if not beside["ours"]]
    assert empty == ["APoZ"], "only APoZ has no row of ours"
    unpublished = [line.split(" | ")[0].strip("| ") for line in table.splitlines() if " | –, – | – | – | " in line]
    assert unpublished == ["AutoPrune", "BitPruning", "Proximal steps"]
    assert all("no published number: " in known["beside"][name]["why"] for name in unpublished)

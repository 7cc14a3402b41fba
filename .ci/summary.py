"""What `make test` did, at its end: tests and seconds of each part, and every skipped test with its reason.

``python .ci/summary.py FOLDER``: FOLDER holds one JUnit report a part (pytest's ``--junit-xml``), named
after the part. The student edition comes last and writes none: its seconds are those since the last report.
"""

import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path


def part(report: Path) -> tuple[str, Counter]:
    """The part's line, and how many tests of which file were skipped for which reason."""
    suite = ElementTree.parse(report).getroot().find("testsuite")
    skips = Counter(
        (case.get("classname") or case.get("name"), case.find("skipped").get("message"))
        for case in suite.iter("testcase")
        if case.find("skipped") is not None
    )
    passed = int(suite.get("tests")) - skips.total()
    return f"{report.stem}: {passed} passed, {skips.total()} skipped, {float(suite.get('time')):.0f} s", skips


def summary(folder: Path) -> str:
    reports = sorted(folder.glob("*.xml"), key=lambda report: report.stat().st_mtime)
    lines, skips = ["", "make test: everything passed"], Counter()
    for report in reports:
        line, skipped = part(report)
        lines.append(f"  {line}")
        skips += skipped
    lines.append(f"  student edition: {time.time() - reports[-1].stat().st_mtime:.0f} s")
    lines.append("skipped:" if skips else "none skipped")
    lines += [f"  {count} in {file}: {reason}" for (file, reason), count in sorted(skips.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    print(summary(Path(sys.argv[1])))

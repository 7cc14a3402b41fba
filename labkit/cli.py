"""``labkit COMMAND``. Each group of commands is declared by its module; the student edition ships the first five."""

import argparse
import importlib
import io
import sys
from importlib.util import find_spec

from labkit.settings import LabError

GROUPS = (
    "labkit.tools.doctor",
    "labkit.tools.migrate",
    "labkit.tools.sweep",
    "labkit.tools.slides",
    "labkit.course.practice.submit",
    "labkit.course.produce",
    "labkit.course.staff",
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status."""
    for stream in (sys.stdout, sys.stderr):  # a console of another encoding than UTF-8 shows "?" in the place of λ
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(prog="labkit", description="The pruning lab, from the command line.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    try:
        for group in filter(find_spec, GROUPS):
            importlib.import_module(group).add_commands(commands)
        options = parser.parse_args(arguments)
        options.command(options)
    except LabError as error:
        print(f"labkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nlabkit: stopped; run the same command again to go on from the last saved epoch.", file=sys.stderr)
        return 130
    return 0

"""``labkit migrate``: bring the records in a folder to the current format. Nothing is trained again.

Records of an older format are read as they are; migrating them keeps that reading out of every later one.
"""

from pathlib import Path

from labkit import records
from labkit.files import write_text
from labkit.settings import LabError


def add_commands(commands) -> None:
    migrate = commands.add_parser("migrate", help="bring the records in a folder to the current format")
    migrate.add_argument("folder", type=Path, help="a folder with runs in it, at any depth")
    migrate.set_defaults(command=lambda options: print(migrate_all(options.folder)))


def migrate_all(folder: Path) -> str:
    """Rewrite every older ``record.json`` below ``folder``; a line that says how many there were. All are
    read before one is written, since what a record says of its parent follows the parent's old content."""
    found = {path: records.read_json(path) for path in sorted(Path(folder).rglob("record.json"))}
    if not found:
        raise LabError(f"{folder} holds no records.")
    changed = {
        path: records.migrated(content, path.parent)
        for path, content in found.items()
        if content.get("format") != records.FORMAT
    }
    for path, content in changed.items():
        write_text(path, records.as_text(content))
    return f"{len(changed)} of {len(found)} records brought to format {records.FORMAT}"

"""``labkit migrate``: bring the records in a folder to the current format. Nothing is trained again.

Records of an older format are read as they are; migrating them keeps that reading out of every later one.
"""

from pathlib import Path

from labkit import records
from labkit.settings import LabError


def add_commands(commands) -> None:
    migrate = commands.add_parser("migrate", help="bring the records in a folder to the current format")
    migrate.add_argument("folder", type=Path, help="a folder with runs in it, at any depth")
    migrate.set_defaults(command=lambda options: print(migrate_all(options.folder)))


def migrate_all(folder: Path) -> str:
    """Rewrite every older ``record.json`` below ``folder``; a line that says how many there were. All are
    read before one is written, since what a record says of its parent follows the parent's old content.
    Raises ``LabError`` for a record that cannot be read; then none is rewritten."""
    found = {path: records.load(path.parent) for path in sorted(Path(folder).rglob("record.json"))}
    if not found:
        raise LabError(f"{folder} holds no records.")
    older = [record for path, record in found.items() if records.read_json(path)["format"] != records.FORMAT]
    for record in sorted(older, key=lambda record: "parent_config" not in record.config):  # children first: if
        records.save(record)  # this is broken off, a child still finds its parent as it knew it
    return f"{len(older)} of {len(found)} records brought to format {records.FORMAT}"

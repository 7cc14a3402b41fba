"""Run a lab's student edition as Colab does: empty and filled, with the set-up cell really executed.

``python tests/colab.py BASE LAB``: BASE is a virtual environment with what Colab has (``.ci/colab`` makes it). The
edition is cloned from a repository on this machine; what Colab lacks comes from the package index, into an environment
of its own on top of BASE. Each notebook has a new /content, all of them one Drive. The empty edition is at the scale
of ``tests/edition.py``, the filled one trains what a student trains.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import edition
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError

from labkit.course import labs, release
from labkit.settings import REPOSITORY

OWNER, NAME, TAG = "someone", "pruning-lab", "v1"
CONTENT = "/content"
PATIENCE = 1800  # seconds for a cell, which may train three networks on a busy machine
DRIVE = """\
import os


def mount(where):
    os.symlink(os.environ["DRIVE"], where)
    print("Mounted at", where)
"""
INSTALLED = """
import json
from importlib import metadata

first = reversed(list(metadata.distributions()))  # the one that is imported, where there are two
print(json.dumps({each.name: each.version.partition("+")[0] for each in first}))
"""


@dataclass(frozen=True)
class Machine:
    """A stand-in for Colab in ``folder``: ``content`` for /content, ``drive`` for the student's Drive, a Python that has
    Colab's packages and takes others, and a kernel of that Python."""

    folder: Path

    @property
    def content(self) -> Path:
        return self.folder / "content"

    @property
    def drive(self) -> Path:
        return self.folder / "drive"

    @property
    def python(self) -> Path:
        return self.folder / "environment" / "bin" / "python"

    def packages(self) -> dict[str, str]:
        """What its Python finds, with versions, whatever they were built for."""
        done = subprocess.run([self.python, "-c", INSTALLED], capture_output=True, text=True, check=True)
        return {_canonical(name): version for name, version in json.loads(done.stdout).items()}

    def added(self) -> set[str]:
        """The distributions that are there on top of Colab's."""
        (site,) = self.folder.glob("environment/lib/python*/site-packages")
        return {_canonical(path.name.partition("-")[0]) for path in site.glob("*.dist-info")}

    def execute(self, notebook: nbformat.NotebookNode) -> None:
        """Run a notebook on a new /content. Raises what nbclient raises for a cell that fails."""
        shutil.rmtree(self.content, ignore_errors=True)
        self.content.mkdir()
        for cell in notebook.cells:
            if cell.id == "setup":
                cell.source = cell.source.replace(CONTENT, str(self.content))
        place = {"metadata": {"path": str(self.content)}}
        NotebookClient(notebook, timeout=PATIENCE, kernel_name="colab", resources=place).execute()


def machine(folder: Path, base: Path) -> Machine:
    """Make one, on the packages of the virtual environment ``base``; its kernel is this process's kernel ``colab``."""
    made = Machine(folder)
    on_top(made.python.parent.parent, base)
    made.drive.mkdir()
    for name, text in {
        "stand-in/google/colab/__init__.py": "",
        "stand-in/google/colab/drive.py": DRIVE,
        "ipython/profile_default/startup/00-colab.py": "import google.colab\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    hub = {"KEY": f"url.file://{folder}/hub/.insteadOf", "VALUE": "https://github.com/"}
    environment = {f"GIT_CONFIG_{name}_0": value for name, value in hub.items()} | {"GIT_CONFIG_COUNT": "1"}
    environment |= {"PYTHONPATH": str(folder / "stand-in"), "IPYTHONDIR": str(folder / "ipython")}
    environment |= {"DRIVE": str(made.drive), "LABKIT_RUNS": "", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    argv = [str(made.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": argv, "env": environment, "display_name": "Colab", "language": "python"}
    specification = folder / "jupyter" / "kernels" / "colab" / "kernel.json"
    specification.parent.mkdir(parents=True)
    specification.write_text(json.dumps(kernel))
    os.environ["JUPYTER_PATH"] = str(folder / "jupyter")
    return made


def on_top(environment: Path, base: Path) -> None:
    """A virtual environment that has the packages of another one, ``base``, and takes new ones itself."""
    subprocess.run([base / "bin" / "python", "-m", "venv", "--without-pip", environment], check=True)
    (below,) = base.glob("lib/python*/site-packages")
    (own,) = environment.glob("lib/python*/site-packages")
    (own / "base.pth").write_text(f"{below.resolve()}\n")


def publish(folder: Path, hub: Path) -> None:
    """The folder as the tag of the repository that the set-up cell clones."""
    target = hub / OWNER / NAME
    shutil.copytree(folder, target)
    who = ["-c", "user.name=course", "-c", "user.email=course@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "-m", TAG], ["tag", TAG]):
        subprocess.run(["git", "-C", target, *command], check=True)


def pinned() -> dict[str, str]:
    """What Colab has, with versions, as .ci/colab.txt says."""
    text = (REPOSITORY / ".ci" / "colab.txt").read_text(encoding="utf-8")
    return {_canonical(name): version for name, version in re.findall(r"^([\w-]+)==(\S+)$", text, re.MULTILINE)}


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-")


def prepared(folder: Path, lab: labs.Lab, state: str) -> dict[str, nbformat.NotebookNode]:
    """The lab's edition in the new ``folder``; the notebooks that a student opens, by name."""
    release.release(folder, (lab,), f"{OWNER}/{NAME}", TAG)
    if state == "empty":
        edition.smaller(folder)
    else:
        edition.fill(folder, (lab,))
    return {name: nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4) for name in lab.notebooks}


def tried(folder: Path, base: Path, lab: labs.Lab, state: str) -> list[str]:
    """Execute the lab's edition on a new machine in ``folder``; what went wrong."""
    notebooks, wrong = prepared(folder / NAME, lab, state), []
    colab = machine(folder, base)
    publish(folder / NAME, folder / "hub")
    for name, notebook in notebooks.items():
        began = time.monotonic()
        try:
            colab.execute(notebook)
        except (CellControlSignal, DeadKernelError) as error:
            wrong.append(f"{name}: {error}")
        print(f"{state} {name}: {len(notebook.cells)} cells, {time.monotonic() - began:.0f} s", flush=True)
    found, added = colab.packages(), colab.added()
    wrong += [f"{n} is {found.get(n)} and not {v}" for n, v in pinned().items() if found.get(n) != v]
    if added != {"labkit", *release.COLAB_LACKS}:
        wrong.append(f"the set-up cell has installed {', '.join(sorted(added))}")
    kept = any(colab.drive.glob(f"MyDrive/{NAME}/runs/*/{lab.name}/*/record.json"))
    if state == "filled" and not kept:  # with every blank empty some labs have nothing to run
        wrong.append("no run is in Drive")
    return wrong


def main(base: Path, lab: labs.Lab) -> int:
    wrong = []
    for state in ("empty", "filled"):
        with tempfile.TemporaryDirectory() as scratch:
            wrong += [f"{state}: {what}" for what in tried(Path(scratch).resolve(), base, lab, state)]
    print(*wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), labs.named(sys.argv[2])))

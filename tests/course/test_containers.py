"""The images for a hub and for grading: what they are made of is there, and a student's notebooks are never replaced."""

import json
import re
import shlex
import subprocess

import pytest

from labkit.course import labs, release
from labkit.settings import REPOSITORY

FILES = {path.name: path for path in (REPOSITORY / "containers").glob("*.Dockerfile")}
CPU = "https://download.pytorch.org/whl/cpu"


def instructions(text: str) -> list[tuple[str, str]]:
    """Each instruction of a Dockerfile with what follows it on its lines."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(None, 1)) for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()]


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    folder = tmp_path_factory.mktemp("edition") / "pruning-lab"
    release.release(folder, (labs.named(1),))
    return folder


def test_both_images_take_torch_and_torchvision_from_one_index_without_cuda():
    assert FILES.keys() == {"hub.Dockerfile", "grading.Dockerfile"}
    for path in FILES.values():
        runs = [what for word, what in instructions(path.read_text(encoding="utf-8")) if word == "RUN"]
        (chosen,) = (run for run in runs if "download.pytorch.org" in run)
        assert f"--index-url {CPU} " in chosen and "extra-index" not in chosen
        pattern = shlex.split(chosen)[2]
        lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
        names = {re.match(r"[\w-]+", line)[0] for line in lines if re.search(pattern, line)}
        assert names - {"numpy"} == {"torch", "torchvision"}


def test_what_the_hub_copies_is_in_the_edition_and_the_rest_follows_it(edition):
    text = (edition / "binder" / "Dockerfile").read_text(encoding="utf-8")
    assert text == FILES["hub.Dockerfile"].read_text(encoding="utf-8")
    copied = [what.split()[0] for word, what in instructions(text) if word == "COPY"]
    assert copied and all((edition / name).exists() for name in copied)
    words = [word for word, _ in instructions(text)]
    assert words[0] == "FROM" and words.count("ENTRYPOINT") == words.count("CMD") == 1
    assert [what for word, what in instructions(text) if word == "USER"] == ["${NB_USER}"]  # never root at the end


def test_the_image_for_grading_holds_nothing_of_the_course():
    copied = [what for word, what in instructions(FILES["grading.Dockerfile"].read_text()) if word in ("COPY", "ADD")]
    assert copied == ["requirements.txt /tmp/"]


def test_a_home_gets_the_notebooks_once(edition, tmp_path):
    (start,) = (what for word, what in instructions(FILES["hub.Dockerfile"].read_text()) if word == "ENTRYPOINT")
    command = [part.replace("/srv/pruning-lab", str(edition)) for part in json.loads(start)]

    def started() -> str:
        said = subprocess.run(
            [*command, "echo", "a server", "here"],
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )
        assert said.returncode == 0, said.stderr
        return said.stdout

    first = tmp_path / "pruning-lab" / "notebooks" / "01_sparsity_training.ipynb"
    assert started() == "a server here\n" and first.exists()
    first.write_text("filled in")
    assert started() == "a server here\n" and first.read_text() == "filled in"


def test_a_home_whose_copy_was_broken_off_gets_all_notebooks(edition, tmp_path):
    (start,) = (what for word, what in instructions(FILES["hub.Dockerfile"].read_text()) if word == "ENTRYPOINT")
    command = [part.replace("/srv/pruning-lab", str(edition)) for part in json.loads(start)]
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "cp").write_text('#!/bin/sh\nmkdir "$3/notebooks"\nexit 1\n')  # a disk that is full
    (tools / "cp").chmod(0o755)
    for path in (f"{tools}:/usr/bin:/bin", "/usr/bin:/bin"):
        subprocess.run([*command, "true"], env={"HOME": str(tmp_path), "PATH": path}, check=True)
    assert (tmp_path / "pruning-lab" / "notebooks" / "01_sparsity_training.ipynb").exists()


def test_what_a_student_makes_in_the_edition_stays_out_of_the_image(edition):
    left_out = (edition / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".venv", "runs", "build"} <= set(left_out)
    assert not [name for name in left_out if (edition / name).exists()]

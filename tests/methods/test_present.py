"""``labkit slides``: the slides of an exploration from records and a file of texts."""

import json

import explorations as made
import pytest
from pypdf import PdfReader

from labkit import cli, learned, settings
from labkit.view.report import student_of

TEXTS = {
    "title": "Few bits",
    "method": "Bits are learned.",
    "equation": r"n = b + \alpha",
    "seen": "Small layers keep.",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An experiment with the honest records, of which no reference ships."""
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("LABKIT_SEED", "77")
    here = settings.current(lab=4)
    for name, content in made.honest().items():
        (here.folder / name).mkdir(parents=True)
        (here.folder / name / "record.json").write_text(json.dumps(content), encoding="utf-8")
    return here


def write(path, texts):
    path.write_text("".join(f"{name} = {json.dumps(text)}\n" for name, text in texts.items()), encoding="utf-8")
    return str(path)


def test_the_command_makes_slides_of_ones_own_records(here, tmp_path, capsys):
    assert cli.main(["slides", "s77", write(tmp_path / "texts.toml", TEXTS)]) == 0
    pdf = here.folder / "slides.pdf"
    assert str(pdf) in capsys.readouterr().out and student_of(pdf.read_bytes()) == "s77"
    words = " ".join(" ".join(page.extract_text() for page in PdfReader(pdf).pages).split())
    assert all(TEXTS[name] in words for name in ("title", "method", "seen"))
    dense, mine = (json.loads((here.folder / name / "record.json").read_text()) for name in ("dense", "explore-bits"))
    for run in (dense, mine):
        assert f"{run['results']['validation_accuracy']:.1%}"[:-1] in words
    assert "explore-bits" in words


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"title": "x"}, "'equation' is missing or too many"),
        (TEXTS | {"colour": "red"}, "'colour' is missing or too many"),
        (TEXTS | {"seen": 3}, "seen is no text"),
        (TEXTS | {"equation": r"\nothing"}, "cannot be read"),
    ],
)
def test_texts_that_do_not_do_are_refused(here, tmp_path, capsys, texts, words):
    assert cli.main(["slides", "s77", write(tmp_path / "texts.toml", texts)]) == 1
    assert words in capsys.readouterr().err and not (here.folder / "slides.pdf").exists()


@pytest.mark.parametrize("content", [None, "title = ", "\xff"])
def test_a_file_that_is_none_is_refused(tmp_path, refused, content):
    if content is not None:
        (tmp_path / "texts.toml").write_text(content, encoding="latin-1")
    with refused(tmp_path / "texts.toml", "cannot be read"):
        learned.read_texts(tmp_path / "texts.toml")

"""What methods declare is found where it stands; nothing else has to be edited."""

from importlib import import_module
from pathlib import Path

import pytest

from labkit import methods
from labkit.course import labs
from labkit.methods import slimming, slimming_tasks
from labkit.tools import estimate, figures


@pytest.fixture
def throw_away(tmp_path, monkeypatch):
    """A method in a file of its own, outside the package."""
    (tmp_path / "throw_away.py").write_text(
        "from matplotlib.figure import Figure\n"
        "from labkit.tools.estimate import Cost\n"
        "COSTS = {'99_throw_away': Cost(7)}\n"
        "def results(folder):\n    return f'thrown away: {folder.name}'\n"
        "def figures(folder):\n    return {'thrown-away': Figure()}\n"
    )
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])


@pytest.mark.parametrize("name", ["figures", "results", "overview", "KINDS", "COSTS", "nothing of this name"])
def test_what_methods_declare_is_found_in_alphabetical_order(name):
    stems = sorted(path.stem for path in Path(methods.__file__).parent.iterdir() if not path.name.startswith("_"))
    modules = [import_module(f"labkit.methods.{stem}") for stem in stems]
    assert methods.declared(name) == [vars(module)[name] for module in modules if name in vars(module)]


def test_every_name_that_a_method_offers_is_there():
    for path in Path(methods.__file__).parent.iterdir():
        if not path.name.startswith("_"):
            module = import_module(f"labkit.methods.{path.stem}")
            offered = getattr(module, "__all__", [])
            assert [name for name in offered if not hasattr(module, name)] == [], module.__name__
            assert len(offered) == len(set(offered)), module.__name__


def test_a_method_and_what_its_students_draw_are_both_found():
    assert {slimming.figures, slimming_tasks.figures} <= set(methods.declared("figures"))
    assert slimming.results in methods.declared("results")


def test_every_notebook_says_what_it_costs_and_every_kind_is_declared_once():
    assert set(estimate.costs()) == {notebook for lab in labs.LABS for notebook in lab.notebooks}
    kinds = [kind for declared in methods.declared("KINDS") for kind in declared]
    assert len(kinds) == len(set(kinds))


def test_a_new_method_is_one_file(throw_away, tmp_path):
    assert "99_throw_away" in estimate.costs()
    assert estimate.seconds_for("99_throw_away", None, None, "", None) == estimate.START_UP + 7
    drawn = figures.draw(tmp_path / "runs", tmp_path / "out")
    assert [path.name for path in drawn] == ["thrown-away.png"]
    assert "thrown away: runs" in (tmp_path / "out" / "results.md").read_text(encoding="utf-8")


def test_it_is_gone_afterwards():
    assert "99_throw_away" not in estimate.costs()

"""Grids of fronts: what a file may say, the runs that it stands for, and what is made of them."""

import json

import pytest
import torch

from labkit import cli, records
from labkit.course.grading import untrusted
from labkit.data import Dataset, Images, shapes
from labkit.data.shared import share
from labkit.methods import declared, front
from labkit.methods.front.grid import described

MINIMAL = 'networks = ["vgg11"]\nwidths = [0.05]\nratios = [0.3]\n'
TRAIN = "[train]\nepochs = 1\nbatch = 20\n"
TUNE = "[[fine_tune]]\nepochs = 1\nbatch = 20\nlearning_rate = 0.01\n"


def tiny(count=60, seed=3) -> Dataset:
    pixels, labels = (torch.from_numpy(array) for array in shapes.generate(count, seed))
    everything = Images(pixels, labels)
    third = count // 3
    return Dataset("tiny", shapes.CLASSES, everything[:third], everything[third : 2 * third], everything[2 * third :])


@pytest.fixture
def grid(tmp_path):
    """``grid(text)``: what a file of this text says."""

    def read(text=MINIMAL + TRAIN):
        path = tmp_path / "grid.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return front.read(path)

    return read


def test_a_grid_says_what_its_file_says_and_usual_things_otherwise(grid):
    read = grid('seeds = [0, 7]\npolicies = ["uniform", "global"]\nat_least = 2\n' + MINIMAL + TRAIN + TUNE + TUNE)
    assert (read.networks, read.widths, read.ratios) == (("vgg11",), (0.05,), (0.3,))
    assert (read.seeds, read.policies, read.at_least) == ((0, 7), ("uniform", "global"), 2)
    assert (read.data, read.criteria) == (("shapes",), ("scaling-factor",))
    assert read.train.schedule == "linear" and (read.train.epochs, read.train.batch) == (1, 20)
    assert [recipe.learning_rate for recipe in read.fine_tune] == [0.01, 0.01]


def test_the_file_shown_in_the_documentation_is_one(grid):
    from labkit.methods.front import grid as module

    shown = module.__doc__.split("```toml\n")[1].split("```")[0]
    assert len(described(grid(shown), [tiny()], "float32")) == 2 * 2 * (1 + 2 * 2 * 3 * 2)


@pytest.mark.parametrize(
    "text, said",
    [
        ("networks = [", "cannot be read as TOML"),
        (b"\xff\xfe", "cannot be read as TOML"),
        ("network = ['vgg11']\n" + MINIMAL + TRAIN, "'network' means nothing here"),
        (MINIMAL, "does not say 'train'"),
        ("ratios = [0.3]\n" + TRAIN, "does not say 'networks'"),
        ("", "does not say 'networks'"),
        (MINIMAL.replace("vgg11", "vgg12") + TRAIN, "networks is ['vgg12']"),
        (MINIMAL.replace('["vgg11"]', "[]") + TRAIN, "networks is []"),
        (MINIMAL.replace('["vgg11"]', '"vgg11"') + TRAIN, "networks is 'vgg11'"),
        (MINIMAL.replace('["vgg11"]', '["vgg11", "vgg11"]') + TRAIN, "each only once"),
        (MINIMAL.replace('["vgg11"]', '[["vgg11"]]') + TRAIN, "networks is [['vgg11']]"),
        (MINIMAL.replace("0.05", "0") + TRAIN, "widths is [0]"),
        (MINIMAL.replace("0.05", "5") + TRAIN, "widths is [5]"),
        (MINIMAL.replace("0.05", "nan") + TRAIN, "widths is [nan]"),
        (MINIMAL.replace("0.05", "true") + TRAIN, "widths is [True]"),
        (MINIMAL.replace("0.05", "1, 1.0") + TRAIN, "each only once"),
        ("seeds = [0.5]\n" + MINIMAL + TRAIN, "seeds is [0.5]"),
        ("seeds = [-1]\n" + MINIMAL + TRAIN, "seeds is [-1]"),
        ("seeds = [1, 1]\n" + MINIMAL + TRAIN, "each only once"),
        ("seeds = []\n" + MINIMAL + TRAIN, "seeds is []"),
        ("data = [3]\n" + MINIMAL + TRAIN, "data is [3]"),
        ('criteria = ["magnitude"]\n' + MINIMAL + TRAIN, "criteria is ['magnitude']"),
        ('policies = ["local"]\n' + MINIMAL + TRAIN, "policies is ['local']"),
        (MINIMAL.replace("0.3", "1") + TRAIN, "ratios is [1]"),
        (MINIMAL.replace("0.3", "1.0") + TRAIN, "ratios is [1.0]"),
        (MINIMAL.replace("0.3", "-0.1") + TRAIN, "ratios is [-0.1]"),
        (MINIMAL.replace("0.3", '"half"') + TRAIN, "ratios is ['half']"),
        (MINIMAL.replace("0.3", "0.99") + TRAIN, "vgg11 at width 0.05, global policy"),
        ("at_least = 1000\n" + MINIMAL + TRAIN, "but keeping at least 1000"),
        ("at_least = 0\n" + MINIMAL + TRAIN, "at_least is 0"),
        ("images = 0\n" + MINIMAL + TRAIN, "images is 0"),
        ("images = 2.5\n" + MINIMAL + TRAIN, "images is 2.5"),
        ("at_least = true\n" + MINIMAL + TRAIN, "at_least is True"),
        ("at_least = 1.5\n" + MINIMAL + TRAIN, "at_least is 1.5"),
        ("train = 3\n" + MINIMAL, "train is no recipe"),
        (MINIMAL + "[train]\nepochs = 1\n", "train is no recipe"),
        (MINIMAL + TRAIN + "speed = 3\n", "train is no recipe"),
        (MINIMAL + TRAIN.replace("epochs = 1", "epochs = 0"), "nothing to train"),
        (MINIMAL + TRAIN.replace("epochs = 1", "epochs = -1"), "nothing to train"),
        (MINIMAL + TRAIN.replace("epochs = 1", 'epochs = "1"'), "train is no recipe"),
        (MINIMAL + TRAIN.replace("epochs = 1", "epochs = 1.5"), "train is no recipe"),
        (MINIMAL + TRAIN.replace("batch = 20", "batch = 2.5"), "train is no recipe"),
        (MINIMAL + TRAIN + "learning_rate = 0\n", "above 0"),
        (MINIMAL + TRAIN + "schedule = 'cosine'\n", "no schedule 'cosine'"),
        (MINIMAL + TRAIN + TUNE.replace("[[fine_tune]]", "[fine_tune]"), "two brackets"),
        ("fine_tune = [3]\n" + MINIMAL + TRAIN, "fine_tune is no recipe"),
        (MINIMAL + TRAIN + TUNE.replace("batch = 20\n", ""), "fine_tune is no recipe"),
    ],
)
def test_a_file_that_is_no_grid_is_refused(grid, refused, text, said):
    with refused("grid.toml", said):
        grid(text)


@pytest.mark.parametrize(
    "text, said",
    [
        (MINIMAL + TRAIN.replace("batch = 20", "batch = 0"), "train is no recipe"),
        (MINIMAL + TRAIN + "learning_rate = nan\n", "train is no recipe"),
        (MINIMAL + TRAIN + 'momentum = "much"\n', "train is no recipe"),
        (MINIMAL + TRAIN + "weight_decay = -1.0\n", "train is no recipe"),
    ],
)
def test_a_recipe_that_cannot_be_trained_is_refused_before_anything_is_made(grid, refused, text, said):
    with refused("grid.toml", said):
        grid(text)


def test_a_grid_that_is_not_there_is_refused(tmp_path, refused):
    with refused("nowhere.toml cannot be read"):
        front.read(tmp_path / "nowhere.toml")
    with refused("cannot be read"):
        front.read(tmp_path)


def names(grid, text, data=None):
    return [run["name"] for run in described(grid(text), [data or tiny()], "float32")]


def test_a_parent_comes_before_what_is_made_from_it_and_every_name_is_one_folder(grid):
    text = 'seeds = [0, 1]\npolicies = ["global", "uniform"]\n' + MINIMAL.replace("0.3", "0.3, 0.5") + TRAIN + TUNE
    runs = described(grid(text), [tiny()], "float32")
    assert len(runs) == 2 * (1 + 2 * 2 * 2)
    seen = set()
    for run in runs:
        assert run["parent"] is None or run["parent"] in seen
        assert (run["parent"] is None) == (run["kind"] == front.TRAINED)
        seen.add(run["name"])
        assert "/" not in run["name"] and ":" not in run["name"]
    assert len(seen) == len(runs)
    assert json.loads(json.dumps(runs)) == runs


def test_the_same_run_in_two_grids_has_one_name(grid):
    small = names(grid, MINIMAL + TRAIN + TUNE)
    large = names(grid, "seeds = [1, 0]\n" + MINIMAL.replace("0.3", "0.5, 0.3") + TRAIN + TUNE)
    assert set(small) < set(large)
    assert names(grid, MINIMAL + TRAIN + TUNE) == small


@pytest.mark.parametrize(
    "old, new, same",
    [
        ("0.05", "0.1", 0),
        ("vgg11", "vgg16", 0),
        ("[train]\nepochs = 1", "[train]\nepochs = 2", 0),
        ("[train]\n", "[train]\nweight_decay = 0.0\n", 0),
        ("networks", "seeds = [1]\nnetworks", 0),
        ("ratios = [0.3]", "ratios = [0.4]", 1),  # the training is the same
        ("networks", 'criteria = ["random"]\nnetworks', 1),
        ("networks", 'policies = ["uniform"]\nnetworks', 1),
        ("networks", "at_least = 2\nnetworks", 1),
        ("learning_rate = 0.01", "learning_rate = 0.02", 2),  # and what is cut from it
        ("learning_rate = 0.01", "learning_rate = 0.01\nmomentum = 0.5", 2),
    ],
)
def test_any_change_gives_another_name(grid, old, new, same):
    before = MINIMAL + TRAIN + TUNE
    assert old in before
    assert len(set(names(grid, before)) & set(names(grid, before.replace(old, new, 1)))) == same


def test_other_images_give_other_names(grid):
    text = MINIMAL + TRAIN + TUNE
    assert not set(names(grid, text, tiny(seed=3))) & set(names(grid, text, tiny(seed=4)))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with the runs of a small grid of two seeds."""
    store = tmp_path_factory.mktemp("front")
    (store / "grid.toml").write_text('seeds = [0, 1]\npolicies = ["global", "uniform"]\n' + MINIMAL + TRAIN + TUNE)
    data = tiny()
    runs = described(front.read(store / "grid.toml"), [data], "float32")
    images = share(data, store)
    for run in runs:
        front.make(run, images, store)
    return store, runs, images


def test_every_record_fits_its_kind(made):
    store, runs, _ = made
    for run in runs:
        record = untrusted.read(store / run["name"] / "record.json")
        assert record.kind == run["kind"]
    assert {run["kind"] for run in runs} | {front.DIVERGED, front.POLICY} == set(front.KINDS)
    assert front.KINDS in declared("KINDS")


def test_what_is_there_is_not_made_again(made, tree, capsys):
    store, runs, images = made
    before = tree(store)
    for run in runs:
        assert front.make(run, images, store).kind == run["kind"]
    assert tree(store) == before
    assert capsys.readouterr().out.count("already there") == len(runs)


def test_a_cut_says_what_it_costs_and_keeps_its_parents_accuracy(made):
    store, runs, _ = made
    cut = records.load(store / next(run["name"] for run in runs if run["kind"] == front.CUT))
    parent = records.load(store / cut.config["parent"])
    assert cut.config["parent_config"] == records.identity(parent)
    assert cut.results["parameters"] < cut.results["parent_parameters"]
    assert cut.results["validation"]["parent"] == pytest.approx(parent.results["validation_accuracy"], abs=0.051)
    assert sum(len(kept) for kept in cut.plan["kept"].values()) / sum(cut.plan["total"].values()) == pytest.approx(
        1 - cut.results["achieved_ratio"]
    )


def test_figure_and_table_are_drawn_from_the_records_alone(made, tmp_path):
    store, runs, _ = made
    for run in runs:
        (tmp_path / run["name"]).mkdir()
        (tmp_path / run["name"] / "record.json").write_bytes((store / run["name"] / "record.json").read_bytes())
    there = records.load_all(tmp_path)
    rows = [line for line in front.table(there).splitlines() if line.startswith("| vgg11x0.05-tiny")]
    assert len(rows) == 2 and all("scaling-factor, " in row and row.endswith("| 2 |") for row in rows)
    assert "recalibrated | fine-tuned | seeds" in front.table(there)
    figure = front.front(there)
    assert len(figure.axes) == 1 and "2 seeds" in figure.axes[0].get_title()
    assert front.table([]) == ""


def test_recipes_that_differ_have_a_column_each_that_says_how(made):
    store, runs, _ = made
    there = [records.load(store / run["name"]) for run in runs]
    tuned = next(run for run in there if run.kind == front.TUNED)
    config = tuned.config | {"recipe": tuned.config["recipe"] | {"batch": 7}}
    other = records.Record(tuned.kind, config, tuned.network, results=tuned.results).with_folder(tuned.folder)
    head = front.table([*there, other]).splitlines()[0]
    assert f"fine-tuned (batch {tuned.config['recipe']['batch']}) | fine-tuned (batch 7)" in head


def test_a_training_that_diverges_leaves_a_record_and_what_comes_after_it_is_refused(tmp_path, made, refused):
    _, runs, images = made
    trained, cut = runs[:2]
    wild = trained | {"recipe": trained["recipe"] | {"learning_rate": 1e30, "batch": 5}}
    record = front.make(wild, images, tmp_path)
    assert record.kind == front.DIVERGED and "diverged" in record.results["said"]
    assert untrusted.read(tmp_path / trained["name"] / "record.json").kind == front.DIVERGED
    assert sorted(path.name for path in (tmp_path / trained["name"]).iterdir()) == ["record.json"]
    assert front.make(wild, images, tmp_path) == record, "it is not tried again"
    with refused(cut["name"], "cannot be made", "diverged"):
        front.make(cut, images, tmp_path)
    assert not (tmp_path / cut["name"] / "record.json").exists()


def test_a_diverging_recipe_costs_what_is_made_from_it_only_and_a_second_sweep_has_nothing_to_do(
    tmp_path, monkeypatch, capsys, tree
):
    monkeypatch.setattr("labkit.data.load", lambda name, downloads: tiny())
    path, store = tmp_path / "grid.toml", tmp_path / "store"
    wild = TUNE.replace("0.01", "1e30").replace("20", "5")
    path.write_text(MINIMAL + TRAIN + TUNE + wild)
    command = ["sweep", str(path), "--out", str(store), "--workers", "1"]
    assert cli.main(command) == 0
    kinds = sorted(record.kind for record in records.load_all(store))
    assert kinds == sorted([front.TRAINED, front.CUT, front.TUNED, front.DIVERGED])
    first = capsys.readouterr().out
    assert "rate1e+30" in first and " diverged: The training diverged" in first
    before = tree(store)
    assert cli.main(command) == 0
    assert "4 runs, 4 done, 0 to make" in capsys.readouterr().out and tree(store) == before

    path.write_text(MINIMAL.replace("0.3", "0.3, 0.5") + TRAIN.replace("20", "5") + "learning_rate = 1e30\n" + TUNE)
    cli.main(command)
    said = capsys.readouterr().out
    assert said.count("not made, since what it is made from diverged") == 4
    assert cli.main(command) == 0
    assert "5 runs, 5 done, 0 to make" in capsys.readouterr().out


def test_what_is_not_made_since_its_parent_diverged_is_no_failure(tmp_path, monkeypatch):
    monkeypatch.setattr("labkit.data.load", lambda name, downloads: tiny())
    (tmp_path / "grid.toml").write_text(MINIMAL + TRAIN.replace("20", "5") + "learning_rate = 1e30\n")
    assert cli.main(["sweep", str(tmp_path / "grid.toml"), "--out", str(tmp_path / "store"), "--workers", "1"]) == 0

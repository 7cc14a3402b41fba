import json

import pytest
import torch
from workers import tiny_fit, vgg, vgg_of

from labkit import records, settings
from labkit.pruning import ChannelPlan, global_plan, scaling_factors, thin
from labkit.records import Record


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run."""
    return tiny_fit(tmp_path_factory.mktemp("runs") / "lambda-0.001", 3)


def make(folder, kind="sparsity", **entries):
    entries = {"config": {"lambda": 0.0}, "network": vgg_of([4], [4], classes=3).to_dict()} | entries
    return Record(kind, **entries).with_folder(folder)


def test_record_is_loaded_as_it_was_saved(trained):
    loaded = records.load(trained.folder)
    assert loaded == trained
    assert [entry["epoch"] for entry in loaded.history] == [1, 2, 3]
    assert loaded.name == "lambda-0.001"


def test_record_says_which_versions_made_it(trained):
    assert {"python", "machine", "labkit", "torch", "torchvision", "numpy", "threads"} == set(
        records.load(trained.folder).versions
    )
    assert records.load(trained.folder).versions["torch"] == torch.__version__


def test_record_holds_neither_its_folder_nor_anything_but_plain_json(trained):
    text = (trained.folder / "record.json").read_text(encoding="utf-8")
    assert "folder" not in json.loads(text)
    assert str(trained.folder.parent) not in text


def test_network_is_rebuilt_from_the_record(tmp_path):
    net = vgg([5], [3], classes=4).eval()
    record = records.save(make(tmp_path / "run", network=net.specification.to_dict()), net.state_dict())
    rebuilt, x = record.model(), torch.randn(2, 3, 32, 32)
    assert not rebuilt.training
    assert rebuilt.specification == net.specification == record.specification
    torch.testing.assert_close(rebuilt(x), net(x))


def test_thin_network_and_its_plan_are_rebuilt_from_the_record(tmp_path):
    net = vgg([6], [6])
    torch.nn.init.uniform_(net.features.norm1.weight)
    plan = global_plan(scaling_factors(net), 0.4)
    small = thin(net, plan)
    run = make(tmp_path / "run", "pruning", network=small.specification.to_dict(), plan=plan.to_dict())
    records.save(run, small.state_dict())
    loaded, x = records.load(tmp_path / "run"), torch.randn(2, 3, 32, 32)
    assert ChannelPlan.from_dict(loaded.plan) == plan
    assert torch.equal(loaded.model()(x), small(x))


def test_half_precision_weights_are_read_as_float32(tmp_path):
    net = vgg([4], [4], classes=3)
    run = records.save(make(tmp_path / "run"), net.half().state_dict())
    assert {p.dtype for p in run.model().parameters()} == {torch.float32}
    assert torch.equal(run.model().classifier.weight, net.classifier.weight.float())


def test_gammas_are_magnitudes_by_layer_and_snapshot(tmp_path):
    rows = torch.tensor([[1, -2, 3, -4, 5, -6, 7, -8], [0, 0, 0, 0, -1, -1, -1, -1]])
    records.save(make(tmp_path / "run", snapshots=[0, 3]), gammas=rows.float())
    first, last = records.load(tmp_path / "run").gammas()
    assert {name: row.tolist() for name, row in first.items()} == {
        "features.conv1": [1, 2, 3, 4],
        "features.conv2": [5, 6, 7, 8],
    }
    assert [row.tolist() for row in last.values()] == [[0] * 4, [1] * 4]


def test_last_snapshot_is_what_the_network_ends_with(trained):
    assert trained.snapshots == [0, 1, 2, 3]
    last = trained.gammas()[-1]
    assert all(torch.equal(last[name], score) for name, score in scaling_factors(trained.model()).items())


def test_runs_are_sorted_by_lambda_and_name_and_chosen_by_kind(tmp_path):
    for name, lam, kind in (
        ("b", 0.1, "sparsity"),
        ("a", 0.1, "sparsity"),
        ("c", 0.0, "sparsity"),
        ("d", 0.01, "pruning"),
    ):
        records.save(make(tmp_path / name, kind, config={"lambda": lam}))
    records.save(make(tmp_path / "c.replaced-1"))
    (tmp_path / "unfinished").mkdir()
    assert [run.name for run in records.load_all(tmp_path)] == ["c", "d", "a", "b"]
    assert [run.name for run in records.load_all(tmp_path, "sparsity")] == ["c", "a", "b"]
    assert records.load_all(tmp_path / "nowhere") == []


def test_setting_aside_loses_nothing(tmp_path, tree):
    kept = []
    for number in (1, 2, 3):
        records.save(make(tmp_path / "run", results={"number": number}))
        kept.append(tree(tmp_path / "run"))
        assert records.set_aside(tmp_path / "run") == tmp_path / f"run.replaced-{number}"
    assert [tree(tmp_path / f"run.replaced-{number}") for number in (1, 2, 3)] == kept
    assert not (tmp_path / "run").exists()


def test_saved_files_are_readable_by_others(trained):
    assert {path.stat().st_mode & 0o777 for path in trained.folder.iterdir()} == {0o644}
    assert {path.name for path in trained.folder.iterdir()} == {
        "record.json",
        "weights.safetensors",
        "gammas.safetensors",
    }


@pytest.fixture
def experiment(monkeypatch, tmp_path):
    """Settings whose runs and reference are empty folders."""
    monkeypatch.setattr(settings, "REFERENCE", tmp_path / "reference")
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    return settings.current()


def add_run(folder, kind="sparsity"):
    return records.save(make(folder, kind))


def test_runs_fall_back_to_the_reference_and_say_so(experiment, capsys):
    shipped = add_run(experiment.reference / "lambda-0")
    add_run(experiment.folder / "pruned", kind="pruning")
    assert records.runs_of(experiment, "sparsity", "02_train") == [shipped]
    said = capsys.readouterr().out
    assert "02_train" in said and "reference" in said and experiment.experiment in said

    own = add_run(experiment.folder / "lambda-0")
    assert records.runs_of(experiment, "sparsity", "02_train") == [own]
    assert capsys.readouterr().out == ""


def test_too_few_runs_fall_back_to_the_reference_too(experiment, capsys, refused):
    add_run(experiment.folder / "lambda-0")
    shipped = [add_run(experiment.reference / name) for name in ("lambda-0", "lambda-1")]
    assert records.runs_of(experiment, "sparsity", "02_train", count=2) == shipped
    assert "1 of 2 sparsity runs" in capsys.readouterr().out
    with refused("1 of 3 sparsity runs", "run notebook 02_train first"):
        records.runs_of(experiment, "sparsity", "02_train", count=3)


def test_without_runs_and_reference_the_notebook_is_named(experiment, refused):
    add_run(experiment.reference / "lambda-0")
    with refused("0 of 1 pruning runs", experiment.folder, "run notebook 03_prune first"):
        records.runs_of(experiment, "pruning", "03_prune")

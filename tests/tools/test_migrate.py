"""Records of format 1, which knew VGG only: read as they are, and rewritten by ``labkit migrate``."""

import json
import shutil

import pytest
from workers import tiny_fit, vgg, vgg_of

from labkit import cli, records, slimming
from labkit.models import Specification
from labkit.settings import REFERENCE
from labkit.tools.migrate import migrate_all


def channels(network):
    """Format 1's list of widths: ``"M"`` where a stage ends."""
    spec, found = Specification.from_dict(network), []
    widths = iter(spec.widths)
    for count in spec.blocks:
        found += [*(next(widths) for _ in range(count)), "M"]
    return found[:-1]


def format_1(content, old_configs):
    """What format 1 would have been: the inverse of the migration. ``old_configs`` are format 1's
    configurations by run, which the digests in the children were made from."""
    config, results = dict(content["config"]), dict(content["results"])
    if "network" in config:
        config["channels"] = channels(config.pop("network"))
    if "parent_network" in config:
        config["parent_channels"] = channels(config.pop("parent_network"))
    if content["kind"] == "sweep":
        del config["ratios"]
    if config.get("parent_config") and config["parent"] in old_configs:
        config["parent_config"] = records.digest(old_configs[config["parent"]])
    if "rows" in results:
        results["rows"] = [
            {k: v for k, v in row.items() if k != "network"} | {"channels": channels(row["network"])}
            for row in results["rows"]
        ]
    kept = {key: value for key, value in content.items() if key != "network"}
    network = {"channels": channels(content["network"]), "classes": content["network"]["classes"]}
    return kept | network | {"config": config, "results": results, "format": 1}


def put_back(folder):
    """Turn every record in ``folder`` into one of format 1; what they were, by run."""
    now = {path.parent.name: records.read_json(path) for path in folder.glob("*/record.json")}
    old = {name: format_1(content, {})["config"] for name, content in now.items()}
    for name, content in now.items():
        path = folder / name / "record.json"
        path.write_text(records.as_text(format_1(content, old)), encoding="utf-8")
    return now


def tree_of_records(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["quick-shapes-seed0", "half-folder-cifar10-seed0", "quick-folder-cifar10-seed0"])
def shipped(request, tmp_path):
    """A copy of a shipped experiment's records, in format 1; what they are now, by run."""
    for path in REFERENCE.glob(f"{request.param}/lab1/*/record.json"):
        (tmp_path / "lab1" / path.parent.name).mkdir(parents=True)
        shutil.copy(path, tmp_path / "lab1" / path.parent.name)
    return tmp_path, put_back(tmp_path / "lab1")


def test_a_record_of_format_1_is_read_as_the_one_that_ships(shipped):
    folder, now = shipped
    assert len(now) >= 10
    for name, content in now.items():
        old = json.loads((folder / "lab1" / name / "record.json").read_text(encoding="utf-8"))
        assert old["format"] == 1 and "network" not in old
        record = records.load(folder / "lab1" / name)
        assert {key: value for key, value in vars(record).items() if key != "folder"} == content


def test_migrating_brings_every_record_to_what_ships_and_a_second_time_does_nothing(shipped):
    folder, now = shipped
    assert migrate_all(folder) == f"{len(now)} of {len(now)} records brought to format 2"
    assert {path.parent.name: records.read_json(path) for path in folder.rglob("record.json")} == now
    files = tree_of_records(folder)
    assert migrate_all(folder) == f"0 of {len(now)} records brought to format 2"
    assert tree_of_records(folder) == files


@pytest.mark.parametrize("saves", [1, 3, 6, 10])
def test_a_migration_that_is_broken_off_goes_on(shipped, monkeypatch, saves):
    folder, now = shipped
    left, original = [saves], records.save

    def interrupted(record):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return original(record)

    monkeypatch.setattr(records, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        migrate_all(folder)
    monkeypatch.undo()
    assert migrate_all(folder) == f"{len(now) - saves} of {len(now)} records brought to format 2"
    assert {path.parent.name: records.read_json(path) for path in folder.rglob("record.json")} == now


def test_a_run_of_format_1_is_loaded_and_what_was_made_from_it_still_belongs_to_it(tmp_path, tiny_data, capsys):
    run = tiny_fit(tmp_path / "sparsity", 1)
    slimming.prune_run(run, tiny_data, 0.5, tmp_path / "pruning")
    put_back(tmp_path)
    run = tiny_fit(tmp_path / "sparsity", 1, watch=pytest.fail)  # trains nothing
    pruned = slimming.prune_run(run, tiny_data, 0.5, tmp_path / "pruning")
    assert capsys.readouterr().out.count("already there") == 2
    assert slimming.made_from(pruned, run) is pruned
    assert pruned.model().specification == pruned.specification
    assert run.specification == vgg_of([8], [8]) == vgg([8], [8]).specification
    assert cli.main(["migrate", str(tmp_path)]) == 0
    assert "2 of 2 records brought to format 2" in capsys.readouterr().out
    run, pruned = records.load(tmp_path / "sparsity"), records.load(tmp_path / "pruning")
    assert slimming.made_from(pruned, run) is pruned
    assert not list(tmp_path.glob("*.replaced-*"))


def test_a_child_of_another_training_is_not_given_to_this_one(tmp_path, tiny_data, refused):
    run = tiny_fit(tmp_path / "sparsity", 1)
    slimming.prune_run(run, tiny_data, 0.5, tmp_path / "pruning")
    tiny_fit(tmp_path / "sparsity", 1, lam=1e-2)
    content = records.read_json(tmp_path / "pruning" / "record.json")
    shutil.rmtree(tmp_path / "sparsity.replaced-1")
    put_back(tmp_path)
    path = tmp_path / "pruning" / "record.json"
    stale = records.read_json(path)
    stale["config"]["parent_config"] = records.digest({"another": "training"})
    path.write_text(records.as_text(stale), encoding="utf-8")
    migrate_all(tmp_path)
    run, pruned = records.load(tmp_path / "sparsity"), records.load(tmp_path / "pruning")
    assert content["config"]["parent_config"] != records.identity(run)
    with refused("was made from another training"):
        slimming.made_from(pruned, run)


def test_a_newer_format_is_refused_with_its_number_and_nothing_is_rewritten(tmp_path, refused, tree):
    for name in ("a", "b"):
        tiny_fit(tmp_path / name, 1)
    put_back(tmp_path)
    path = tmp_path / "b" / "record.json"
    path.write_text(records.as_text(records.read_json(path) | {"format": 7}), encoding="utf-8")
    files = tree(tmp_path)
    for use in (lambda: migrate_all(tmp_path), lambda: records.load(tmp_path / "b")):
        with refused(path, "has format 7", "reads formats up to 2"):
            use()
    assert tree(tmp_path) == files


def test_a_folder_without_records_is_refused(tmp_path, refused, capsys):
    with refused(tmp_path, "holds no records"):
        migrate_all(tmp_path)
    assert cli.main(["migrate", str(tmp_path / "nowhere")]) == 1
    assert "holds no records" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "kind": "sweep", "channels": 3}'])
def test_a_damaged_record_is_named_and_nothing_is_rewritten(tmp_path, refused, tree, text):
    tiny_fit(tmp_path / "a", 1)
    put_back(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "record.json").write_text(text)
    files = tree(tmp_path)
    with refused(tmp_path / "b" / "record.json", "is damaged"):
        migrate_all(tmp_path)
    assert tree(tmp_path) == files

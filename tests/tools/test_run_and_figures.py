"""``labkit`` as it is typed: each wrong word gets one sentence and exit status 1."""

import shutil

import nbformat
import pytest
from workers import vgg

from labkit import cli, models, records, settings, slimming, training
from labkit.methods import slimming_tasks
from labkit.settings import Recipe
from labkit.tools import estimate, figures
from labkit.tools import run as run_tools


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """A folder with one tiny experiment that has a run of every kind."""
    import torch

    from labkit.data import Dataset, Images
    from labkit.data.shapes import CLASSES, generate

    pixels, labels = (torch.from_numpy(array) for array in generate(120, 3))
    everything = Images(pixels, labels)
    data = Dataset("tiny", CLASSES, everything[:80], everything[80:100], everything[100:])
    folder, recipe = tmp_path_factory.mktemp("runs") / "quick-tiny-seed0" / "lab1", Recipe(2, 20, schedule="linear")
    network, sign = vgg([6], [6]), lambda gamma, lam: lam * gamma.sign()
    runs = [
        training.fit(
            network,
            data,
            recipe,
            folder=folder / f"sparsity-lambda{lam:g}",
            kind="sparsity",
            lam=lam,
            penalty_gradient=sign,
        )
        for lam in (0.0, 0.01, 0.1)
    ]
    prunings = [
        slimming.prune_run(runs[k], data, r, folder / f"pruning-{k}-{100 * r:.0f}") for k in (1, 2) for r in (0.5, 0.75)
    ]
    for sparse in runs[1:]:
        slimming.sweep_ratio(sparse, data, (0.25, 0.5), folder / f"sweep-{sparse.name}")
    slim = prunings[-1]
    tuned = training.fit(
        slim.model(), data, recipe, folder=folder / "fine-tuning-75", kind="fine-tuning", plan=slim.plan
    )
    scratch = training.fit(
        models.build(slim.specification, 0),
        data,
        recipe,
        folder=folder / "scratch",
        kind="from-scratch",
        plan=slim.plan,
    )
    rows = [
        slimming.summary_row(stage, 0.0, run.model(), data)
        for stage, run in (("sparse", runs[2]), ("tuned", tuned), ("scratch", scratch))
    ]
    slimming.save_summary(rows, runs[2], data, folder / "summary")
    return folder


def test_figures_redraws_everything_from_the_records_alone(experiment, tmp_path):
    for weights in experiment.glob("*/weights.safetensors"):
        weights.unlink()
    assert cli.main(["figures", str(experiment), "--out", str(tmp_path / "a")]) == 0
    assert "| sparse | 0% |" in (tmp_path / "a" / "results.md").read_text(encoding="utf-8")
    first = {path.name: path.read_bytes() for path in (tmp_path / "a" / "figures").iterdir()}
    again = {path.name: path.read_bytes() for path in figures.draw(experiment, tmp_path / "b")}
    assert len(first) == 10 and first == again


def test_a_folder_of_unfinished_experiments_is_drawn_without_the_page_of_all(experiment, tmp_path, capsys):
    shutil.copytree(
        experiment / "sparsity-lambda0.1", tmp_path / "runs" / "quick-shapes-seed9" / "lab1" / "sparsity-lambda0.1"
    )
    assert cli.main(["figures", str(tmp_path / "runs")]) == 0
    assert not (tmp_path / "runs" / "seed-bands.png").exists()


def test_seconds_of_a_cell_are_read_and_taken_out_of_the_notebook():
    times = {"iopub.execute_input": "2026-01-01T00:00:01.000000Z", "shell.execute_reply": "2026-01-01T00:00:03.500000Z"}
    cells = [
        nbformat.v4.new_markdown_cell("text"),
        nbformat.v4.new_code_cell("train()\nprint()", metadata={"execution": times}),
    ]
    assert run_tools._cell_seconds(nbformat.v4.new_notebook(cells=cells)) == {"[1] train()": 2.5}
    assert "execution" not in cells[1].metadata


def test_time_is_ranked_and_adds_up():
    table = run_tools.where_time_went([("01", "a", 1.0), ("01", "b", 6.0), ("02", "c", 2.0), ("02", "d", 1.0)], shown=2)
    assert [line.split(" | ")[1:] for line in table.splitlines()[2:]] == [
        ["b", "6.0", "60% |"],
        ["c", "2.0", "20% |"],
        ["2 others", "2.0", "20% |"],
    ]


def test_a_title_takes_lambda_from_the_record_not_from_the_folder(experiment, tmp_path):
    chosen = records.load_all(experiment, "sparsity")[1]
    moved = chosen.folder.rename(chosen.folder.with_name("renamed-by-hand"))
    try:
        figure = slimming_tasks.scaling_factor_histograms(records.load_all(experiment, "sparsity"))
        assert ["λ = 0", "0.01", "0.1"] == [
            axis.get_title().removeprefix("λ = ").split()[0] if "budget" in axis.get_title() else axis.get_title()
            for axis in figure.axes
        ]
    finally:
        moved.rename(chosen.folder)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--profile", "huge"], "no profile 'huge'"),
        (["run", "--data", "imagenet"], "no data set 'imagenet'"),
        (["run", "--data", "folder:/nowhere/at/all"], "has no folder 'train'"),
        (["run", "--seed", "-1"], "'-1'"),
        (["figures", "/nowhere/at/all"], "holds no finished runs"),
    ],
)
def test_a_wrong_word_gets_one_sentence_and_no_traceback(arguments, said, capsys, monkeypatch, tmp_path):
    for name in ("LABKIT_PROFILE", "LABKIT_DATA", "LABKIT_SEED"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path))
    assert cli.main(arguments) == 1
    message = capsys.readouterr().err
    assert message.startswith("labkit: ") and said in message and "Traceback" not in message


def test_doctor_names_profile_and_precision(capsys, monkeypatch):
    monkeypatch.setattr(settings, "PROFILES", {"quick": settings.PROFILES["quick"]})  # the others take a minute
    monkeypatch.setattr(estimate, "ENOUGH", 0.05)
    assert cli.main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "quick" in printed and ("bfloat16" in printed or "float32" in printed)

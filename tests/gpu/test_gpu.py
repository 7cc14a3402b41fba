"""What only a GPU can show: recorded steps, streams, float16's loss scale, a notebook. Elsewhere all of it skips.

Bit-equality is asked for with cuDNN's deterministic kernels, since others may differ in the last digits from run
to run. Written without a GPU at hand: nobody has seen these tests pass on one yet.
"""

import json
import os
from functools import partial

import nbformat
import psutil
import pytest
import torch
from workers import Stopped, assert_same_run, slimming, stop_after, tiny_dataset, vgg

from labkit import estimate, files, granularity, hardware, models, records, training
from labkit.data import augmented_batches
from labkit.methods.front.grid import Grid, described
from labkit.settings import PROFILES, REPOSITORY, Recipe
from labkit.tools import sweep
from labkit.tools.run import execute
from labkit.training.checkpoint import momenta

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")

EPOCHS = 3
STAGES = ([16], [32], [64], [64], [64])
TOO_LARGE = 2.0**40  # as a loss scale: float16 ends at 2**16


@pytest.fixture(scope="module")
def images():
    return tiny_dataset().to(torch.device("cuda"))


@pytest.fixture(autouse=True)
def deterministic(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


@pytest.fixture
def replays(monkeypatch):
    """The number of replays so far, in a list of one."""
    count, original = [0], torch.cuda.CUDAGraph.replay

    def counted(graph):
        count[0] += 1
        original(graph)

    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", counted)
    return count


def waits(gamma, lam):
    """A penalty as a student may write it: it looks at a value, for which the device has to be waited for."""
    return lam * gamma.sign() if gamma.abs().sum().item() >= 0 else gamma


def a_training(images, folder, lam=1e-2, penalty=slimming, batch=50, watch=None, epochs=EPOCHS):
    options = {"kind": "sparsity", "lam": lam, "penalty_gradient": penalty, "watch": watch, "save_every": 0}
    recipe = Recipe(epochs, batch, learning_rate=0.05, schedule="linear")
    return training.steps(vgg(*STAGES), images, recipe, folder=folder, **options)


def finished(*options, **more):
    return hardware.side_by_side([a_training(*options, **more)])[0]


def plainly(monkeypatch, run):
    """``run()`` without recording."""
    with monkeypatch.context() as patch:
        patch.setattr(hardware, "_on_gpu", lambda tensor: False)
        return run()


def assert_equal_trainings(one, other):
    assert one.history == other.history
    weights, expected = one.state(), other.state()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("batch, shapes", [(50, 1), (64, 2)])
def test_recorded_training_is_bit_equal_to_one_step_by_step(
    images, tmp_path, monkeypatch, precision, replays, dtype, batch, shapes
):
    precision(dtype)
    plain = plainly(monkeypatch, lambda: finished(images, tmp_path / "plain", batch=batch))
    assert replays == [0]
    recorded = finished(images, tmp_path / "recorded", batch=batch)
    assert replays == [EPOCHS * training.steps_per_epoch(300, batch)]
    assert_equal_trainings(recorded, plain)
    assert recorded.history[-1]["loss"] < recorded.history[0]["loss"]


def test_recorded_training_with_cudnns_own_choice_of_kernels_is_close(images, tmp_path, monkeypatch, replays):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    plain = plainly(monkeypatch, lambda: finished(images, tmp_path / "plain", epochs=1))
    recorded = finished(images, tmp_path / "recorded", epochs=1)
    assert replays[0] > 0
    assert recorded.history[0]["loss"] == pytest.approx(plain.history[0]["loss"], rel=0.02)
    assert recorded.history[0]["gamma_l1"] == pytest.approx(plain.history[0]["gamma_l1"], rel=1e-3)


def test_trainings_side_by_side_are_bit_equal_to_each_alone(images, tmp_path, replays):
    lambdas = (0.0, 1e-3, 1e-2)
    alone = [finished(images, tmp_path / f"alone-{lam}", lam=lam) for lam in lambdas]
    one_by_one, replays[0] = replays[0], 0
    together = hardware.side_by_side(a_training(images, tmp_path / f"together-{lam}", lam=lam) for lam in lambdas)
    assert replays == [one_by_one] == [len(lambdas) * EPOCHS * 6]
    for one, other in zip(together, alone, strict=True):
        assert_equal_trainings(one, other)


def test_a_penalty_that_waits_is_not_recorded_and_trains_the_same(images, tmp_path, replays):
    step_by_step = finished(images, tmp_path / "waits", penalty=waits)
    assert replays == [0]
    recorded = finished(images, tmp_path / "recorded")
    assert replays == [EPOCHS * 6]
    assert_equal_trainings(step_by_step, recorded)


def test_a_penalty_that_waits_beside_recorded_trainings(images, tmp_path, replays):
    penalties = (slimming, waits, slimming)
    names = [str(tmp_path / f"{number}") for number in range(3)]
    runs = hardware.side_by_side(a_training(images, name, penalty=p) for name, p in zip(names, penalties))
    assert replays == [2 * EPOCHS * 6]
    assert_equal_trainings(runs[0], runs[1])
    assert_equal_trainings(runs[0], runs[2])


def test_a_run_stopped_on_a_gpu_ends_as_one_never_stopped(images, tmp_path, replays):
    whole = finished(images, tmp_path / "whole")
    with pytest.raises(Stopped):
        finished(images, tmp_path / "run", watch=stop_after(2))
    replays[0] = 0
    finished(images, tmp_path / "run")
    assert replays == [6]  # one epoch
    assert_same_run(tmp_path / "run", whole.folder)


def test_evaluation_between_replays_sees_the_weights_of_now(images, tmp_path, replays):
    run = finished(images, tmp_path / "run")
    again = training.evaluate(run.model().to("cuda"), images.validation)
    assert again == run.history[-1]["validation_accuracy"] == run.results["validation_accuracy"]


def test_float16_trains_where_float32_does(images, tmp_path, precision):
    last = {}
    for dtype in (torch.float32, torch.float16):
        precision(dtype)
        run = finished(images, tmp_path / str(dtype), epochs=6)
        assert run.config["precision"] == str(dtype).removeprefix("torch.")
        last[dtype] = run.history[-1]
    assert last[torch.float16]["loss"] == pytest.approx(last[torch.float32]["loss"], rel=0.1)
    assert last[torch.float16]["gamma_l1"] == pytest.approx(last[torch.float32]["gamma_l1"], rel=0.02)


@pytest.mark.parametrize("lam", [0.0, 0.05])
def test_an_overflow_skips_the_step_and_halves_the_scale_until_it_fits(images, precision, lam):
    precision(torch.float16)
    model = vgg(*STAGES).to("cuda", memory_format=torch.channels_last).train()
    optimizer, scaler = training.optimizer_of(model, Recipe(1, 50))
    scaler.load_state_dict(scaler.state_dict() | {"scale": TOO_LARGE})
    x, y = next(augmented_batches(images.train, 50, seed=1))
    gammas = [norm.weight for norm in models.norms(model).values()]

    def state():
        return [t.clone() for t in (*model.parameters(), *momenta(model, optimizer).values())]

    before, skipped = state(), 0
    for _ in range(40):
        training.train_step(model, x, y, optimizer, scaler, gammas, (slimming, lam) if lam else None)
        if scaler.get_scale() == TOO_LARGE / 2**skipped:
            break
        skipped += 1
        assert scaler.get_scale() == TOO_LARGE / 2**skipped
        assert all(torch.equal(a, b) for a, b in zip(state(), before, strict=True))
    assert 5 < skipped < 40
    assert not all(torch.equal(a, b) for a, b in zip(state(), before, strict=True))


def test_resumed_float16_training_has_its_loss_scale_back(images, tmp_path, precision, monkeypatch):
    precision(torch.float16)
    moving = partial(torch.amp.GradScaler, init_scale=2.0**30, growth_interval=4)
    monkeypatch.setattr(torch.amp, "GradScaler", moving)
    whole = finished(images, tmp_path / "whole", epochs=4)
    with pytest.raises(Stopped):
        finished(images, tmp_path / "run", epochs=4, watch=stop_after(2))
    kept = json.loads(files.read_metadata(tmp_path / "run" / "checkpoint.safetensors")["scaler"])
    assert 1 < kept["scale"] < 2.0**30
    finished(images, tmp_path / "run", epochs=4)
    assert_same_run(tmp_path / "run", whole.folder)


@pytest.mark.parametrize("together", [1, 3])
def test_the_estimate_can_time_training_here(together):
    profile = PROFILES["quick"]
    network = models.named(profile.network, profile.width)
    assert estimate.seconds_per_image(network, profile.train, torch.device("cuda"), together) > 0


def test_independent_trainings_take_turns_and_stay_in_this_process(images, tmp_path):
    arguments = [
        {"model": vgg(*STAGES), "data": images, "recipe": Recipe(2, 50, learning_rate=0.05), "kind": "sparsity"}
        | {"folder": tmp_path / str(lam), "lam": lam, "penalty_gradient": slimming}
        for lam in (0.0, 1e-2)
    ]
    runs = training.fit_all(arguments)
    assert [run.config["lambda"] for run in runs] == [0.0, 1e-2]
    assert not any("loky" in " ".join(child.cmdline()) for child in psutil.Process().children())


def test_a_grid_is_swept_on_the_card(images, tmp_path):
    recipe = Recipe(1, 50, learning_rate=0.05)
    grid = Grid(("vgg11",), recipe, (0.3, 0.5), widths=(0.1,), fine_tune=(recipe,))
    on_cpu = images.to("cpu")
    runs = {run["name"]: run for run in described(grid, [on_cpu], "any")}
    assert sweep.make_all(runs, runs, [on_cpu], tmp_path, None, 1, torch.device("cuda")) == []
    assert all(sweep.is_done(run, tmp_path) for run in runs.values())


def test_first_notebook_runs_at_the_quick_profile(tmp_path):
    target = tmp_path / "01.ipynb"
    here = {"LABKIT_PROFILE": "quick", "LABKIT_DATA": "shapes", "LABKIT_SEED": "0", "LABKIT_RUNS": str(tmp_path)}
    execute(
        REPOSITORY / "notebooks" / "01_sparsity_training.ipynb",
        target,
        {**os.environ, **here},
        tmp_path / "quick-shapes-seed0" / "lab1",
    )
    outputs = [output for cell in nbformat.read(target, 4).cells for output in cell.get("outputs", [])]
    assert not any(output.output_type == "error" for output in outputs)
    runs = records.load_all(tmp_path / "quick-shapes-seed0" / "lab1", "sparsity")
    assert len(runs) == 3
    assert {run.config["precision"] for run in runs} == {str(hardware.fast_dtype(torch.device("cuda")))[6:]}
    assert runs[0].results["validation_accuracy"] > 0.95


def test_2_4_is_executed_where_the_hardware_knows_it_and_gives_the_masked_product():
    if not granularity.in_hardware(torch.device("cuda")):
        pytest.skip("needs a GPU of compute capability 8.0")
    generator = torch.Generator().manual_seed(0)
    matrix, x = (torch.randn(128, 128, generator=generator).cuda() for _ in range(2))
    product, how = granularity.two_four_product(matrix, x)
    wanted = (matrix * granularity.pattern(matrix, 2, 4)) @ x
    assert how == "executed" and product.dtype == torch.float16
    assert torch.allclose(product.float(), wanted, atol=0.05, rtol=0.02)

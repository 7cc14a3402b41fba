"""Trainings that cannot be: each is refused in one sentence and loses nothing."""

import pytest
import torch
from workers import slimming, tiny_fit, vgg

from labkit.settings import Recipe
from labkit.training import fit, learning_rates


@pytest.fixture
def run(tmp_path):
    """Folder of a finished run."""
    return tiny_fit(tmp_path / "run", 1).folder


def test_unknown_schedule_is_refused(refused):
    with refused("'cosine'", "choose step or linear"):
        learning_rates(Recipe(1, 50, schedule="cosine"), 100)


@pytest.mark.parametrize("lam", [-1e-4, float("nan"), float("inf")])
def test_bad_lambda_is_refused_and_the_run_there_kept(refused, run, tree, lam):
    files = tree(run)
    with refused(f"λ is {lam}", "positive number"):
        tiny_fit(run, 1, lam=lam)
    assert tree(run) == files


def test_missing_penalty_is_refused_and_the_run_there_kept(refused, run, tree):
    files = tree(run)
    with refused("λ is 0.001", "penalty_gradient", "pass the function"):
        tiny_fit(run, 1, penalty=None)
    assert tree(run) == files


@pytest.mark.parametrize(
    "penalty",
    [
        lambda gammas, lam: None,
        lambda gammas, lam: lam,
        lambda gammas, lam: lam * gammas.sign().sum(),
        lambda gammas, lam: lam * gammas.sign()[:-1],
        lambda gammas, lam: lam * gammas / gammas.abs(),
    ],
    ids=["nothing", "number", "sum", "one too short", "nan at 0"],
)
def test_penalty_of_wrong_shape_or_value_is_refused_before_training(refused, tmp_path, penalty):
    with refused("penalty"):
        tiny_fit(tmp_path / "run", 1, penalty=penalty)
    assert not (tmp_path / "run").exists()


def test_loss_that_is_not_finite_stops_the_run(refused, tmp_path, tiny_data):
    with refused("loss is nan in epoch 1", "learning rate 1e+20", "run again"):
        recipe = Recipe(2, 50, learning_rate=1e20)
        fit(vgg([4]), tiny_data, recipe, folder=tmp_path / "run", kind="sparsity")
    assert not (tmp_path / "run" / "record.json").exists()


class Spoiling:
    """A penalty that is infinite from its n-th step on."""

    def __init__(self, n):
        self.left = n

    def __call__(self, gammas, lam):
        if gammas.numel() == 16:
            self.left -= 1
        return slimming(gammas, lam) + (torch.inf if self.left <= 0 and gammas.numel() == 16 else 0)


def test_loss_that_is_not_finite_keeps_the_epochs_before(refused, tmp_path):
    with refused("loss is nan in epoch 3", "λ = 0.001", "lower one of them"):
        tiny_fit(tmp_path / "run", 4, penalty=Spoiling(2 * 6 + 3))
    trained = []
    tiny_fit(tmp_path / "run", 4, watch=lambda history, epochs: trained.append(len(history)))
    assert trained == [3, 4]


@pytest.mark.parametrize("epoch", [1, 2])
def test_last_step_of_an_epoch_cannot_spoil_the_save(refused, tmp_path, epoch):
    with refused(f"epoch {epoch}", "run again"):
        tiny_fit(tmp_path / "run", 2, penalty=Spoiling(epoch * 6))
    trained = []
    record = tiny_fit(tmp_path / "run", 2, watch=lambda history, epochs: trained.append(len(history)))
    assert trained == [1, 2][epoch - 1 :]
    assert record.model().training is False

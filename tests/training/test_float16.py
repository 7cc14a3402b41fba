"""float16 and its loss scale, as GPUs below compute capability 8.0 train. A CPU runs the same steps."""

import json
from functools import partial

import pytest
import torch
from workers import Stopped, assert_same_run, slimming, stop_after, tiny_fit, vgg

from labkit import files, models, training
from labkit.data import augmented_batches
from labkit.settings import Recipe
from labkit.training.checkpoint import momenta

RECIPE = Recipe(1, batch=50)
TOO_LARGE = 2.0**40  # as a loss scale: float16 ends at 2**16


@pytest.fixture
def float16(precision):
    """Train and evaluate in float16 on every machine."""
    precision(torch.float16)


@pytest.fixture
def moving_scale(float16, monkeypatch):
    """A loss scale that starts far too large and grows every fourth step, so that a short run sees both."""
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, init_scale=2.0**30, growth_interval=4))


def started():
    """A network, its optimizer and its loss scale."""
    model = vgg([8], [8]).train()
    return model, *training.optimizer_of(model, RECIPE)


def gammas_of(model):
    return [norm.weight for norm in models.norms(model).values()]


def with_scale(scaler, scale):
    scaler.load_state_dict(scaler.state_dict() | {"scale": scale})


def copied(model, optimizer):
    return [tensor.clone() for tensor in (*model.parameters(), *momenta(model, optimizer).values())]


def first_batch(data):
    return next(augmented_batches(data.train, 50, seed=1))


def test_a_step_in_float16_is_the_step_in_float32_up_to_its_precision(tiny_data, precision):
    x, y = first_batch(tiny_data)
    stepped = {}
    for dtype in (torch.float32, torch.float16):
        precision(dtype)
        model, optimizer, scaler = started()
        assert scaler.is_enabled() == (dtype == torch.float16)
        loss, logits = training.train_step(model, x, y, optimizer, scaler, gammas_of(model), (slimming, 0.05))
        assert (logits.dtype, loss.dtype) == (dtype, torch.float32)
        stepped[dtype] = [loss, *momenta(model, optimizer).values()]  # after one step: the gradients
    for half, single in zip(stepped[torch.float16], stepped[torch.float32], strict=True):
        assert (half - single).norm() <= 0.02 * single.norm()


def test_the_penalty_is_not_scaled(tiny_data, float16):
    """γ's update differs by η·λ·sign(γ) between two λ, whatever the loss scale."""
    x, y = first_batch(tiny_data)
    gammas = []
    for lam, scale in ((1e-9, 2.0**4), (0.25, 2.0**12)):
        model, optimizer, scaler = started()
        with_scale(scaler, scale)
        training.train_step(model, x, y, optimizer, scaler, gammas_of(model), (slimming, lam) if lam else None)
        gammas.append(torch.cat(gammas_of(model)).detach())
    torch.testing.assert_close(gammas[0] - gammas[1], torch.full((16,), 0.1 * 0.25), atol=1e-3, rtol=0)


@pytest.mark.parametrize("lam", [0.0, 0.05])
def test_an_overflow_skips_the_step_and_halves_the_scale_until_it_fits(tiny_data, float16, lam):
    x, y = first_batch(tiny_data)
    model, optimizer, scaler = started()
    with_scale(scaler, TOO_LARGE)
    before, skipped = copied(model, optimizer), 0
    for _ in range(40):
        scale = TOO_LARGE / 2**skipped
        training.train_step(model, x, y, optimizer, scaler, gammas_of(model), (slimming, lam) if lam else None)
        if scaler.get_scale() == scale:
            break
        skipped += 1
        assert scaler.get_scale() == scale / 2
        assert all(torch.equal(a, b) for a, b in zip(copied(model, optimizer), before, strict=True))
    assert 5 < skipped < 40
    assert not all(torch.equal(a, b) for a, b in zip(copied(model, optimizer), before, strict=True))


def test_a_training_in_float16_comes_out_where_float32_does(tmp_path, precision):
    last = {}
    for dtype in (torch.float32, torch.float16):
        precision(dtype)
        record = tiny_fit(tmp_path / str(dtype), epochs=4, lam=1e-2)
        assert record.config["precision"] == str(dtype).removeprefix("torch.")
        assert all(tensor.dtype != torch.float16 for tensor in record.state().values())
        last[dtype] = record.history[-1]
    assert last[torch.float16]["loss"] == pytest.approx(last[torch.float32]["loss"], rel=0.02)
    assert last[torch.float16]["gamma_l1"] == pytest.approx(last[torch.float32]["gamma_l1"], rel=0.02)


def test_resumed_float16_training_has_its_loss_scale_back(tmp_path, moving_scale):
    whole = tmp_path / "whole"
    tiny_fit(whole, 4)
    with pytest.raises(Stopped):
        tiny_fit(tmp_path / "run", 4, watch=stop_after(2))
    kept = json.loads(files.read_metadata(tmp_path / "run" / "checkpoint.safetensors")["scaler"])
    assert 1 < kept["scale"] < 2.0**30 and kept["growth_interval"] == 4
    tiny_fit(tmp_path / "run", 4)
    assert_same_run(tmp_path / "run", whole)


def test_float16_checkpoint_is_not_continued_in_another_precision(tmp_path, float16, precision):
    with pytest.raises(Stopped):
        tiny_fit(tmp_path / "run", 2, watch=stop_after(1))
    precision(torch.float32)
    seen = []
    tiny_fit(tmp_path / "run", 2, watch=lambda history, epochs: seen.append(len(history)))
    assert seen == [1, 2]

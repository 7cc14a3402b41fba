import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from workers import slimming, tiny_fit, vgg

from labkit import models
from labkit.data import Dataset, Images, augmented_batches, normalise
from labkit.pruning import global_plan, random_scores, scaling_factors
from labkit.settings import Recipe
from labkit.training import (
    evaluate,
    fingerprint,
    fit,
    learning_rates,
    recalibrate,
    shrinkage_budget,
    steps_per_epoch,
)
from labkit.training.step import add_penalty_gradient


@pytest.mark.parametrize("epochs", range(1, 18))
@pytest.mark.parametrize("images", [150, 333, 1000])
def test_no_drop_of_the_step_schedule_is_lost(epochs, images):
    rates = learning_rates(Recipe(epochs, batch=50, learning_rate=0.2), images)
    steps = epochs * math.ceil(images / 50)
    assert len(rates) == steps
    high, middle, low = (sum(r == pytest.approx(0.2 * f) for r in rates) for f in (1, 0.1, 0.01))
    assert high + middle + low == steps and rates == sorted(rates, reverse=True)
    assert abs(high - steps / 2) <= 0.5 and abs(middle - steps / 4) <= 0.75 and abs(low - steps / 4) <= 0.5
    assert min(high, middle, low) >= 1


@given(st.integers(1, 17), st.integers(1, 40))
def test_sum_of_the_step_schedule_has_its_closed_form(epochs, steps):
    total = epochs * steps
    high = total // 2
    middle = math.ceil(0.75 * total - 0.5) - high
    expected = 0.1 * (high + 0.1 * middle + 0.01 * (total - high - middle))
    assert sum(learning_rates(Recipe(epochs, batch=10), 10 * steps)) == pytest.approx(expected)


@given(st.integers(1, 17), st.integers(1, 40))
def test_sum_of_the_linear_schedule_is_half_the_peak_times_the_steps(epochs, steps):
    rates = learning_rates(Recipe(5 * epochs, batch=10, learning_rate=0.3, schedule="linear"), 10 * steps)
    assert sum(rates) == pytest.approx(0.3 * len(rates) / 2)
    assert 0 < min(rates) and max(rates) < 0.3
    peak = len(rates) // 5
    assert rates[:peak] == sorted(rates[:peak]) and rates[peak:] == sorted(rates[peak:], reverse=True)


@given(st.integers(1, 300), st.integers(1, 120))
def test_steps_per_epoch_are_the_batches_of_an_epoch(count, size):
    images = Images(torch.zeros(1, dtype=torch.uint8).expand(count, 32, 32, 3), torch.arange(count))
    assert steps_per_epoch(count, size) == sum(1 for _ in augmented_batches(images, size, seed=0))


@pytest.mark.parametrize("schedule", ["step", "linear"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_shrinkage_budget_is_how_far_the_penalty_alone_moves_a_factor(schedule, momentum):
    lam, recipe = 1e-3, Recipe(10, batch=10, momentum=momentum, schedule=schedule)
    rates = learning_rates(recipe, images=2000)
    gamma = nn.Parameter(torch.tensor([50.0], dtype=torch.float64))
    optimizer = torch.optim.SGD([gamma], rates[0], momentum)
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        gamma.grad = torch.zeros_like(gamma)
        add_penalty_gradient([gamma], slimming, lam)
        optimizer.step()
    assert 50 - gamma.item() == pytest.approx(shrinkage_budget(lam, rates, momentum), rel=0.02)


@pytest.mark.parametrize("lam", [1e-4, 0.3])
def test_penalty_gradient_is_the_autograd_gradient_of_loss_plus_penalty(lam):
    net = vgg([5], [7, 3])
    gammas = [norm.weight for norm in models.norms(net).values()]
    with torch.no_grad():
        for gamma in gammas:
            gamma.normal_()
    x, y = torch.randn(6, 3, 32, 32), torch.arange(6)

    (F.cross_entropy(net(x), y) + lam * sum(gamma.abs().sum() for gamma in gammas)).backward()
    expected = {name: p.grad.clone() for name, p in net.named_parameters()}
    net.zero_grad()
    F.cross_entropy(net(x), y).backward()
    before = [gamma.detach().clone() for gamma in gammas]
    add_penalty_gradient(gammas, slimming, lam)

    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-6, rtol=1e-5)
    assert all(torch.equal(gamma, old) for gamma, old in zip(gammas, before, strict=True))


def test_penalty_sees_all_factors_of_the_network_at_once():
    gammas = [nn.Parameter(torch.tensor(row)) for row in ([1.0, -2.0], [3.0], [-4.0, 0.0])]
    for gamma in gammas:
        gamma.grad = torch.ones_like(gamma)
    calls = []

    def penalty(flat, lam):
        calls.append((flat.tolist(), lam, flat.requires_grad))
        return torch.arange(5.0)

    add_penalty_gradient(gammas, penalty, 0.5)
    assert calls == [([1, -2, 3, -4, 0], 0.5, False)]
    assert [gamma.grad.tolist() for gamma in gammas] == [[1, 2], [3], [4, 5]]


def test_one_step_of_training_is_sgd_on_loss_plus_penalty(tmp_path, tiny_data, float32):
    """Momentum starts at 0, so the first step is -η·(gradient + weight decay·θ), the penalty's included."""
    net, lam = vgg([6], [4]), 0.2
    recipe = Recipe(1, batch=300, learning_rate=0.05, weight_decay=0.01, schedule="step")
    options = {"kind": "sparsity", "lam": lam, "penalty_gradient": slimming, "seed": 3}
    record = fit(net, tiny_data, recipe, folder=tmp_path / "run", **options)

    ((x, y),) = augmented_batches(tiny_data.train, 300, seed=1_000_003 * 3 + 1)
    gammas = [norm.weight for norm in models.norms(net).values()]
    loss = F.cross_entropy(net.train()(x), y)
    (loss + lam * sum(gamma.abs().sum() for gamma in gammas)).backward()
    (rate,) = learning_rates(recipe, 300)
    trained = record.state()
    for name, p in net.named_parameters():
        torch.testing.assert_close(
            trained[name], p.detach() - rate * (p.grad + 0.01 * p.detach()), atol=1e-5, rtol=1e-4
        )
    assert record.history[0]["loss"] == pytest.approx(loss.item(), rel=1e-4)
    assert record.history[0]["learning_rate"] == rate
    assert record.history[0]["gamma_l1"] == pytest.approx(
        sum(float(trained[f"features.norm{i}.weight"].abs().sum()) for i in (1, 2))
    )


def penalties():
    yield "none", {"lam": 0.0, "penalty": None}
    yield "λ = 0", {"lam": 0.0, "penalty": slimming}
    yield "zero", {"lam": 1.0, "penalty": lambda gammas, lam: 0 * gammas}


def test_run_with_lambda_0_or_a_penalty_of_0_is_the_run_without_penalty(tmp_path):
    none, zero_lam, zero = (tiny_fit(tmp_path / name, 2, **options) for name, options in penalties())
    assert none.history == zero_lam.history == zero.history
    assert fingerprint(none.model()) == fingerprint(zero_lam.model()) == fingerprint(zero.model())
    assert none.config == zero_lam.config != zero.config


def test_penalty_shrinks_the_factors(tmp_path):
    free, slim = (tiny_fit(tmp_path / f"{lam}", 3, lam=lam) for lam in (0.0, 0.05))
    assert slim.history[-1]["gamma_l1"] < 0.7 * free.history[-1]["gamma_l1"]
    assert slim.results["shrinkage_budget"] > free.results["shrinkage_budget"] == 0


def test_training_leaves_the_given_network_as_it_was(tmp_path, tiny_data):
    net = vgg([4]).eval()
    before = fingerprint(net)
    record = fit(net, tiny_data, Recipe(1, 50), folder=tmp_path / "run", kind="sparsity")
    assert fingerprint(net) == before and not net.training
    assert record.config["start"] == before != fingerprint(record.model())


def test_seed_decides_the_run(tmp_path, tiny_data):
    def run(name, seed):
        net = vgg([4])
        torch.manual_seed(ord(name))
        record = fit(net, tiny_data, Recipe(1, 50), folder=tmp_path / name, kind="sparsity", seed=seed)
        return fingerprint(record.model())

    assert run("a", 1) == run("b", 1) != run("c", 2)


@pytest.mark.parametrize("epochs", [1, 3, 10, 25])
def test_snapshots_reach_from_the_start_to_the_end(tmp_path, tiny_data, epochs):
    data = Dataset("few", tiny_data.classes, tiny_data.train[:20], tiny_data.validation, tiny_data.test)
    record = fit(vgg([2]), data, Recipe(epochs, 20), folder=tmp_path / "run", kind="sparsity")
    assert record.snapshots[0] == 0 and record.snapshots[-1] == epochs
    assert len(record.snapshots) == min(epochs, 10) + 1 == len(record.gammas())
    assert record.gammas()[0]["features.conv1"].tolist() == [0.5, 0.5]
    assert len(record.history) == epochs


def test_plan_goes_into_the_record(tmp_path, tiny_data):
    net = vgg([4], [4])
    plan = global_plan(random_scores(scaling_factors(net), 0), 0.25).to_dict()
    options = {"kind": "fine-tuning", "plan": plan, "parent": "sparse"}
    record = fit(net, tiny_data, Recipe(1, 50), folder=tmp_path / "run", **options)
    assert record.plan == plan
    assert (record.config["ratio"], record.config["parent"], record.config["data"]) == (
        0.25,
        "sparse",
        tiny_data.describe(),
    )


class Reader(nn.Module):
    """Knows that an image of class k has the brightness 25·k."""

    def forward(self, x):
        brightness = (x.float().mean((1, 2, 3)) + 1) * 127.5
        return -(brightness[:, None] - 25 * torch.arange(10)).abs()


class Constant(nn.Module):
    def __init__(self, label):
        super().__init__()
        self.logits = F.one_hot(torch.tensor(label), 10).float()

    def forward(self, x):
        return self.logits.expand(len(x), -1)


@pytest.fixture(scope="module")
def readable():
    """1,234 images of brightness 25·label."""
    labels = torch.randint(0, 10, (1234,), generator=torch.Generator().manual_seed(0))
    return Images((25 * labels).to(torch.uint8)[:, None, None, None].expand(-1, 32, 32, 3), labels)


@pytest.mark.parametrize("batch", [1, 7, 500, 5000])
def test_perfect_network_has_accuracy_1(readable, batch):
    some = readable[:50] if batch == 1 else readable
    assert evaluate(Reader(), some, batch) == 1
    assert evaluate(Reader(), Images(some.pixels, (some.labels + 1) % 10), batch) == 0


@pytest.mark.parametrize("label", [0, 7])
def test_constant_network_has_the_accuracy_of_its_class(readable, label):
    assert evaluate(Constant(label), readable) == (readable.labels == label).sum().item() / 1234


def test_evaluation_is_in_evaluation_mode_and_changes_no_statistics(tiny_data):
    net = vgg([4]).train()
    before = fingerprint(net)
    accuracy = evaluate(net, tiny_data.train)
    assert fingerprint(net) == before and net.training
    assert evaluate(net, tiny_data.train, batch=17) == pytest.approx(accuracy, abs=0.01)


def batch_statistics(net, x):
    """Mean and unbiased variance of each convolution's output, in plain steps, normalizing by the batch."""
    found = []
    for module in net.features:
        if isinstance(module, nn.BatchNorm2d):
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            count = x.numel() / x.shape[1]
            found.append((mean, var * count / (count - 1)))
            x = (x - mean[:, None, None]) / (var[:, None, None] + module.eps).sqrt()
            x = x * module.weight[:, None, None] + module.bias[:, None, None]
        else:
            x = module(x)
    return found


@torch.no_grad()
def test_recalibration_on_one_batch_gives_its_mean_and_variance(tiny_data, float32):
    net = vgg([5], [4]).eval()
    for norm in models.norms(net).values():
        norm.bias.normal_()
        norm.running_mean.fill_(9)
        norm.running_var.fill_(7)
    ((x, _),) = augmented_batches(tiny_data.train[:60], 60, seed=4)
    after = recalibrate(net, tiny_data.train[:60], seed=4, batch=60)
    for norm, (mean, var) in zip(models.norms(after).values(), batch_statistics(net, x), strict=True):
        torch.testing.assert_close(norm.running_mean, mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(norm.running_var, var, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_recalibration_averages_over_the_batches(tiny_data, float32):
    net = vgg([5], [4])
    found = [batch_statistics(net, x) for x, _ in augmented_batches(tiny_data.train, 75, seed=0)]
    after = recalibrate(net, tiny_data.train, batch=75)
    for layer, norm in enumerate(models.norms(after).values()):
        means, variances = (torch.stack([batch[layer][i] for batch in found]).mean(0) for i in (0, 1))
        torch.testing.assert_close(norm.running_mean, means, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(norm.running_var, variances, atol=1e-5, rtol=1e-4)


def test_recalibration_is_ready_to_use_and_leaves_the_network_as_it_was(tiny_data):
    net = vgg([4])
    net.features.norm1.momentum = 0.3
    before = fingerprint(net)
    after = recalibrate(net, tiny_data.train[:50])
    assert fingerprint(net) == before and net.training
    assert not after.training and after.features.norm1.momentum == 0.3
    x = normalise(tiny_data.test.pixels[:4])
    torch.testing.assert_close(after(x[:2]), after(x)[:2])


def test_nothing_to_train_is_refused(refused):
    for epochs, images in ((0, 100), (3, 0)):
        with refused(str(images), str(epochs)):
            learning_rates(Recipe(epochs, 50), images)

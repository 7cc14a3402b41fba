"""Every criterion against a plain loop, and what reconstruction promises."""

import networks
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso
from torch import nn
from torch.nn import functional as F
from workers import tiny_dataset, vgg

from labkit import data, models, pruning
from labkit.data import Images
from labkit.pruning import regression
from labkit.pruning.groups import channel_groups
from labkit.pruning.observed import _patches
from labkit.settings import LabError

FAMILIES = ("vgg11", "resnet18", "mobilenetv2")


def images(count=20, size=32):
    some = tiny_dataset().train[:count]
    return some if size == 32 else Images(some.pixels[:, :size, :size], some.labels)


def images_of(model, count=20):
    return images(count, models.image_size(model))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("join", pruning.JOIN)
@pytest.mark.parametrize(("p", "per_weight"), [(1, False), (2, False), (3, False), (1, True)])
def test_filter_norms_are_what_a_loop_gives_and_coupled_layers_are_joined_as_said(name, join, p, per_weight):
    model = networks.own(name)
    modules, found = dict(model.named_modules()), pruning.filter_norms(model, p, per_weight, join)
    for group_name, group in channel_groups(model).items():
        for channel in range(group.width):
            norms = []
            for member in group.members:
                layer = modules[member.layer]
                if member.axis == "out" and isinstance(layer, nn.Conv2d):
                    weights = layer.weight[channel].flatten().tolist()
                    norm = sum(abs(w) ** p for w in weights) ** (1 / p)
                    norms.append(norm / len(weights) if per_weight else norm)
            joined = {"mean": sum(norms) / len(norms), "sum": sum(norms), "max": max(norms)}[join]
            assert float(found[group_name][channel]) == pytest.approx(joined, rel=1e-4)


def test_activity_counts_what_every_relu_of_the_group_puts_out(float32):
    model, some = networks.own("resnet18"), images(20, 16)
    x, zeros = data.normalise(some.pixels), {}
    with torch.no_grad():
        x = model.stem(x)
        zeros["stem.conv"] = [x]
        for block in model.blocks:
            inner = F.relu(block.norm1(block.conv1(x)))
            x = F.relu(block.norm2(block.conv2(inner)) + block.shortcut(x))
            zeros[next(n for n, m in model.named_modules() if m is block.conv1)] = [inner]
            own = next((n for n, m in model.named_modules() if m is getattr(block.shortcut, "conv", None)), None)
            stream = own and next(n for n, m in model.named_modules() if m is block.conv2) or stream_of(zeros)
            zeros.setdefault(stream, []).append(x)
    found = pruning.activity(model, some)
    assert found.keys() == zeros.keys()
    for group, maps in zeros.items():
        shares = [[float((m[:, c] == 0).float().mean()) for c in range(m.shape[1])] for m in maps]
        expected = [1 - sum(column) / len(column) for column in zip(*shares)]
        assert torch.allclose(found[group], torch.tensor(expected), atol=1e-5), group


def stream_of(zeros):
    """The residual stream that the block before added to."""
    return [name for name in zeros if name == "stem.conv" or name.endswith("conv2")][-1]


def test_taylor_is_the_mean_square_of_what_a_loop_over_batches_finds():
    model, some = vgg([4], [5]), images(30)
    networks.shaken(model)
    found = pruning.taylor(model, some, seed=3, batch=10)
    expected = {name: torch.zeros(norm.num_features) for name, norm in models.norms(model).items()}
    order = torch.randperm(30, generator=torch.Generator().manual_seed(3))
    for x, y in data.batches(some[order], 10):
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        for name, norm in models.norms(model).items():
            for channel in range(norm.num_features):
                change = norm.weight.detach()[channel] * norm.weight.grad[channel]
                change += norm.bias.detach()[channel] * norm.bias.grad[channel]
                expected[name][channel] += float(change) ** 2 / 3
    for values, other in zip(found.values(), expected.values()):
        assert torch.allclose(values, other, rtol=1e-3, atol=1e-9)


@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 3), st.sampled_from([1, 2, 3]))
def test_contributions_are_the_gram_matrix_of_what_channels_add(seed, inputs, outputs, kernel):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(9, inputs * kernel * kernel, generator=generator)
    weight = torch.randn(outputs, inputs, kernel, kernel, generator=generator)
    patches = rows.view(9, inputs, kernel, kernel)
    z = [torch.stack([(patches[:, c] * weight[o, c]).sum((1, 2)) for o in range(outputs)]) for c in range(inputs)]
    gram = torch.tensor([[float((a * b).sum()) / 9 for b in z] for a in z])
    assert torch.allclose(regression.contributions(rows.T @ rows / 9, weight).float(), gram, rtol=1e-3, atol=1e-3)


@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 12))
def test_thinet_removes_greedily_what_adds_least(seed, channels, samples):
    z = torch.randn(samples, channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    removed = []
    for chosen in regression.greedy_order(z.T @ z):
        costs = {c: float(z[:, [*removed, c]].sum(1).square().sum()) for c in range(channels) if c not in removed}
        assert costs[chosen] <= min(costs.values()) + 1e-9
        removed.append(chosen)
    assert sorted(removed) == list(range(channels))


@given(st.integers(0, 10**6), st.integers(2, 6), st.floats(0.05, 0.9))
def test_the_lasso_keeps_at_each_strength_what_coordinate_descent_keeps(seed, channels, share):
    z = np.random.default_rng(seed).normal(size=(40, channels)) * np.arange(1, channels + 1)
    target = z.sum(1)
    strengths = regression.lasso_strengths(torch.from_numpy(z.T @ z))
    strongest = np.abs(z.T @ target).max()
    solved = Lasso(share * strongest / len(z), fit_intercept=False, tol=1e-10, max_iter=100_000).fit(z, target)
    kept = np.abs(solved.coef_) > 1e-9
    near = np.abs(strengths.numpy() - share) < 1e-6
    assert ((strengths.numpy() > share) == kept)[~near].all()


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 4), st.data())
def test_reconstruction_is_the_least_squares_solution_and_its_error_what_stays(seed, channels, outputs, choose):
    generator = torch.Generator().manual_seed(seed)
    x, weight = (torch.randn(rows, channels, generator=generator).double() for rows in (50, outputs))
    keep = torch.tensor(choose.draw(st.lists(st.booleans(), min_size=channels, max_size=channels).filter(any)))
    new, error = regression.reconstruction(x.T @ x / 50, weight, keep)
    expected = torch.linalg.lstsq(x[:, keep], x @ weight.T).solution.T
    assert torch.allclose(new, expected, atol=1e-3)
    left = (x[:, keep] @ expected.T - x @ weight.T).square().sum() / (x @ weight.T).square().sum()
    assert error == pytest.approx(float(left), abs=1e-4)
    copied = (x[:, keep] @ weight[:, keep].T - x @ weight.T).square().sum() / (x @ weight.T).square().sum()
    assert error <= float(copied) + 1e-6


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(2, 6), st.floats(0.1, 0.8))
def test_the_lasso_with_reconstruction_is_never_worse_than_magnitude_at_the_same_count(seed, first, second, ratio):
    model, some = networks.shaken(vgg([first], [second], seed=seed), seed), images(10)
    moments = pruning.observed(model, some, seed=seed).moments
    plans = [
        pruning.uniform_plan(scores, ratio)
        for scores in (pruning.lasso(model, some, seed), pruning.filter_norms(model))
    ]
    best = pruning.closest(model, plans, moments)
    assert best.widths == plans[0].widths
    chosen, *others = (pruning.reconstruction_errors(model, plan, moments) for plan in (best, *plans))
    assert all(chosen[group] <= other[group] for other in others for group in chosen)


def test_what_reconstruction_gains_reaches_the_outputs():
    model, some = networks.own("vgg11"), images(60)
    moments = pruning.observed(model, some).moments
    scores = pruning.filter_norms(model)
    plan = pruning.width_plan(scores, {"features.conv8": len(scores["features.conv8"]) // 2})
    x = data.normalise(some.pixels)
    with torch.no_grad():
        before = model(x)
        errors = [float((net(x) - before).square().mean()) for net in (
            pruning.thin(model, plan), pruning.reconstructed(model, plan, moments)
        )]  # fmt: skip
    assert errors[1] < errors[0]


@pytest.mark.parametrize("name", [*networks.OWN, *networks.FOREIGN])
def test_a_whole_plan_reconstructs_nothing_and_a_thin_network_has_the_plans_widths(name):
    model = networks.own(name) if name in networks.OWN else networks.foreign(name)
    some = images_of(model) if models.image_size(model) <= 32 else None
    if some is None:
        pytest.skip("its images are larger than the shapes")
    moments = pruning.observed(model, some).moments
    x = data.normalise(some.pixels)
    for seed, share in ((0, 1.0), (1, None)):
        plan = networks.random_plan(model, seed, share=share)
        thin, fitted = pruning.thin(model, plan), pruning.reconstructed(model, plan, moments)
        assert [p.shape for p in fitted.parameters()] == [p.shape for p in thin.parameters()]
        with torch.no_grad():
            assert fitted(x).isfinite().all()
            if plan.achieved == 0:
                assert torch.equal(fitted(x), thin(x))


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), [(3, 1, 1, 1), (1, 2, 0, 1), (3, 2, 1, 2)])
def test_patches_are_what_the_convolution_sees(kernel, stride, padding, dilation):
    layer = nn.Conv2d(3, 4, kernel, stride, padding, dilation, bias=False)
    x = torch.randn(5, 3, 9, 11)
    with torch.no_grad():
        found = _patches(layer, x, 6, torch.Generator().manual_seed(0)) @ layer.weight.flatten(1).T
        outputs = layer(x)
    for image, rows in enumerate(found.view(5, 6, 4)):
        places = outputs[image].flatten(1).T
        assert all(float((places - row).abs().sum(1).min()) < 1e-5 for row in rows)


def test_statistics_of_a_linear_layer_are_those_of_all_rows(float32):
    model, some = networks.shaken(vgg([4], [5])), images(30)
    seen = pruning.observed(model, some, layers=["classifier"])
    x = model.pool(model.features(data.normalise(some.pixels)))
    assert list(seen.moments) == ["classifier"]
    assert torch.allclose(seen.moments["classifier"], x.T @ x / len(x), atol=1e-4)


def test_watching_images_passes_over_them_once():
    """For both statistics together, and the model stays as it is."""
    model, some = networks.shaken(vgg([4], [5])), images(30)
    before, seen = {n: v.clone() for n, v in model.state_dict().items()}, []
    first = model.features.conv1
    hook = nn.modules.module.register_module_forward_hook(
        lambda module, x, y: seen.append(len(x[0])) if getattr(module, "weight", None) is not None
        and module.weight.shape == first.weight.shape else None
    )  # fmt: skip
    try:
        found = pruning.observed(model, some)
    finally:
        hook.remove()
    assert sum(seen) == 30 and found.zeros and found.moments
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())


@pytest.mark.parametrize("name", ["vgg11", "resnet18"])
@pytest.mark.parametrize("criterion", pruning.CRITERIA)
def test_every_criterion_makes_a_plan_for_every_family_and_repeats_itself(name, criterion):
    model = networks.own(name)
    some = images_of(model, 30)
    scores, again = (pruning.CRITERIA[criterion](model, some, 1) for _ in range(2))
    assert {n: len(s) for n, s in scores.items()} == {n: g.width for n, g in channel_groups(model).items()}
    assert all(torch.equal(scores[n], again[n]) for n in scores)
    plan = pruning.uniform_plan(scores, 0.5)
    assert pruning.thin(model, plan).specification.widths == tuple(plan.widths)


def test_dead_and_twin_channels_stop_no_solver():
    model, some = networks.shaken(vgg([6], [4])), images(20)
    with torch.no_grad():
        model.features.norm1.weight[0], model.features.norm1.bias[0] = 0, 0  # always zero
        model.features.conv1.weight[2] = model.features.conv1.weight[1]
        for tensor in (*model.features.norm1.parameters(), *model.features.norm1.buffers()):
            if tensor.dim():
                tensor[2] = tensor[1]  # equal to its neighbour
    moments = pruning.observed(model, some).moments
    scores = pruning.lasso(model, some)
    assert scores["features.conv1"][0] == 0
    without = pruning.width_plan(
        {**scores, "features.conv1": torch.tensor([0.0, 1, 0, 1, 1, 1])}, {"features.conv1": 4}
    )
    errors = pruning.reconstruction_errors(model, without, moments)
    assert errors["features.conv1"] < 1e-4, "a dead channel and one of two twins are missed by nobody"
    assert all(p.isfinite().all() for p in pruning.reconstructed(model, without, moments).parameters())


class NoRelu(nn.Module):
    size = 8

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.classifier = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, x):
        return self.classifier(self.norm(self.conv(x)).mean((2, 3)))


def test_bad_input_is_refused(refused):
    model, some = vgg([4], [5]), images(10)
    with refused("pass no ReLU"):
        pruning.activity(NoRelu().eval(), images(10, 8))
    with refused("pass no ReLU"):
        pruning.activity(networks.own("mobilenetv2"), images(10, 16))
    with refused("no images"):
        pruning.observed(model, some[:0])
    with refused("reads no channel group"):
        pruning.observed(model, some, layers=["features.conv1"])
    with refused("above 0"):
        pruning.filter_norms(model, 0)
    with refused("no rule"):
        pruning.filter_norms(model, join="median")
    with refused("keeps nothing"):
        regression.lasso_strengths(torch.zeros(3, 3, dtype=torch.float64))
    with refused("No input is kept"):
        regression.reconstruction(torch.eye(4), torch.ones(2, 4), torch.zeros(4, dtype=torch.bool))
    with refused("different numbers of channels"):
        scores = pruning.filter_norms(model)
        pruning.closest(model, [pruning.uniform_plan(scores, ratio) for ratio in (0.2, 0.6)], {})
    for ratio in (-0.1, 1.0, 1.5):
        with refused("prune ratio"):
            pruning.uniform_plan(pruning.filter_norms(model), ratio)
    with torch.no_grad():
        model.features.conv1.weight[0] = torch.nan
    for criterion in ("filter-l1", "filter-l2", "thinet", "lasso", "taylor"):
        with pytest.raises(LabError):
            pruning.CRITERIA[criterion](model, some, 0)


def test_a_filter_without_weights_has_no_norm(refused):
    model = vgg([4], [5])
    model.features.conv1.weight = nn.Parameter(torch.empty(4, 0, 3, 3))
    with refused("no weights"):
        pruning.filter_norms(model)

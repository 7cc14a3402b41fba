"""Pruning while training: each method against its equations, and what it leaves against what was trained."""

import copy
import math
import pickle
from dataclasses import replace

import jsonschema
import parts_of_11 as parts
import pytest
import torch
from joblib.externals.loky.backend.reduction import dumps
from torch import nn
from torch.nn.utils import parametrize
from workers import Stopped, assert_same_run, stop_after, vgg

from labkit import models, records, settings
from labkit.data import batches
from labkit.methods import learned
from labkit.methods.granularity.masks import prunable
from labkit.methods.learned import autoprune, base, bitpruning, pcas, study, threshold
from labkit.methods.learned.channels import add_masks, drop, silence
from labkit.pruning import global_plan, scaling_factors
from labkit.settings import Recipe
from labkit.training import Diverged, fit, optimizer_of, train_step
from labkit.training.convolution import fast_convolutions

EPOCHS = 4
RECIPE = Recipe(EPOCHS, batch=50, schedule="linear")
STRONG = {"proximal": {"lam": 0.6}, "autoprune": {"mu": 0.1}, "bitpruning": {"factor": 2.0}}  # so few steps need more


def tried():
    """One of each kind, with constants that prune a tiny network in a few steps."""
    made = [parts.dense(), parts.magnitude(0.5), parts.magnitude(0.5, True), parts.soft(0.8), parts.pcas()]
    return made + [getattr(parts, name)(**constants) for name, constants in STRONG.items()]


NAMES = [method.folder for method in tried()]


def fitted(method, data, folder, **options):
    net = vgg([8], [16], [16])
    return fit(net, data, RECIPE, folder=folder / method.folder, kind=learned.KIND, method=method, **options)


@pytest.fixture(scope="module")
def runs(tiny_data, tmp_path_factory):
    """By folder name: the finished run, and the network as it was when its training ended."""
    found, folder = {}, tmp_path_factory.mktemp("learned")
    with pytest.MonkeyPatch.context() as patch:
        for method in tried():
            kept, finish = [], type(method).finish

            def keeping(self, model, rates, kept=kept, finish=finish):
                kept.append(copy.deepcopy(model).eval())
                return finish(self, model, rates)

            patch.setattr(type(method), "finish", keeping)
            found[method.folder] = fitted(method, tiny_data, folder), kept[0]
    return found


def attached(method, *stages):
    model = vgg(*stages or ([8], [16]))
    method.attach(model, 0)
    return model


# What is left of a training


@pytest.mark.parametrize("name", NAMES)
def test_the_finished_network_is_a_plain_one_that_computes_what_was_trained(runs, tiny_data, name):
    run, trained = runs[name]
    network = run.model()
    assert not any(parametrize.is_parametrized(module) for module in network.modules())
    assert set(network.state_dict()) == set(models.build(run.specification).state_dict())
    ((x, _),) = batches(tiny_data.validation, 50)
    with torch.inference_mode():
        expected = trained(x)
        assert torch.allclose(network(x), expected, atol=1e-4 * float(expected.abs().max()))
    assert run.results["validation_accuracy"] == pytest.approx(run.history[-1]["validation_accuracy"])


@pytest.mark.parametrize("name", NAMES)
def test_a_record_fits_its_schema_and_says_what_its_weights_are(runs, name):
    run, _ = runs[name]
    jsonschema.validate(records.read_json(run.folder / "record.json"), learned.KINDS[learned.KIND])
    whole = {layer: part.weight.numel() for layer, part in prunable(vgg([8], [16], [16])).items()}
    left = {layer: int(part.weight.count_nonzero()) for layer, part in prunable(run.model()).items()}
    assert {layer: row["elements"] for layer, row in run.results["layers"].items()} == whole
    assert {layer: row["zeros"] for layer, row in run.results["layers"].items()} == {
        n: whole[n] - left[n] for n in whole
    }
    assert run.results["sparsity"] == pytest.approx(1 - sum(left.values()) / sum(whole.values()))
    assert len(run.history) == EPOCHS
    assert [len(gammas["features.conv1"]) for gammas in run.gammas()] == [8] * len(run.snapshots)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("dense", "bitpruning")])
def test_zeros_are_exact(runs, name):
    run, _ = runs[name]
    assert run.results["sparsity"] > 0.1
    assert run.history[-1]["sparsity"] > 0.1


@pytest.mark.parametrize("name", ["train-prune-tune-50", "train-prune-tune-channels-50", "pcas"])
def test_a_share_that_is_asked_for_holds_to_the_end(runs, name):
    run, _ = runs[name]
    shares = [row["sparsity"] for row in run.history]
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(run.config["method"]["target"], abs=0.01)
    assert shares[-1] == shares[-2]


@pytest.mark.parametrize("name", ["train-prune-tune-channels-50", "pcas", "proximal"])
def test_channels_are_cut_as_the_plan_says(runs, name):
    run, _ = runs[name]
    assert run.network["widths"] == [len(kept) for kept in run.plan["kept"].values()]
    assert run.plan["total"] == {"features.conv1": 8, "features.conv2": 16, "features.conv3": 16}
    assert sum(run.network["widths"]) < 40
    assert run.history[-1]["sparsity"] == pytest.approx(run.plan["requested"])


@pytest.mark.parametrize("method", tried(), ids=NAMES)
def test_a_run_that_is_broken_off_ends_bit_equal(runs, tiny_data, tmp_path, method):
    for epochs in (1, 2, 3):
        with pytest.raises(Stopped):
            fitted(method, tiny_data, tmp_path, save_every=0, watch=stop_after(epochs))
    fitted(method, tiny_data, tmp_path, save_every=0)
    assert_same_run(tmp_path / method.folder, runs[method.folder][0].folder)


FAMILIES = {"resnet18": ("resnet", 0.125), "mobilenetv2": ("mobilenet", 0.125)}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("method", tried(), ids=NAMES)
def test_every_family_is_left_as_it_was_trained(tiny_data, name, method):
    family, width = FAMILIES[name]
    model = models.build(models.named(name, width), seed=0)
    method.attach(model, 0)
    model.train()
    optimizer, scaler = optimizer_of(model, RECIPE, method.groups(model))
    for number in (1, 2, 3):
        method.begin_epoch(model, number, 3, tiny_data)
        for x, y in batches(tiny_data.train[:20], 20):
            train_step(model, x, y, optimizer, scaler, method=method)
            method.after_step(model, 0.1, done=number / 3)
    finished = method.finish(model.eval(), [0.1])
    ((x, _),) = batches(tiny_data.validation, 50)
    with torch.inference_mode():
        expected = model(x)
        assert torch.allclose(finished.network(x), expected, atol=1e-4 * float(expected.abs().max()))
    assert finished.network.specification.family == family


def test_size_counts_what_stays_its_map_and_what_is_never_pruned():
    network = vgg([2], [3], classes=4)
    dense = base.summary(network.specification, network)
    others = 4 * (2 + 3) * 4 + 4 * 4  # four numbers a channel, four biases
    assert dense["bytes"] == 4 * (54 + 54 + 12) + others
    assert (dense["sparsity"], dense["bits"]) == (0, 32)
    with torch.no_grad():
        network.features.conv2.weight.flatten()[:30] = 0
    pruned = base.summary(network.specification, network)
    assert pruned["bytes"] == 4 * (54 + 24 + 12) + 54 / 8 + others
    assert pruned["sparsity"] == 30 / 120
    few = base.summary(network.specification, network, {"features.conv2": 3})
    assert few["bytes"] == 4 * (54 + 12) + 54 * 3 / 8 + 8 + others
    assert few["bits"] == pytest.approx((32 * 66 + 3 * 54) / 120)


@pytest.mark.parametrize(
    ("share", "epochs", "first"), [(0.375, 8, 6), (0.5, 8, 5), (0.25, 2, 2), (0.01, 8, 8), (1, 4, 2)]
)
def test_the_last_epochs_begin_where_the_share_says(share, epochs, first):
    assert base.tail(share, epochs) == first


def test_one_epoch_cannot_be_divided(refused):
    with refused("1 epoch"):
        base.tail(0.5, 1)


# What a training keeps and refuses


def test_a_record_tells_functions_and_constants_apart(tiny_data, tmp_path):
    def twice(gammas, amount):
        return parts.proximal_step(gammas, 2 * amount)

    method = parts.proximal()
    described = [m.describe() for m in (method, replace(method, step=twice), replace(method, lam=0.5))]
    assert described[0] == parts.proximal().describe()
    assert described[0] != described[1] != described[2] != described[0]
    assert described[2]["lam"] == 0.5
    assert described[0]["probe"] == pytest.approx([-1.75, 0, 0, 0.05, 1.75])


def none(*given):
    return None


def not_finite(first, *others):
    return first / 0


def wrong_shape(first, *others):
    return first.flatten()[:1]


@pytest.mark.parametrize("wrong", [none, not_finite, wrong_shape])
@pytest.mark.parametrize("make", [parts.proximal, parts.soft, parts.autoprune, parts.pcas, parts.bitpruning])
def test_a_function_that_nothing_can_be_trained_with_is_refused_before_training(
    tiny_data, tmp_path, refused, make, wrong
):
    method = make()
    (field,) = (name for name, value in vars(method).items() if callable(value))
    with refused(wrong.__name__):
        fitted(replace(method, **{field: wrong}), tiny_data, tmp_path)
    assert not any(tmp_path.rglob("*.safetensors"))


def test_a_training_that_turns_into_nan_is_refused_and_leaves_no_record(tiny_data, tmp_path):
    def late(gammas, amount):
        return gammas if amount > 0.1 or len(gammas) < 10 else gammas * math.nan

    with pytest.raises(Diverged, match="diverged"):
        fitted(learned.Proximal(late, lam=0.1), tiny_data, tmp_path)
    assert not (tmp_path / "proximal" / "record.json").exists()


@pytest.mark.parametrize("target", [0, 1, -0.5, 80])
def test_a_target_that_is_no_share_is_refused(refused, target):
    for make in (parts.soft, parts.magnitude):
        with refused(target):
            make(target)
    with refused(target):
        parts.pcas(target=target)


@pytest.mark.parametrize("lam", [0, -1, math.inf, math.nan])
def test_a_penalty_without_strength_is_refused(refused, lam):
    with refused("λ"):
        parts.proximal(lam=lam)


def test_a_target_that_was_not_reached_is_said_with_what_was(runs):
    run, _ = runs["str-80"]
    assert study.missed(run) is None
    short = replace(run, history=[{"sparsity": 0.61}])
    assert "80%" in study.missed(short) and "61.0%" in study.missed(short)


def test_training_without_a_method_is_what_it_was(tiny_data, tmp_path):
    run = fit(vgg([4], [4]), tiny_data, Recipe(1, 50), folder=tmp_path / "run", kind="sparsity")
    assert "method" not in run.config
    assert set(run.results) == {"shrinkage_budget", "validation_accuracy", "seconds"}
    optimizer, _ = optimizer_of(vgg([4]), RECIPE)
    assert len(optimizer.param_groups) == 1


def test_a_method_with_a_notebooks_function_is_sent_and_trains_the_same(tiny_data, tmp_path):
    amounts = []  # no module has it, nor what it knows

    def step(gammas, amount):
        return parts.proximal_step(gammas, amount + sum(amounts))

    method = learned.Proximal(step, lam=0.3)
    sent = pickle.loads(dumps(method))
    assert sent is not method
    fitted(method, tiny_data, tmp_path / "here")
    fitted(sent, tiny_data, tmp_path / "there")
    assert_same_run(tmp_path / "here" / method.folder, tmp_path / "there" / method.folder)


def test_train_all_keeps_every_run_under_its_methods_name(tiny_data, monkeypatch):
    here = settings.current(lab=4)
    here = replace(here, profile=replace(here.profile, train=Recipe(2, 150)))
    methods = [parts.dense(), parts.magnitude(0.5)]
    found = learned.train_all(methods, here, tiny_data)
    assert [run.folder for run in found] == [here.folder / "dense", here.folder / "train-prune-tune-50"]
    assert learned.train(methods[1], here, tiny_data).config["method"]["target"] == 0.5


def test_a_parametrized_convolution_keeps_its_fast_path():
    model = attached(parts.soft(), [4])
    layer = model.features.conv1
    with fast_convolutions(model):
        assert "forward" in vars(layer)
    assert "forward" not in vars(layer)


# Proximal gradient


@pytest.mark.parametrize("amount", [0.01, 0.3, 1.0])
def test_the_proximal_step_is_the_minimum_that_it_stands_for(amount):
    gammas, z = torch.linspace(-1.5, 1.5, 13), torch.linspace(-2, 2, 40_001)
    energy = 0.5 * (z[:, None] - gammas) ** 2 + amount * z.abs()[:, None]
    assert torch.allclose(z[energy.argmin(0)], parts.proximal_step(gammas, amount), atol=2e-4)


def test_a_step_is_taken_on_all_factors_with_lambda_times_the_rate_and_shifts_follow():
    model, method = vgg([4], [4]), parts.proximal(lam=2.0)
    norms = list(models.norms(model).values())
    with torch.no_grad():
        norms[0].weight.copy_(torch.tensor([0.5, -0.1, 0.05, -0.9]))
        norms[0].bias.fill_(0.7)
    method.after_step(model, rate=0.1, done=0.5)
    assert norms[0].weight.tolist() == pytest.approx([0.3, 0, 0, -0.7])
    assert norms[0].bias.tolist() == pytest.approx([0.7, 0, 0, 0.7])
    assert norms[1].weight.tolist() == pytest.approx([0.3] * 4)
    assert method.shrinkage([0.1, 0.2]) == pytest.approx(0.6)


def test_a_layer_that_lost_every_channel_keeps_one_and_is_named():
    model = vgg([3], [4])
    with torch.no_grad():
        model.features.norm1.weight.zero_()
        model.features.norm2.weight[1] = 0
    plan = base.plan_of_silent(model)
    assert plan.kept == {"features.conv1": (0,), "features.conv2": (0, 2, 3)}
    assert plan.guarded == ("features.conv1",)
    assert plan.requested == pytest.approx(4 / 7)


# Soft threshold reparameterization


def test_gradients_by_weights_and_by_s_are_those_of_finite_differences():
    part = threshold.Threshold(-1.0, parts.soft_threshold).double()
    weights = torch.tensor([-2.0, -0.1, 0.05, 0.3, 1.4, 0.2], dtype=torch.float64, requires_grad=True)

    def value(weights, s):
        return threshold._Thresholded.apply(weights, s.sigmoid(), parts.soft_threshold)

    assert torch.autograd.gradcheck(value, (weights, part.s))
    assert torch.equal(part(weights), value(weights, part.s))


def test_the_shift_switches_off_exactly_as_many_weights_as_asked():
    model = attached(parts.soft(), [8], [16])
    layers = threshold.parts(model)
    with torch.no_grad():
        for number, (part, _) in enumerate(layers):
            part.s.add_(number)
    shift = threshold.shift_to(layers, 700)
    zeros = sum(int((weights.abs() <= (part.s + shift).sigmoid()).sum()) for part, weights in layers)
    assert abs(zeros - 700) <= 2  # in float32
    apart = float((layers[1][0].s - layers[0][0].s).detach())
    parts.soft(0.5).after_step(model, 0.1, done=1.0)
    assert float((layers[1][0].s - layers[0][0].s).detach()) == pytest.approx(apart, abs=1e-5)


def test_the_ramp_rises_to_the_target_and_stays():
    method = parts.soft(0.8, ramp=0.5)
    wanted = [method.wanted(done / 100) for done in range(101)]
    assert wanted[0] == 0
    assert wanted == sorted(wanted)
    assert wanted[50:] == [0.8] * 51
    assert wanted[25] == pytest.approx(0.8 * (1 - 0.5**3))


def test_thresholds_learn_apart_and_the_target_is_hit(runs):
    run, trained = runs["str-80"]
    assert len({round(part.s.item(), 3) for part, _ in threshold.parts(trained)}) == 4
    assert run.results["sparsity"] == pytest.approx(0.8, abs=0.005)


def test_decay_on_s_decides_whether_a_short_training_prunes(tiny_data, tmp_path):
    kept, pruned = (parts.soft(start=-8.0, decay=decay) for decay in (0.0, 0.3))
    assert kept.folder == "str-start-8-decay0"
    found = [fitted(method, tiny_data, tmp_path).results["sparsity"] for method in (kept, pruned)]
    assert found[0] < 0.05 < 0.5 < found[1]


# AutoPrune


def test_the_coarse_gradient_by_hand():
    upstream, weights = torch.tensor([1.0, 1.0, -2.0, 3.0]), torch.tensor([0.5, -4.0, 0.1, 0.0])
    auxiliary = torch.tensor([0.0, 0.0, math.log(3), 1.0])
    assert parts.coarse_gradient(upstream, weights, auxiliary).tolist() == pytest.approx([0.5, -0.5, -1.5, 0])


def test_switched_off_weights_are_zero_keep_their_value_and_can_come_back():
    part = autoprune.Switches(torch.tensor([1.0, -1.0, 0.5]), parts.coarse_gradient)
    weights = torch.tensor([2.0, 3.0, -4.0], requires_grad=True)
    used = part(weights)
    assert used.tolist() == [2, 0, -4]
    upstream = torch.tensor([1.0, -1.0, 1.0])
    used.backward(upstream)
    assert weights.grad.tolist() == [1, 0, 1]
    assert torch.equal(part.auxiliary.grad, parts.coarse_gradient(upstream, weights.detach(), part.auxiliary.detach()))
    assert part.auxiliary.grad[1] < 0  # a larger |w| would help: the switch moves towards on


def test_the_penalty_pulls_every_auxiliary_parameter_down():
    method = parts.autoprune(mu=0.5, start=2.0)
    model = attached(method)
    values = autoprune.switches(model)
    method.loss(model).backward()
    assert all(torch.allclose(m.grad, 0.5 * torch.sigmoid(m)) for m in values)
    assert all(m.mean().item() == pytest.approx(2.0, rel=1e-4) for m in values)


# PCAS


def test_the_attention_statistic_by_hand():
    attention = torch.tensor([[0.0, 1.0, 0.5], [1.0, 1.0, 0.1]])
    assert parts.attention_statistic(attention).tolist() == pytest.approx([0.5, 1.0, 0.3])


def test_scores_are_the_statistic_of_what_the_modules_give(tiny_data):
    method = parts.pcas()
    model = attached(method)
    with torch.no_grad():
        for norm in models.norms(model).values():
            norm.attention.layers[2].weight.normal_()
    values = pcas.attention_values(model, tiny_data.validation)
    assert {name: tuple(v.shape) for name, v in values.items()} == {
        "features.norm1": (50, 8),
        "features.norm2": (50, 16),
    }
    scores = method.scores(model, tiny_data.validation)
    assert torch.allclose(scores["features.conv2"], values["features.norm2"].mean(0))
    caught = {}
    model.eval()
    ((x, _),) = batches(tiny_data.validation, 50)
    with torch.inference_mode():
        model.features.norm1.register_forward_hook(lambda norm, inputs, maps: caught.update(maps=maps.clone()))
        model(x)
        norm = model.features.norm1
        maps = nn.functional.batch_norm(
            model.features.conv1(x), norm.running_mean, norm.running_var, norm.weight, norm.bias
        )
        assert torch.allclose(caught["maps"], maps * values["features.norm1"][:, :, None, None], atol=1e-5)


def test_modules_weigh_until_channels_go_and_begin_with_one_half(tiny_data):
    method, model = parts.pcas(), attached(parts.pcas())
    values = pcas.attention_values(model, tiny_data.validation)
    assert all(torch.equal(given, torch.full_like(given, 0.5)) for given in values.values())
    weighed, changed = [], []
    for number in range(1, 9):
        changed.append(method.begin_epoch(model, number, 8, tiny_data))
        weighed.append(model.features.norm1.attends)
    assert weighed == [True] * 5 + [False] * 3
    assert [number for number, change in enumerate(changed, 1) if change] == [6]
    assert sum(int((~norm.stays).sum()) for norm in models.norms(model).values()) == round(24 * method.target)


def test_dropped_channels_are_those_with_the_lowest_scores_and_stay_silent():
    model = vgg([4], [4])
    add_masks(model)
    scores = {"features.conv1": torch.tensor([3.0, 1, 4, 2]), "features.conv2": torch.tensor([9.0, 8, 0, 7])}
    drop(model, global_plan(scores, 0.375))
    assert model.features.norm1.stays.tolist() == [True, False, True, False]
    assert model.features.norm2.stays.tolist() == [True, True, False, True]
    with torch.no_grad():
        model.features.norm1.weight.fill_(1)
        model.features.norm1.bias.fill_(1)
    silence(model)
    assert model.features.norm1.weight.tolist() == model.features.norm1.bias.tolist() == [1, 0, 1, 0]
    assert scaling_factors(base.plain(model))["features.conv1"].tolist() == [1, 0, 1, 0]


# BitPruning


def test_values_are_rounded_to_the_levels_of_their_bits():
    weights = torch.tensor([-1.0, -0.4, 0.2, 0.9, 2.0])
    assert bitpruning.quantized(weights, torch.tensor(1.0)).tolist() == [-1, -1, -1, 2, 2]
    assert bitpruning.quantized(weights, torch.tensor(2.0)).tolist() == pytest.approx([-1, 0, 0, 1, 2])
    assert (bitpruning.quantized(weights, torch.tensor(8.0)) - weights).abs().max() <= 3 / 255 / 2 + 1e-6
    assert bitpruning.quantized(torch.ones(3), torch.tensor(2.0)).tolist() == [1, 1, 1]


def test_between_whole_lengths_the_layer_computes_with_the_mixture_and_below_one_with_one():
    weights = torch.randn(50, generator=torch.Generator().manual_seed(0))
    fewer, more = (bitpruning.quantized(weights, torch.tensor(b)) for b in (3.0, 4.0))
    mixture = bitpruning.interpolated(weights, torch.tensor(3.25))
    assert torch.allclose(mixture, 0.75 * fewer + 0.25 * more)
    assert torch.equal(bitpruning.interpolated(weights, torch.tensor(3.0)), fewer)
    one = bitpruning.interpolated(weights, torch.tensor(1.0))
    assert torch.equal(bitpruning.interpolated(weights, torch.tensor(0.2)), one)


def test_the_gradient_by_the_bits_is_that_of_finite_differences_and_weights_get_theirs_straight_through():
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(50, generator=generator, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(50, generator=generator, dtype=torch.float64)
    bits = torch.tensor(3.4, dtype=torch.float64, requires_grad=True)
    (bitpruning.interpolated(weights, bits) * upstream).sum().backward()
    with torch.no_grad():
        high, low = ((bitpruning.interpolated(weights, bits + h) * upstream).sum() for h in (1e-4, -1e-4))
    assert float(bits.grad) == pytest.approx(float(high - low) / 2e-4, rel=1e-6)
    assert torch.equal(weights.grad, upstream)


def test_the_penalty_has_the_gradient_of_finite_differences():
    elements = torch.tensor([10.0, 30.0, 60.0], dtype=torch.float64)
    bits = torch.tensor([2.0, 4.5, 8.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda bits: parts.bit_penalty(bits, elements), bits)
    assert float(parts.bit_penalty(bits, elements)) == pytest.approx(0.2 + 1.35 + 4.8)


@pytest.mark.parametrize("start", [0.5, 0, -3, 17, math.nan])
def test_bit_lengths_below_one_are_refused(refused, start):
    with refused("bit length", start):
        parts.bitpruning(start=start)


def test_lengths_end_whole_and_weights_on_their_levels(runs):
    run, trained = runs["bitpruning"]
    assert run.results["bits"] < 7.9
    assert run.history[-1]["bits"] == pytest.approx(run.results["bits"])
    for name, layer in prunable(run.model()).items():
        bits = run.results["layers"][name]["bits"]
        assert bits == int(bits) == float(bitpruning.lengths(trained)[name])
        assert len(layer.weight.unique()) <= 2**bits


def test_a_length_never_falls_below_one():
    method = parts.bitpruning(start=1.5)
    model = attached(method)
    with torch.no_grad():
        for bits in bitpruning.lengths(model).values():
            bits.fill_(0.3)
    method.after_step(model, 0.1, 0.5)
    assert [float(bits.detach()) for bits in bitpruning.lengths(model).values()] == [1, 1, 1]

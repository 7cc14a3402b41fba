"""What the training loop does for a method: when it is called, what it may change, what the record keeps of it."""

import torch
from torch import nn
from workers import vgg

from labkit.settings import Recipe
from labkit.training import Finished, Method, fit, optimizer_of
from labkit.training.step import train_step

RECIPE = Recipe(2, batch=100, schedule="linear")  # three steps an epoch


class Watching(Method):
    """Writes down how it is called."""

    def __init__(self):
        self.calls = []

    def describe(self):
        return {"name": "watching"}

    def attach(self, model, seed):
        model.register_buffer("seen", torch.zeros(()))
        self.calls.append(("attach", seed))

    def begin_epoch(self, model, number, epochs, data):
        self.calls.append(("epoch", number, epochs))
        return False

    def after_step(self, model, rate, done):
        model.seen.add_(1)
        self.calls.append(("step", round(rate, 6), round(6 * done, 6)))

    def numbers(self, model):
        return {"counted": float(model.seen)}

    def finish(self, model, rates):
        self.calls.append(("finish", len(rates)))
        del model.seen
        return Finished(model, results={"kept": 7.0})


def test_a_method_is_called_in_order_and_its_numbers_are_kept(tiny_data, tmp_path):
    method = Watching()
    run = fit(vgg([4]), tiny_data, RECIPE, folder=tmp_path / "run", kind="sparsity", seed=3, method=method)
    steps = [call for call in method.calls if call[0] == "step"]
    others = [call for call in method.calls if call[0] != "step"]
    assert others == [("attach", 3), ("epoch", 1, 2), ("epoch", 2, 2), ("finish", 6)]
    assert [done for _, _, done in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[-1][1] == round(run.history[-1]["learning_rate"], 6)
    assert [row["counted"] for row in run.history] == [3, 6]
    assert run.results["kept"] == 7
    assert run.config["method"] == {"name": "watching"}


def test_a_method_that_does_nothing_leaves_a_training_bit_equal(tiny_data, tmp_path):
    class Nothing(Method):
        def describe(self):
            return {}

    one, other = (
        fit(vgg([4]), tiny_data, RECIPE, folder=tmp_path / str(method), kind="sparsity", method=method)
        for method in (None, Nothing())
    )
    assert one.history == other.history
    assert all(torch.equal(one.state()[name], value) for name, value in other.state().items())


def test_a_group_of_its_own_has_its_rate_and_decay():
    model = vgg([4])
    model.extra = nn.Parameter(torch.tensor(2.0))
    own = [{"params": [model.extra], "factor": 10.0, "weight_decay": 0.5}]
    optimizer, _ = optimizer_of(model, RECIPE, own)
    first, second = optimizer.param_groups
    assert [(group["factor"], group["weight_decay"]) for group in (first, second)] == [(1, 1e-4), (10, 0.5)]
    assert first["lr"] is not second["lr"]
    assert sum(len(group["params"]) for group in (first, second)) == len(list(model.parameters()))


def test_rates_follow_the_schedule_times_the_factor(tiny_data, tmp_path):
    class Decaying(Method):
        """Its parameter has no gradient but that of its decay."""

        def describe(self):
            return {"name": "decaying"}

        def attach(self, model, seed):
            model.extra = nn.Parameter(torch.tensor(1.0))

        def groups(self, model):
            return [{"params": [model.extra], "factor": 2.0, "weight_decay": 0.1}]

        def loss(self, model):
            return 0.0 * model.extra

        def finish(self, model, rates):
            left = float(model.extra.detach())
            del model.extra
            return Finished(model, results={"left": left, "rates": sum(rates)})

    recipe = Recipe(1, batch=300, momentum=0.0, schedule="linear")
    run = fit(vgg([4]), tiny_data, recipe, folder=tmp_path / "run", kind="sparsity", method=Decaying())
    assert abs(run.results["left"] - (1 - 2 * run.results["rates"] * 0.1)) < 1e-6


def test_what_is_added_to_the_loss_moves_the_weights_and_not_the_loss_that_is_reported(tiny_data):
    class Pulling(Method):
        def loss(self, model):
            return model.classifier.bias.sum()

    def bias_after(method):
        model = vgg([4])
        optimizer, scaler = optimizer_of(model, RECIPE)
        x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        loss, _ = train_step(model, x, torch.arange(8), optimizer, scaler, method=method)
        return loss, model.classifier.bias.detach()

    (loss, bias), (same, pulled) = bias_after(None), bias_after(Pulling())
    assert torch.equal(loss, same)
    assert torch.allclose(bias - pulled, torch.full((10,), RECIPE.learning_rate))

"""Fit a network. One loop serves every notebook, on a GPU or a CPU."""

import copy
import hashlib
import math
import time
from collections.abc import Callable, Generator
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from labkit import hardware, models, progress, records
from labkit.data import Dataset, augmented_batches
from labkit.hardware import fast_dtype, keep_freed_memory, recorded, side_by_side
from labkit.progress import Progress
from labkit.records import Record
from labkit.settings import LabError, Recipe
from labkit.training import checkpoint
from labkit.training.checkpoint import momenta
from labkit.training.convolution import fast_convolutions
from labkit.training.evaluation import accuracy, evaluate
from labkit.training.method import Finished, Method
from labkit.training.pace import best_threads
from labkit.training.schedule import learning_rates, shrinkage_budget, steps_per_epoch
from labkit.training.step import PenaltyGradient, optimizer_of, train_step

SAVE_EVERY = 5.0  # seconds; on a GPU an epoch can be shorter than it takes to save it
SNAPSHOTS = 10  # how often a run keeps its scaling factors, besides at its start
PROBE = (-2.0, -0.5, 0.0, 0.5, 2.0)  # a penalty's gradient here tells runs of different penalties apart


class Diverged(LabError):
    """A loss or a weight that is no longer finite."""


def fit(model: nn.Module, data: Dataset, recipe: Recipe, **options) -> Record:
    """Train a copy of ``model`` on ``data`` to the end; ``steps`` says how, with which options."""
    return side_by_side([steps(model, data, recipe, **options)])[0]


def steps(
    model: nn.Module,
    data: Dataset,
    recipe: Recipe,
    *,
    folder: Path,
    kind: str,
    lam: float = 0.0,
    penalty_gradient: PenaltyGradient | None = None,
    seed: int = 0,
    plan: dict | None = None,
    parent: str | None = None,
    method: Method | None = None,
    watch: Callable[[list[dict], int], None] | None = None,
    save_every: float = SAVE_EVERY,
) -> Generator[None, None, Record]:
    """Train a copy of ``model`` on ``data`` and keep the run in ``folder``: a generator that stops
    after every step and returns the run, so that several trainings can take turns
    (``hardware.side_by_side``); ``fit`` runs one to its end.

    With λ > 0, ``penalty_gradient(γ, λ)`` is added to the gradient of all scaling factors after
    each backward pass (Network Slimming, equation 1); it has to be a function of γ and λ only. The run is
    made once (``records.run_once``): a finished one of the same configuration is returned as it is, a
    broken-off one continues after its last saved epoch (a save at an epoch's end, ``save_every`` seconds
    after the last) and, on one CPU, ends bit-equal to an uninterrupted one. ``watch(history, epochs)`` is
    called after every epoch. A ``method`` prunes while it trains: the record then has what it leaves.

    Raises ``LabError`` for λ < 0, a missing or unusable penalty, or a loss or weight that is no longer finite.
    """
    config = configuration(model, data, recipe, kind, lam, penalty_gradient, seed, plan, parent, method)

    def train():
        training = _Training(model, data, recipe, config, penalty_gradient, method)
        return training.to_the_end(Path(folder), plan, watch, save_every)

    return records.in_turns(folder, config, train, files=(records.WEIGHTS,))


def configuration(
    model: nn.Module,
    data: Dataset,
    recipe: Recipe,
    kind: str,
    lam=0.0,
    penalty_gradient=None,
    seed=0,
    plan=None,
    parent=None,
    method=None,
) -> dict:
    """Everything that determines what a training gives, as its record keeps it. Raises ``LabError`` for what
    cannot be trained, before anything is written."""
    if not 0 <= lam < math.inf:
        raise LabError(f"λ is {lam}: give 0 (no penalty) or a positive number such as 1e-4.")
    if lam and penalty_gradient is None:
        raise LabError(f"λ is {lam:g} but no penalty_gradient was given: pass the function that computes it.")
    learning_rates(recipe, len(data.train))
    return {
        "kind": kind,
        "parent": parent,
        "recipe": asdict(recipe),
        "ratio": plan["requested"] if plan else 0.0,
        "lambda": lam,
        "penalty_probe": _probe(penalty_gradient, lam) if lam else None,
        "seed": seed,
        "precision": str(fast_dtype(data.train.labels.device)).removeprefix("torch."),
        "network": model.specification.to_dict(),
        "start": fingerprint(model),
        "data": data.describe(),
    } | ({"method": method.describe()} if method else {})


class _Training:
    """A training under way: the network, what changes with it, and how far it is."""

    def __init__(self, model, data: Dataset, recipe: Recipe, config: dict, penalty_gradient, method: Method | None):
        keep_freed_memory()
        self.data, self.recipe, self.config, self.method = data, recipe, config, method or Method()
        device = data.train.labels.device
        self.model = copy.deepcopy(model)
        self.method.attach(self.model, config["seed"])
        self.model = self.model.to(device, memory_format=torch.channels_last)
        self.gammas = [norm.weight for norm in models.norms(self.model).values()]
        self.rates = learning_rates(recipe, len(data.train))
        self.optimizer, self.scaler = optimizer_of(self.model, recipe, self.method.groups(self.model))
        self.history, self.seconds, self.snapshots = [], [], {0: _flat(self.gammas)}
        self.totals = torch.zeros(2, device=device)  # an epoch's loss and right answers, added up without waiting
        self.penalty = (penalty_gradient, config["lambda"]) if config["lambda"] else None
        self.step = self.new_step()

    def new_step(self) -> Callable[[Tensor, Tensor], None]:
        """The step on a batch, on a GPU to be recorded when it first runs."""

        def step(x: Tensor, y: Tensor) -> None:
            loss, logits = train_step(
                self.model, x, y, self.optimizer, self.scaler, self.gammas, self.penalty, self.method
            )
            self.totals.add_(torch.stack([loss * len(y), (logits.argmax(1) == y).sum()]))

        # Recording with float16's loss scale has not been tried.
        state = [self.totals, *self.model.state_dict().values(), *momenta(self.model, self.optimizer).values()]
        return step if self.scaler.is_enabled() else recorded(step, state)

    def to_the_end(self, folder: Path, plan: dict | None, watch, save_every: float) -> Generator[None, None, Record]:
        path, epochs, threads = folder / records.CHECKPOINT, self.recipe.epochs, None
        if path.exists():
            self.history, self.seconds, self.snapshots, threads = checkpoint.restore(
                path, self.model, self.optimizer, self.scaler
            )
        kept_epochs = {round(epoch) for epoch in np.linspace(0, epochs, min(SNAPSHOTS, epochs) + 1)}
        saved = time.perf_counter()
        try:
            self.report(folder)
            with fast_convolutions(self.model), self.fitting_threads(threads):
                for number in range(len(self.history) + 1, epochs + 1):
                    yield from self.epoch(number)
                    if is_kept := number in kept_epochs:
                        self.snapshots[number] = _flat(self.gammas)
                    if time.perf_counter() - saved >= save_every:
                        self.save(path)
                        saved = time.perf_counter()
                    if is_kept:
                        self.report_gammas(folder)
                    self.report(folder)
                    if watch:
                        watch(self.history, epochs)
                finished = self.method.finish(self.model, self.rates)
                record = self.record(finished, plan).with_folder(folder)
        finally:
            progress.remove(folder)
        widths = [len(gamma) for gamma in self.gammas]
        records.save(record, finished.network.state_dict(), self.kept_gammas(), widths)
        path.unlink(missing_ok=True)
        return record

    def fitting_threads(self, kept: int | None):
        """A context with the threads that suit a CPU now, or those that the training began with as far as the
        machine grants them: another number adds up in another order."""
        if self.totals.device.type != "cpu":
            return nullcontext()
        granted = hardware.cores().count
        return hardware.threads(min(kept, granted) if kept else best_threads(self.model, self.data.train, self.recipe))

    def save(self, path: Path) -> None:
        kept = {"config": self.config, "history": self.history, "seconds": self.seconds}
        kept["threads"] = torch.get_num_threads()
        checkpoint.write(path, self.model, self.optimizer, self.scaler, self.snapshots, **kept)

    def report(self, folder: Path) -> None:
        """Tell other processes how far the training is."""
        progress.write(folder, Progress(folder.name, self.recipe.epochs, self.history, self.seconds))

    def report_gammas(self, folder: Path) -> None:
        """Let other processes see how the scaling factors move."""
        with suppress(LabError):  # worth seeing, not worth failing
            records.write_gammas(folder, sorted(self.snapshots), [len(g) for g in self.gammas], self.kept_gammas())

    def kept_gammas(self) -> Tensor:
        """γ at the snapshots so far, (snapshots, channels)."""
        return torch.stack([self.snapshots[epoch] for epoch in sorted(self.snapshots)])

    def epoch(self, number: int) -> Generator[None, None, None]:
        """One epoch, a step at a time. Its seconds are those of its own turns; on a GPU, where a turn only hands
        work over, those of trainings side by side are theirs together, and the split is arbitrary."""
        images, per_epoch = len(self.data.train), steps_per_epoch(len(self.data.train), self.recipe.batch)
        spent, started = 0.0, time.perf_counter()
        if self.method.begin_epoch(self.model, number, self.recipe.epochs, self.data):
            self.step = self.new_step()
        self.model.train()
        self.totals.zero_()
        shuffled = augmented_batches(self.data.train, self.recipe.batch, seed=1_000_003 * self.config["seed"] + number)
        for count, ((x, y), rate) in enumerate(zip(shuffled, self.rates[(number - 1) * per_epoch :]), 1):
            for group in self.optimizer.param_groups:
                group["lr"].fill_(group["factor"] * rate)
            self.step(x, y)
            self.method.after_step(self.model, rate, done=((number - 1) * per_epoch + count) / len(self.rates))
            spent += time.perf_counter() - started
            yield
            started = time.perf_counter()
        loss, right = (self.totals / images).tolist()
        if not (math.isfinite(loss) and all(value.isfinite().all() for value in self.model.state_dict().values())):
            raise Diverged(
                f"The training diverged; the loss is {loss} in epoch {number} (λ = {self.config['lambda']:g}, "
                f"learning rate {self.recipe.learning_rate:g}): lower one of them and run again."
            )
        self.history.append(
            {
                "epoch": number,
                "loss": loss,
                "train_accuracy": right,
                "validation_accuracy": accuracy(self.model.eval(), self.data.validation),
                "learning_rate": self.rates[number * per_epoch - 1],
                "gamma_l1": float(_flat(self.gammas).abs().sum()),
            }
            | self.method.numbers(self.model)
        )
        self.seconds.append(spent + time.perf_counter() - started)

    def record(self, finished: Finished, plan: dict | None) -> Record:
        budget = shrinkage_budget(self.config["lambda"], self.rates, self.recipe.momentum)
        right = self.history[-1]["validation_accuracy"]
        if finished.network is not self.model:
            right = evaluate(finished.network, self.data.validation)
        return Record(
            kind=self.config["kind"],
            config=self.config,
            network=finished.network.specification.to_dict(),
            history=self.history,
            snapshots=sorted(self.snapshots),
            results={
                "shrinkage_budget": budget,
                "validation_accuracy": right,
                "seconds": sum(self.seconds),
            }
            | finished.results,
            plan=finished.plan or plan,
            versions=records.versions() | {"threads": str(torch.get_num_threads())},
        )


def _probe(penalty_gradient: PenaltyGradient, lam: float) -> list[float]:
    """The penalty's gradient at ``PROBE``. Raises ``LabError`` if it is no finite number per channel."""
    gradient = penalty_gradient(torch.tensor(PROBE), lam)
    if not isinstance(gradient, Tensor) or gradient.shape != (len(PROBE),) or not gradient.isfinite().all():
        raise LabError(
            f"penalty_gradient gave {gradient} for γ = {list(PROBE)} and λ = {lam:g}: "
            "return a tensor with one finite number for each γ, also where γ is 0."
        )
    return gradient.tolist()


def _flat(gammas: list[Tensor]) -> Tensor:
    return torch.cat([gamma.detach() for gamma in gammas]).cpu()


def fingerprint(model: nn.Module) -> str:
    """sha256 over the network's weights and statistics."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()

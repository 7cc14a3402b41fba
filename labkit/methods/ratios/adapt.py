"""NetAdapt (Yang et al., 2018): take the network to a latency in small steps, and let accuracy decide which layer pays
for each step."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import nn

from labkit import models, pruning, records, training
from labkit.data import Dataset, augmented_batches
from labkit.methods import schemas
from labkit.methods.ratios.latency import MEDIAN, MULTIPLE, ROUNDS, UNDISTURBED, LatencyTable, in_turns, loaded
from labkit.methods.ratios.sensitivity import CRITERION, MADE_FROM, TUNED, made_from
from labkit.methods.schemas import COUNT, POSITIVE, SHARE, TEXT
from labkit.pruning import CRITERIA, ChannelPlan
from labkit.records import Record
from labkit.settings import LabError, Recipe
from labkit.training.convolution import fast_convolutions

SEARCH, LATENCIES = "ratios-netadapt", "ratios-latencies"
STEP, DECAY, ITERATIONS, SHORT = 0.08, 0.96, 6, 10  # the paper: 0.025, 0.96, tens of iterations, 10 short-term steps
SHORT_TERM = Recipe(epochs=1, batch=50, learning_rate=0.01)  # its rate does not fall

TRIED = schemas.record({"width": schemas.integer(1, 4096), "before": SHARE, "accuracy": SHARE, "predicted": POSITIVE})
ITERATION = {"budget": POSITIVE, "candidates": schemas.by_name(TRIED, 64), "chosen": TEXT, "plan": schemas.PLAN}
SCHEMAS = {
    SEARCH: schemas.of_kind(
        SEARCH,
        MADE_FROM
        | {"criterion": TEXT, "table": TEXT, "step": SHARE, "decay": SHARE, "iterations": COUNT, "short": COUNT}
        | {"fine_tune": schemas.RECIPE, "multiple": COUNT},
        {"start": POSITIVE, "parent": SHARE, "iterations": schemas.array(schemas.record(ITERATION), 200)},
    ),
    LATENCIES: schemas.of_kind(
        LATENCIES,
        {"table": TEXT, "networks": schemas.by_name(schemas.array(schemas.integer(1, 4096), 64), 200)},
        dict.fromkeys(("predicted", "measured", "median"), schemas.by_name(POSITIVE, 200))
        | {"whole_then": POSITIVE, "whole_now": POSITIVE},
    ),
}


@dataclass(frozen=True)
class Candidate:
    """One layer made narrower: its new ``width``, the accuracies before and after short-term tuning, and the
    milliseconds that the table predicts for the whole network."""

    width: int
    before: float
    accuracy: float
    predicted: float


def budgets(start: float, step: float = STEP, decay: float = DECAY) -> Iterator[float]:
    """The latency that each iteration has to reach, in the unit of ``start``: the first is ``step * start`` lower, each
    later step is ``decay`` times the one before (section 3.1 and the paper's experiments)."""
    reduction = step * start
    while True:
        start -= reduction
        yield start
        reduction *= decay


def widest(
    table: LatencyTable, widths: dict[str, int], layer: str, budget: float, multiple: int = MULTIPLE
) -> int | None:
    """The most channels that ``layer`` can keep for the network to be predicted at ``budget`` milliseconds or less,
    fewer than it has, a multiple of ``multiple``; None where no width does."""
    most = (widths[layer] - 1) // multiple * multiple
    options = range(most, 0, -multiple)
    return next((width for width in options if table.predicted(widths | {layer: width}) <= budget), None)


def chosen(candidates: dict[str, Candidate], budget: float) -> str:
    """The layer whose candidate is the most accurate after short-term tuning, of those within the budget; the first of
    equals (Algorithm 1). Raises ``LabError`` where none is within it."""
    within = {layer: found.accuracy for layer, found in candidates.items() if found.predicted <= budget}
    if not within:
        raise LabError(
            f"No layer alone brings the network to {budget:.3g} ms: ask for a smaller step or stop one iteration earlier."
        )
    return max(within, key=within.get)


def short_term(
    model: nn.Module, data: Dataset, seed: int, steps: int = SHORT, recipe: Recipe = SHORT_TERM
) -> nn.Module:
    """A copy of ``model`` after so many training steps at the recipe's rate; which images come follows from ``seed``."""
    tuned = copy.deepcopy(model).to(data.train.labels.device, memory_format=torch.channels_last).train()
    optimizer, scaler = training.optimizer_of(tuned, recipe)
    with fast_convolutions(tuned):
        for x, y in islice(augmented_batches(data.train, recipe.batch, seed), steps):
            training.train_step(tuned, x, y, optimizer, scaler)
    return tuned.cpu().eval()


def netadapt(
    run: Record,
    data: Dataset,
    table: Record,
    folder: Path,
    iterations: int = ITERATIONS,
    step: float = STEP,
    decay: float = DECAY,
    short: int = SHORT,
    multiple: int = MULTIPLE,
) -> Record:
    """NetAdapt on a trained run, with a latency table of its network: every iteration asks for less latency, tries to
    get it from each layer alone, tunes each of these networks for ``short`` steps and goes on with the most accurate
    one, by validation images. The networks of all iterations are kept, weights and all: ``member`` gives them. Made
    once; given the table, everything in it follows from the run's seed.

    The search ends early where no layer alone reaches the budget. Raises ``LabError`` where that is so in the first
    iteration, and what ``latency.loaded`` does.
    """
    times, seed = loaded(table), run.config["seed"]
    config = made_from(run, data) | {"criterion": CRITERION, "table": records.identity(table), "step": step}
    config |= {"decay": decay, "iterations": iterations, "short": short, "multiple": multiple}
    config |= {"fine_tune": asdict(SHORT_TERM)}

    def search() -> Record:
        model, names = run.model(), list(times.blocks)
        total = dict(zip(names, run.specification.widths))
        plan = ChannelPlan({name: tuple(range(width)) for name, width in total.items()}, total, 0.0)
        start, weights, found = times.predicted(total), {}, []
        for number, budget in enumerate(islice(budgets(start, step, decay), iterations)):
            widths, options = dict(zip(names, plan.widths)), {}
            for layer in names:
                width = widest(times, widths, layer, budget, multiple)
                if width is not None:
                    narrow = widths | {layer: width}
                    options[layer] = _tried(model, data, narrow, layer, times.predicted(narrow), seed + number, short)
            if not options and found:
                print(f"No layer alone reaches {budget:.3g} ms: NetAdapt ends after {number} iterations.")
                break
            best = chosen({layer: candidate for layer, (candidate, *_) in options.items()}, budget)
            _, model, kept = options[best]
            plan = narrowed(plan, best, kept)
            candidates = {layer: asdict(candidate) for layer, (candidate, *_) in options.items()}
            found.append({"budget": budget, "candidates": candidates, "chosen": best, "plan": plan.to_dict()})
            weights |= {f"{number}.{name}": tensor for name, tensor in model.state_dict().items()}
        results = {"start": start, "parent": training.evaluate(run.model(), data.validation), "iterations": found}
        return records.save(Record(SEARCH, config, run.network, results=results).with_folder(folder), weights)

    return records.run_once(folder, config, search, files=(records.WEIGHTS,))


def _tried(
    model: nn.Module, data: Dataset, widths: dict[str, int], layer: str, predicted: float, seed: int, short: int
) -> tuple[Candidate, nn.Module, tuple[int, ...]]:
    """What comes of one layer made narrower: the candidate, its network, and the channels that the layer keeps."""
    plan = pruning.width_plan(CRITERIA[CRITERION](model, data.train, seed), widths)
    thin = pruning.thin(model, plan)
    tuned = short_term(thin, data, seed, short)
    before, after = (training.evaluate(network, data.validation) for network in (thin, tuned))
    return Candidate(widths[layer], before, after, predicted), tuned, plan.kept[layer]


def narrowed(plan: ChannelPlan, layer: str, kept: tuple[int, ...]) -> ChannelPlan:
    """A plan of the unpruned network, and then one of its thin network's ``layer``, as one plan of the unpruned."""
    rest = plan.kept | {layer: tuple(plan.kept[layer][channel] for channel in kept)}
    removed = 1 - sum(map(len, rest.values())) / sum(plan.total.values())
    return ChannelPlan(rest, plan.total, removed)


def plans(search: Record) -> list[ChannelPlan]:
    """The plan of every iteration's network, of the unpruned network. Raises ``LabError`` for a search without any."""
    if not search.results["iterations"]:
        raise LabError(f"{search.name} made no network: search again with 1 iteration or more.")
    return [ChannelPlan.from_dict(iteration["plan"]) for iteration in search.results["iterations"]]


def member(search: Record, number: int) -> nn.Module:
    """The network that the iteration of this number (from 0) went on with, after short-term tuning, on the CPU. Raises
    ``LabError`` where there was no such iteration."""
    if not 0 <= number < len(plans(search)):
        raise LabError(f"There is no iteration {number}: {search.name} has 0 to {len(plans(search)) - 1}.")
    network = models.build(search.specification.with_widths(plans(search)[number].widths))
    mine = {key: tensor for key, tensor in search.state().items() if key.startswith(f"{number}.")}
    network.load_state_dict({key.partition(".")[2]: tensor for key, tensor in mine.items()})
    return network.to(memory_format=torch.channels_last).eval()


def long_term(
    search: Record, run: Record, data: Dataset, recipe: Recipe, lab: Path, numbers: Sequence[int]
) -> list[Record]:
    """Fine-tune the networks of these iterations by ``recipe``, in ``lab/ratios``. Made once."""
    return training.fit_all(
        {
            "model": member(search, number),
            "data": data,
            "recipe": recipe,
            "folder": lab / "ratios" / f"netadapt-{number + 1}",
            "kind": TUNED,
            "seed": run.config["seed"],
            "plan": plans(search)[number].to_dict(),
            "parent": run.name,
        }
        for number in numbers
    )


def latencies(table: Record, networks: dict[str, Sequence[int]], folder: Path) -> Record:
    """Milliseconds of networks of these widths, by name: what the table predicts, and what a measurement gives under
    the same conditions (``measured``: the quantile that the table has; ``median``), in turns with the unpruned network:
    ``whole_now``, beside ``whole_then``, its time in the table. Made once."""
    times = loaded(table)
    config = {"table": records.identity(table), "networks": {name: list(widths) for name, widths in networks.items()}}

    def compare() -> Record:
        built = [models.build(table.specification.with_widths(widths), seed=0) for widths in networks.values()]
        whole = models.build(table.specification, seed=0)
        batch, threads = times.conditions["batch"], times.conditions["threads"]
        taken = in_turns([*built, whole], batch, 2 * ROUNDS, threads)
        *found, now = taken.quantile(UNDISTURBED, dim=0).sum(1).tolist()
        medians = taken.sum(2).quantile(MEDIAN, dim=0).tolist()
        results = {
            "predicted": {name: times.predicted(dict(zip(times.blocks, widths))) for name, widths in networks.items()},
            "measured": dict(zip(networks, found)),
            "median": dict(zip(networks, medians)),
            "whole_then": times.whole,
            "whole_now": now,
        }
        return records.save(Record(LATENCIES, config, table.network, results=results).with_folder(folder))

    return records.run_once(folder, config, compare)

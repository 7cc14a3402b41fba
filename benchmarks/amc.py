"""An episode of AMC's search beside cutting and evaluating a network for each: the median of several, in one run.

Three ways of judging the same policies, each with BatchNorm re-estimated and without:

- *episode*: the walk with its clamp and states, MACs from the table, slices of one prepared network on as many images
  as the search looks at, one update of the agent;
- *cut*: ``pruning.thin``, ``measure.macs`` once, BatchNorm re-estimated as notebook 07 does, all validation images;
- *cut, counted*: the same, and ``measure.macs`` of a new network for each group's state, instead of the table.

So a part of the ratio is that fewer images are looked at; ``same images`` says what is left of it when both look at
the search's. One thread; processor time, so that a busy machine matters less. Alone: ``python benchmarks/amc.py``."""

import statistics
import time

import numpy as np
import torch

from labkit import amc, data, measure, models, pruning, settings, training
from labkit.hardware import keep_freed_memory
from labkit.methods.amc.agent import Agent
from labkit.training import RECALIBRATION_IMAGES
from labkit.view.tables import markdown

NETWORKS = {"vgg11": 0.25, "mobilenetv2": 0.25}
BUDGET, EPISODES = 0.25, 3


def parts() -> amc.Parts:
    def clamp(share, costs, least, budget):
        affordable = int(np.searchsorted(costs, budget, side="right")) - 1
        return max(least, min(round(share * (len(costs) - 1)), affordable))

    def budget_state(whole, left, group):
        return 1 - sum(left) / sum(whole), sum(whole[group + 1 :]) / sum(whole)

    def soft_update(target, online, tau):
        return {name: torch.lerp(target[name], online[name], tau) for name in target}

    return amc.Parts(clamp, budget_state, soft_update, lambda accuracy, macs, kind: accuracy - 1)


def seconds(work) -> float:
    """Processor seconds of one call, the median of ``EPISODES``."""
    taken = []
    for _ in range(EPISODES):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return statistics.median(taken)


def compared(name: str, images: data.Dataset, reestimate: bool) -> list[str]:
    model = training.recalibrate(models.build(models.named(name, NETWORKS[name]), seed=0), images.train[:200]).cpu()
    network, functions, random = model.specification, parts(), np.random.default_rng(0)
    scores = pruning.CRITERIA["filter-l1-per-weight"](model, images.train, 0)
    environment, statistics_on = amc.Environment(network, BUDGET), images.train[: amc.STATISTICS]
    some = images.validation[: amc.IMAGES]
    narrow = amc.Narrow(model, scores, some, statistics_on if reestimate else None)
    agent, generator = Agent(amc.Constants(), functions.soft_update, 0), torch.Generator().manual_seed(0)
    memory = amc.Memory(2 * EPISODES, len(environment))

    def walk():
        return environment.walk(lambda state: random.random(), functions)

    def episode():
        walked = walk()
        reward = narrow.accuracy(walked.widths) - 1
        memory.add(walked.states, walked.shares, reward)
        agent.update(memory, -0.5, generator)

    def cut(judged, estimated):
        thin = pruning.thin(model, narrow.plan(walk().widths))
        measure.macs(thin)
        thin = training.recalibrate(thin, estimated) if reestimate else thin
        training.evaluate(thin, judged)

    def counted():
        widths = walk().widths
        for group in range(len(widths)):
            measure.macs(models.build(network.with_widths([*widths[:group], *network.widths[group:]])))
        cut(images.validation, images.train[:RECALIBRATION_IMAGES])

    episode()  # what is made once is not charged
    fast = seconds(episode)
    slow = seconds(lambda: cut(images.validation, images.train[:RECALIBRATION_IMAGES]))
    same, naive = seconds(lambda: cut(some, statistics_on)), seconds(counted)
    row = [name, "re-estimated" if reestimate else "as it stands", f"{1000 * fast:.0f} ms", f"{1 / fast:.1f}"]
    return row + [f"{way / fast:.1f}" for way in (slow, naive, same)]


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    images = data.load("shapes", settings.current().downloads)
    rows = [compared(name, images, reestimate) for name in NETWORKS for reestimate in (True, False)]
    head = [
        "network",
        "reward",
        "an episode",
        "episodes a second",
        "cut, times",
        "cut, counted, times",
        "same images, times",
    ]
    print(markdown(head, rows))


if __name__ == "__main__":
    main()

"""A search: episodes of AMC's agent, or of chance, with the reward of each; kept as a run."""

import itertools
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import torch

from labkit import records
from labkit.data import Dataset
from labkit.files import read_metadata, read_tensors, write_tensors
from labkit.methods import schemas
from labkit.methods.amc.agent import Agent, Constants, Memory, truncated_normal
from labkit.methods.amc.environment import LEAST, Environment, Episode, Parts
from labkit.methods.amc.narrow import Narrow
from labkit.methods.ratios.sensitivity import CRITERION, MADE_FROM, made_from, scored
from labkit.methods.schemas import COUNT, POSITIVE, SHARE, TEXT
from labkit.pruning import ChannelPlan
from labkit.records import Record
from labkit.settings import LabError

SEARCH = "amc-search"
BUDGET, EPISODES, WARM_UP = 0.25, 300, 40
IMAGES, STATISTICS = 300, 100  # validation images that a policy is judged on; training images for its BatchNorm
REWARDS = ("error", "error-log-flops")
AGENTS = ("ddpg", "random")
SAVE_EVERY = 20  # episodes
CONSTANTS = Constants()

NUMBERS = dict.fromkeys(("actor_rate", "critic_rate", "tau", "discount", "noise", "decay", "memory"), POSITIVE)
OF_CONSTANTS = schemas.record(NUMBERS | dict.fromkeys(("hidden", "batch", "updates"), COUNT))
REWARD = schemas.number(-1e6, 1e6)
SCHEMA = schemas.of_kind(
    SEARCH,
    MADE_FROM
    | {"criterion": TEXT, "agent": {"enum": list(AGENTS)}, "budget": SHARE, "least": SHARE, "episodes": COUNT}
    | {"warm_up": COUNT, "images": COUNT, "statistics": COUNT, "reward": {"enum": list(REWARDS)}, "noise_seed": COUNT}
    | {"constants": OF_CONSTANTS, "parts": schemas.array(REWARD, 20)},
    {
        "rewards": schemas.array(REWARD, 5000),
        "accuracies": schemas.array(SHARE, 5000),
        "widths": schemas.array(schemas.array(schemas.integer(1, 4096), 64), 5000),
        "losses": schemas.array(POSITIVE, 5000),
        "best": COUNT,
        "seconds": POSITIVE,
        "stopped": schemas.or_null(TEXT),
    },
    schemas.PLAN,
)


def searched(
    run: Record,
    data: Dataset,
    parts: Parts,
    folder: Path,
    *,
    agent: str = "ddpg",
    budget: float = BUDGET,
    least: float = LEAST,
    episodes: int = EPISODES,
    warm_up: int = WARM_UP,
    images: int = IMAGES,
    reestimate: bool = True,
    reward: str = "error",
    constants: Constants = CONSTANTS,
    seed: int | None = None,
) -> Record:
    """Search a policy for a trained run that leaves at most the share ``budget`` of its MACs: ``episodes`` episodes, each
    judged by the first ``images`` validation images and followed by one update of the agent. ``agent`` is ``"ddpg"``, whose
    first ``warm_up`` episodes are chance, or ``"random"``, all of whose are. ``reestimate``: BatchNorm is estimated anew
    before a policy is judged. ``seed`` of the search; without one, the run's.

    Made once; broken off, it goes on after its last save and ends bit-equal on one machine. An agent whose loss is no
    longer finite ends the search, which keeps its best policy and says so. Raises ``LabError`` where ``Environment`` does,
    for an unknown agent or reward, for fewer episodes than 1, and for parts that give no usable numbers.
    """
    for name, value, known in (("agent", agent, AGENTS), ("reward", reward, REWARDS)):
        if value not in known:
            raise LabError(f"There is no {name} {value!r}: choose one of {', '.join(known)}.")
    if episodes < 1:
        raise LabError(f"{episodes} episodes try no policy: give 1 or more.")
    environment = Environment(run.specification, budget, least)
    config = made_from(run, data) | {"criterion": CRITERION, "agent": agent, "budget": budget, "least": least}
    config |= {"episodes": episodes, "warm_up": warm_up, "images": images, "reward": reward}
    config |= {"statistics": STATISTICS if reestimate else 0, "constants": asdict(constants)}
    config |= {"noise_seed": run.config["seed"] if seed is None else seed, "parts": probe(parts)}

    def work() -> Record:
        statistics = data.train[:STATISTICS] if reestimate else None
        judge = Narrow(run.model(), scored(run, data), data.validation[:images], statistics)
        record = _Search(environment, parts, judge, config, constants).to_the_end(Path(folder), run.network)
        records.save(record)
        (Path(folder) / records.CHECKPOINT).unlink(missing_ok=True)
        return record

    return records.run_once(folder, config, work)


def probe(parts: Parts) -> list[float]:
    """What the four functions give for a few arguments: it tells searches with other functions apart. Raises ``LabError``
    for what is no finite number."""
    tensor = {"weight": torch.tensor([1.0, 2.0])}, {"weight": torch.tensor([3.0, 0.0])}
    found = [parts.clamp(share, [100 * width for width in range(11)], 2, 500) for share in (0.0, 0.3, 0.9)]
    found += [*parts.budget_state([40, 50, 10], [20, 50, 10], 1)]
    found += parts.soft_update(*tensor, 0.25)["weight"].tolist()
    points = itertools.product((0.9, 0.6), (10**6, 10**7), REWARDS)
    found += [parts.reward(accuracy, macs, kind) for accuracy, macs, kind in points]
    try:
        numbers = [float(value) for value in found]
    except (TypeError, ValueError, RuntimeError):  # None, a word, a tensor of several
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise LabError(f"The four functions gave {found}: each of these has to be a finite number; see their checks.")
    return numbers


class _Search:
    """A search under way: what has been tried, the agent, and the random numbers to come."""

    def __init__(self, environment: Environment, parts: Parts, judge: Narrow, config: dict, constants: Constants):
        self.environment, self.parts, self.judge = environment, parts, judge
        self.config, self.constants = config, constants
        self.agent = Agent(constants, parts.soft_update, config["noise_seed"])
        self.memory = Memory(config["episodes"], len(environment))
        self.generator = torch.Generator().manual_seed(config["noise_seed"])
        self.found = {"rewards": [], "accuracies": [], "widths": [], "losses": []}
        self.baseline, self.seconds, self.stopped = None, 0.0, None

    def to_the_end(self, folder: Path, network: dict) -> Record:
        path = folder / records.CHECKPOINT
        if path.exists():
            self.restore(path)
        started = time.perf_counter()
        for number in range(len(self.found["rewards"]), self.config["episodes"]):
            self.episode(number)
            if self.stopped:
                print(self.stopped)
                break
            if (number + 1) % SAVE_EVERY == 0:
                self.seconds, started = self.seconds + time.perf_counter() - started, time.perf_counter()
                self.save(path)
        self.seconds += time.perf_counter() - started
        best = max(range(len(self.found["rewards"])), key=self.found["rewards"].__getitem__)
        results = self.found | {"best": best, "seconds": self.seconds, "stopped": self.stopped}
        plan = self.judge.plan(self.found["widths"][best]).to_dict()
        print(f"{folder.name}: {len(self.found['rewards']) / self.seconds:.1f} episodes a second.")
        return Record(SEARCH, self.config, network, results=results, plan=plan).with_folder(folder)

    def episode(self, number: int) -> None:
        """One policy, its reward, and one update of the agent."""
        walked = self.environment.walk(self.chosen(number), self.parts)
        accuracy = self.judge.accuracy(walked.widths)
        macs = self.environment.table.macs(walked.widths)
        reward = float(self.parts.reward(accuracy, macs, self.config["reward"]))
        if not math.isfinite(reward):
            raise LabError(
                f"The reward for an accuracy of {accuracy:.1%} and {macs:,} MACs is {reward}: look at it again."
            )
        row = {"rewards": reward, "accuracies": accuracy, "widths": list(walked.widths)}
        for name, value in row.items():
            self.found[name].append(value)
        if self.config["agent"] == "ddpg":
            self.learn(walked, reward, number)

    def chosen(self, number: int):
        """How this episode's shares are chosen: by chance, or by the actor with noise that fades after the warm-up."""
        least = self.config["least"]
        if self.config["agent"] == "random" or number < self.config["warm_up"]:
            return lambda state: least + (1 - least) * float(torch.rand((), generator=self.generator))
        sigma = self.constants.noise * self.constants.decay ** (number - self.config["warm_up"])
        return lambda state: truncated_normal(self.agent.proposed(state), sigma, self.generator)

    def learn(self, walked: Episode, reward: float, number: int) -> None:
        past = reward if self.baseline is None else self.baseline
        self.baseline = self.constants.memory * past + (1 - self.constants.memory) * reward
        self.memory.add(walked.states, walked.shares, reward)
        loss, of_actor = self.agent.update(
            self.memory, self.baseline, self.generator, actor=number >= self.config["warm_up"]
        )
        if not (math.isfinite(loss) and math.isfinite(of_actor)):
            self.stopped = (
                f"The agent's loss became {loss} in episode {number + 1}: the search ends there, with its best policy."
            )
        else:
            self.found["losses"].append(loss)

    def save(self, path: Path) -> None:
        tensors = self.agent.state() | {f"memory.{name}": value for name, value in self.memory.state().items()}
        kept = {"config": self.config, "found": self.found, "baseline": self.baseline, "seconds": self.seconds}
        metadata = {name: json.dumps(value) for name, value in kept.items()}
        write_tensors(path, tensors | {"generator": self.generator.get_state()}, metadata)

    def restore(self, path: Path) -> None:
        tensors, kept = read_tensors(path), {name: json.loads(text) for name, text in read_metadata(path).items()}
        self.found, self.baseline, self.seconds = kept["found"], kept["baseline"], kept["seconds"]
        self.generator.set_state(tensors["generator"])
        self.memory.restore(
            {name: tensors[f"memory.{name}"] for name in self.memory.state()}, len(self.found["losses"])
        )
        self.agent.restore(tensors)


def best_plan(search: Record) -> ChannelPlan:
    """The plan of the policy with the highest reward of a search."""
    return ChannelPlan.from_dict(search.plan)

"""DDPG (Lillicrap et al., 2016) as AMC uses it (He et al., 2018, section 3.2): an actor that proposes, a critic that
judges, and a slowly following copy of each."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit.methods.amc.environment import STATE, SoftUpdate


@dataclass(frozen=True)
class Constants:
    """What the agent learns with. The published code has two hidden layers of 300, rates 1e-4 and 1e-3, τ 0.01, batches
    of 64, and 800 episodes with an update for each group at the end of each; one update an episode, over far fewer
    episodes, wants more of each."""

    hidden: int = 64
    actor_rate: float = 1e-3
    critic_rate: float = 3e-3
    tau: float = 0.05
    batch: int = 64
    discount: float = 1.0
    noise: float = 0.5  # σ of the exploration, as a share of a group's channels
    decay: float = 0.98  # of σ, an episode
    updates: int = 8  # steps of the critic for each of the actor
    memory: float = 0.9  # of the baseline, the moving average of rewards


def truncated_normal(mean: float, sigma: float, generator: torch.Generator) -> float:
    """A draw of the normal distribution of this mean and deviation, cut off outside 0..1 and scaled up (equation 2): by
    its inverse, so every draw takes one random number."""
    if sigma <= 0:
        return mean
    low, high = (torch.special.ndtr(torch.tensor((end - mean) / sigma, dtype=torch.float64)) for end in (0.0, 1.0))
    between = low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64)
    return min(1.0, max(0.0, mean + sigma * float(torch.special.ndtri(between))))


def network(inputs: int, hidden: int) -> nn.Sequential:
    """Two hidden layers and one number."""
    layers = nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
    return nn.Sequential(*layers)


@dataclass(frozen=True, eq=False)
class Batch:
    """Transitions: states and the ones after them, float32 (n, 11); the shares kept and the episodes' rewards, float32
    (n, 1); bool (n, 1): whether the group was the episode's last."""

    states: Tensor
    shares: Tensor
    rewards: Tensor
    following: Tensor
    last: Tensor


class Memory:
    """All episodes of a search, for the agent to learn from."""

    def __init__(self, episodes: int, groups: int):
        self.states = torch.zeros(episodes, groups, len(STATE))
        self.shares, self.rewards = torch.zeros(episodes, groups), torch.zeros(episodes)
        self.count = 0

    def add(self, states, shares, reward: float) -> None:
        self.states[self.count] = torch.from_numpy(states)
        self.shares[self.count] = torch.from_numpy(shares)
        self.rewards[self.count] = reward
        self.count += 1

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        """``size`` transitions of the episodes so far, drawn with replacement."""
        groups = self.states.shape[1]
        episode = torch.randint(self.count, (size,), generator=generator)
        group = torch.randint(groups, (size,), generator=generator)
        return Batch(
            self.states[episode, group],
            self.shares[episode, group, None],
            self.rewards[episode, None],
            self.states[episode, (group + 1).clamp(max=groups - 1)],
            (group == groups - 1)[:, None],
        )

    def state(self) -> dict[str, Tensor]:
        return {"states": self.states, "shares": self.shares, "rewards": self.rewards}

    def restore(self, tensors: dict[str, Tensor], count: int) -> None:
        for name, tensor in self.state().items():
            tensor.copy_(tensors[name])
        self.count = count


class Agent:
    def __init__(self, constants: Constants, soft_update: SoftUpdate, seed: int):
        self.constants, self.soft_update = constants, soft_update
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.actor = network(len(STATE), constants.hidden)
            self.critic = network(len(STATE) + 1, constants.hidden)
        self.targets = copy.deepcopy(self.actor), copy.deepcopy(self.critic)
        self.optimizers = (
            torch.optim.Adam(self.actor.parameters(), constants.actor_rate),
            torch.optim.Adam(self.critic.parameters(), constants.critic_rate),
        )

    @torch.no_grad()
    def proposed(self, state) -> float:
        """The share of its channels, 0..1, that the actor would let a group keep."""
        return float(self.actor(torch.from_numpy(state)).sigmoid())

    def update(
        self, memory: Memory, baseline: float, generator: torch.Generator, actor: bool = True
    ) -> tuple[float, float]:
        """One update: some steps of the critic and, unless it has to wait, one of the actor, then of their targets; the
        last losses of both. Every transition of an episode carries its reward, less the baseline (the paper's equations 3
        and 4)."""
        far_actor, far_critic = self.targets
        for _ in range(self.constants.updates):
            batch = memory.batch(self.constants.batch, generator)
            with torch.no_grad():
                then = far_critic(torch.cat([batch.following, far_actor(batch.following).sigmoid()], 1))
                wanted = batch.rewards - baseline + self.constants.discount * then * ~batch.last
            critic_loss = (self.critic(torch.cat([batch.states, batch.shares], 1)) - wanted).square().mean()
            self._step(1, critic_loss)
        actor_loss = -self.critic(torch.cat([batch.states, self.actor(batch.states).sigmoid()], 1)).mean()
        if actor:
            self._step(0, actor_loss)
        for target, online in zip(self.targets, (self.actor, self.critic)):
            target.load_state_dict(self.soft_update(target.state_dict(), online.state_dict(), self.constants.tau))
        return critic_loss.item(), actor_loss.item()

    def _step(self, which: int, loss: Tensor) -> None:
        optimizer, parameters = self.optimizers[which], list((self.actor, self.critic)[which].parameters())
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters)):
            parameter.grad = gradient
        optimizer.step()

    def _modules(self) -> dict[str, nn.Module]:
        return dict(zip(("actor", "critic", "far-actor", "far-critic"), (self.actor, self.critic, *self.targets)))

    def state(self) -> dict[str, Tensor]:
        """Everything that an update changes, by name, as safetensors can hold it."""
        found = {
            f"{name}.{key}": t for name, module in self._modules().items() for key, t in module.state_dict().items()
        }
        for which, optimizer in enumerate(self.optimizers):
            for number, kept in optimizer.state_dict()["state"].items():
                found |= {f"adam.{which}.{number}.{key}": tensor for key, tensor in kept.items()}
        return found

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what ``state`` gave; other tensors are passed over."""
        for name, module in self._modules().items():
            module.load_state_dict({key: tensors[f"{name}.{key}"] for key in module.state_dict()})
        for which, optimizer in enumerate(self.optimizers):
            kept = {}
            for name, tensor in tensors.items():
                if name.startswith(f"adam.{which}."):
                    number, _, key = name.removeprefix(f"adam.{which}.").partition(".")
                    kept.setdefault(int(number), {})[key] = tensor.clone()
            optimizer.load_state_dict(optimizer.state_dict() | {"state": kept})

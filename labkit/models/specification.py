"""What a network is, as data that JSON can hold, and what all families are built with."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace

from torch import Tensor, nn

from labkit.settings import LabError

LARGEST_WIDTH, MOST_BLOCKS, LARGEST_SIZE, MOST_CLASSES = 8192, 256, 1024, 10_000


@dataclass(frozen=True)
class Specification:
    """A network of a ``family``: ``blocks`` in each stage, and the ``widths`` of its channel groups.

    A channel group is what has to be pruned together: one convolution in a VGG, a stage's residual
    stream in a ResNet. Widths are in the order in which the groups' first convolutions stand in the
    network, so ``ChannelPlan.widths`` can take their place.
    """

    family: str
    blocks: tuple[int, ...]
    widths: tuple[int, ...]
    classes: int = 10
    size: int = 32

    def with_widths(self, widths) -> "Specification":
        return replace(self, widths=tuple(widths))

    def to_dict(self) -> dict:
        return asdict(self) | {"blocks": list(self.blocks), "widths": list(self.widths)}

    @classmethod
    def from_dict(cls, content: dict) -> "Specification":
        """Raises ``LabError`` for other keys or values that are no positive whole numbers."""
        try:
            return cls(**content | {key: tuple(content[key]) for key in ("blocks", "widths")}).checked()
        except (TypeError, KeyError) as error:
            raise LabError(f"{content!r} is no specification of a network ({error}).") from None

    def checked(self) -> "Specification":
        ranges = {"blocks": (1, MOST_BLOCKS), "widths": (1, LARGEST_WIDTH)}
        ranges |= {"classes": (1, MOST_CLASSES), "size": (1, LARGEST_SIZE)}
        for name, (low, high) in ranges.items():
            values = getattr(self, name)
            for value in values if isinstance(values, tuple) else (values,):
                if type(value) is not int or not low <= value <= high:
                    raise LabError(f"The specification's {name} holds {value!r}: whole numbers from {low} to {high}.")
        return self

    def check(self, families: dict) -> None:
        """Raises ``LabError`` for a family that is not among ``families`` or a wrong number of widths."""
        self.checked()
        if not isinstance(self.family, str) or self.family not in families:
            raise LabError(f"There is no family {self.family!r}: choose one of {', '.join(families)}.")
        expected = families[self.family].groups(self.blocks)
        if len(self.widths) != expected:
            raise LabError(
                f"A {self.family} of {list(self.blocks)} blocks has {expected} channel groups, but "
                f"{len(self.widths)} widths were given."
            )

    def __str__(self) -> str:
        widths = ", ".join(map(str, self.widths))
        return (
            f"{self.family} {list(self.blocks)}, channels {widths}; {self.classes} classes, {self.size} x {self.size}"
        )


def stages(blocks: Collection[int]):
    """(stage, block) of every block, in order."""
    return [(stage, block) for stage, count in enumerate(blocks) for block in range(count)]


class Chain(nn.Module):
    """A network whose modules run one after the other, in the order in which they were registered, so that
    what stands before a layer can be computed once for many changes behind it."""

    def steps(self) -> list[nn.Module]:
        return [step for child in self.children() for step in (child if type(child) is nn.Sequential else [child])]

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps():
            x = step(x)
        return x


class GlobalPool(nn.Module):
    """(N, C, H, W) -> (N, C): the mean of every map."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))

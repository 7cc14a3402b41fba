"""Affine quantization by hand: a number becomes an integer of few bits, by a scale and a zero point.

Jacob et al., *Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*, CVPR 2018:
r = S (q - Z) in section 2.1, equation 1; training with rounded numbers in section 3.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from labkit import records, training
from labkit.data import Dataset
from labkit.methods import schemas
from labkit.methods.granularity.experiments import inputs_of
from labkit.methods.granularity.masks import prunable
from labkit.methods.learned.base import answers, plain
from labkit.methods.learned.study import METHOD
from labkit.methods.quantization.changed import Changed
from labkit.methods.quantization.networks import called
from labkit.methods.ratios.sensitivity import MADE_FROM, made_from
from labkit.methods.schemas import SHARE
from labkit.records import Record
from labkit.settings import LabError, Settings
from labkit.training.method import Finished

ScaleAndZeroPoint = Callable[[float, float, int], tuple[float, int]]
"""The smallest and the largest number of a range, and the bits -> scale and zero point, an integer from 0 to
2**bits - 1."""
FakeQuantize = Callable[[Tensor, float, int, int], tuple[Tensor, Tensor]]
"""Values of any shape, scale, zero point, bits -> the values after rounding, and the slope of each; both of that
shape."""

ROUNDED, LOW_BITS = "quantization-rounded", "quantization-low-bits"
BITS = tuple(range(8, 1, -1))
WAYS = {
    "per tensor": {"per_channel": False, "symmetric": False},
    "per channel": {"per_channel": True, "symmetric": False},
    "per channel, symmetric": {"per_channel": True, "symmetric": True},
}
"""By name, how the grids of a network's weights are laid."""
EPOCHS, RATE = 1, 0.02  # of the training at low bits
SLOPES = ("straight-through", "true")
TINY = torch.finfo(torch.float32).tiny  # a scale has a reciprocal in float32
PROBED = (-2.0, -0.3, 0.25, 0.4, 9.0)

_NUMBER = schemas.integer(1, 16)
SCHEMAS = {
    ROUNDED: schemas.of_kind(
        ROUNDED,
        MADE_FROM | {"bits": schemas.array(_NUMBER, 16), "probe": schemas.array(schemas.number(-1e6, 1e6), 10)},
        {"float": SHARE} | dict.fromkeys(WAYS, schemas.array(SHARE, 16)),
    ),
    LOW_BITS: schemas.of_training(LOW_BITS, config={"method": METHOD}, results={"bits": _NUMBER, "before": SHARE}),
}


@dataclass(frozen=True)
class Grid:
    """The numbers that ``bits`` bits can say: ``scale`` times (an integer from 0 to 2**bits - 1, minus
    ``zero_point``). ``scale`` is float32 and ``zero_point`` int64, both of shape (), or with one number for each
    channel, (channels, 1, …)."""

    scale: Tensor
    zero_point: Tensor
    bits: int

    def integers(self, values: Tensor) -> Tensor:
        """int32 like ``values``: the nearest integers, of two equally near ones the even one; what lies outside gets
        the first or the last. Multiplied by 1 / scale in float32, as the framework does."""
        return (values * self.scale.reciprocal()).round().add(self.zero_point).clamp(0, 2**self.bits - 1).int()

    def values(self, integers: Tensor) -> Tensor:
        """float32 like ``integers``: the numbers that they stand for (equation 1)."""
        return (integers - self.zero_point) * self.scale

    def nearest(self, values: Tensor) -> Tensor:
        """float32 like ``values``: each rounded to this grid."""
        return self.values(self.integers(values))


def grid(
    values: Tensor,
    bits: int,
    scale_and_zero_point: ScaleAndZeroPoint,
    per_channel: bool = False,
    symmetric: bool = False,
) -> Grid:
    """The grid from the smallest to the largest of ``values``; ``per_channel``: one for each entry of axis 0.
    ``symmetric``: from -m to m, m the largest magnitude, with zero in the middle: its scale is that of 0 to m in one
    bit less, and one of the 2**bits integers stays unused. The framework's observers compute in float32, with a smallest
    scale of 1.2e-7: apart from ranges so short, their zero points are these, and their scales up to the last digit.

    Raises ``LabError`` for values that are none or not finite, bits outside 1 to 16 (2 to 16 for a symmetric grid),
    and an answer of the function that is no scale with a zero point.
    """
    if not 1 + symmetric <= bits <= 16:
        raise LabError(f"A grid of {bits} bits cannot be made: give a whole number from {1 + symmetric} to 16.")
    if not values.numel() or not values.isfinite().all():
        raise LabError(f"Of values of shape {tuple(values.shape)} some are missing or not finite: give finite numbers.")
    rows = values.detach().flatten(1) if per_channel else values.detach().reshape(1, -1)
    ranges = zip(rows.amin(1).tolist(), rows.amax(1).tolist())
    if symmetric:
        scales = [asked(scale_and_zero_point, 0.0, max(-low, high), bits - 1)[0] for low, high in ranges]
        found = [(scale, 2 ** (bits - 1)) for scale in scales]
    else:
        found = [asked(scale_and_zero_point, low, high, bits) for low, high in ranges]
    shape = [len(rows), *[1] * (values.dim() - 1)] if per_channel else []
    scales, zeros = (torch.tensor(numbers, device=values.device).view(shape) for numbers in zip(*found))
    return Grid(scales.float(), zeros, bits)


def asked(scale_and_zero_point: ScaleAndZeroPoint, low: float, high: float, bits: int) -> tuple[float, int]:
    """The function's answer. Raises ``LabError`` where no grid can be laid with it."""
    answer = scale_and_zero_point(low, high, bits)
    try:
        scale, zero_point = answer
        fits = TINY <= float(scale) < math.inf and int(zero_point) == zero_point and 0 <= zero_point < 2**bits
    except (TypeError, ValueError, OverflowError):  # an infinite zero point
        fits = False
    if not fits:
        raise LabError(
            f"scale_and_zero_point gave {answer!r} for the range {low:g} to {high:g} and {bits} bits: return a scale above "
            f"0 and a whole number from 0 to {2**bits - 1}."
        )
    return float(scale), int(zero_point)


@torch.no_grad()
def in_bits(
    model: nn.Module,
    bits: int,
    scale_and_zero_point: ScaleAndZeroPoint,
    per_channel: bool = False,
    symmetric: bool = False,
) -> nn.Module:
    """A copy of ``model`` in which each convolution's and each linear layer's weight is rounded to a grid of its own.
    Biases and batch normalization stay as they are. Raises ``LabError`` as ``grid`` does."""
    model = copy.deepcopy(model)
    for layer in prunable(model).values():
        lines = grid(layer.weight, bits, scale_and_zero_point, per_channel, symmetric)
        layer.weight.copy_(lines.nearest(layer.weight))
    return model


def channel_errors(weight: Tensor, bits: int, scale_and_zero_point: ScaleAndZeroPoint) -> dict[str, Tensor]:
    """How far rounding moves each channel of a weight (channels, …), float (channels,): the root mean square of the
    error divided by that of the channel's weights, with one grid for the tensor and with one for each channel."""
    rows = weight.detach().flatten(1)
    ways = {name: way for name, way in WAYS.items() if not way["symmetric"]}
    rounded = {name: grid(rows, bits, scale_and_zero_point, **way).nearest(rows) for name, way in ways.items()}
    return {name: (moved - rows).norm(dim=1) / rows.norm(dim=1) for name, moved in rounded.items()}


def activations(model: nn.Module, layer: str, images: Tensor) -> Tensor:
    """What the convolution or linear layer ``layer`` gets when the network sees normalised ``images`` (N, 3, h, w): for
    all convolutions but the first it comes out of a ReLU."""
    return inputs_of(copy.deepcopy(model).cpu(), layer, images.cpu())


def round_weights(run: Record, here: Settings, data: Dataset, scale_and_zero_point: ScaleAndZeroPoint) -> Record:
    """The validation accuracy of a trained run with weights of ``BITS`` bits, for each of ``WAYS``; nothing is trained.
    Made once, in the folder ``rounded-`` and the network's name."""
    probe = [number for span in ((-1.0, 3.0), (0.0, 0.0)) for number in asked(scale_and_zero_point, *span, 4)]
    config = made_from(run, data) | {"bits": list(BITS), "probe": [round(float(number), 6) for number in probe]}
    folder = here.folder / f"rounded-{called(run)}"

    def rounded() -> Record:
        model, results = run.model(), {"float": run.results["validation_accuracy"]}
        for name, way in WAYS.items():
            networks = (in_bits(model, bits, scale_and_zero_point, **way) for bits in BITS)
            results[name] = [training.evaluate(network, data.validation) for network in networks]
        return records.save(Record(ROUNDED, config, run.network, results=results).with_folder(folder))

    return records.run_once(folder, config, rounded)


class _Straight(torch.autograd.Function):
    """What ``fake_quantize`` says, forward its first tensor and backward its second."""

    @staticmethod
    def forward(ctx, values: Tensor, fake_quantize: FakeQuantize, scale: float, zero_point: int, bits: int) -> Tensor:
        rounded, slope = fake_quantize(values, scale, zero_point, bits)
        ctx.save_for_backward(slope)
        return rounded

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor, None, None, None, None]:
        (slope,) = ctx.saved_tensors
        return upstream * slope, None, None, None, None


class _Rounding(nn.Module):
    """Stands in front of a layer's weight."""

    def __init__(self, fake_quantize: FakeQuantize, bits: int):
        super().__init__()
        self.fake_quantize, self.bits = fake_quantize, bits
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.int64))

    def forward(self, weights: Tensor) -> Tensor:
        return _Straight.apply(weights, self.fake_quantize, self.scale.item(), self.zero_point.item(), self.bits)


@dataclass(frozen=True)
class StraightThrough(Changed):
    """Trains with weights of ``bits`` bits: every convolution and linear layer computes with rounded weights, and the
    gradient goes to those behind them, times the slope that ``fake_quantize`` says (Jacob et al., section 3; Bengio et
    al., 2013, *Estimating or Propagating Gradients Through Stochastic Neurons*). One grid a layer, laid from its
    smallest to its largest weight at the start of each epoch. ``slope`` is one of ``SLOPES``; with the true one, 0,
    only biases and batch normalization learn: the control."""

    scale_and_zero_point: ScaleAndZeroPoint
    fake_quantize: FakeQuantize
    bits: int
    slope: str = SLOPES[0]
    name: ClassVar[str] = "straight-through"

    def probe(self) -> list[float]:
        values = torch.tensor(PROBED)
        said = answers(self.fake_quantize, values, 0.5, 3, 3, like=[values, values])
        return [*map(float, asked(self.scale_and_zero_point, -1.0, 3.0, 4)), *said]

    def attach(self, model: nn.Module, seed: int) -> None:
        super().attach(model, seed)
        for layer in prunable(model).values():
            parametrize.register_parametrization(layer, "weight", _Rounding(self.fake_quantize, self.bits), unsafe=True)
            layer.parametrizations.weight.original.requires_grad_(self.slope == SLOPES[0])

    @torch.no_grad()
    def begin_epoch(self, model: nn.Module, number: int, epochs: int, data: Dataset) -> bool:
        for layer in prunable(model).values():
            weights = layer.parametrizations.weight
            lines = grid(weights.original, self.bits, self.scale_and_zero_point)
            weights[0].scale.copy_(lines.scale)
            weights[0].zero_point.copy_(lines.zero_point)
        return super().begin_epoch(model, number, epochs, data)

    def finish(self, model: nn.Module, rates: list[float]) -> Finished:
        return Finished(plain(model), results={"bits": self.bits} | self.before(model))


def train_in_bits(
    run: Record,
    here: Settings,
    data: Dataset,
    scale_and_zero_point: ScaleAndZeroPoint,
    fake_quantize: FakeQuantize,
    bits: int = 2,
    flat: bool = False,
    watch=None,
) -> Record:
    """``run`` trained for ``EPOCHS`` epochs with weights of ``bits`` bits; its results have the accuracy ``before``, of
    the rounded weights as they were. ``flat``: the control, whose weights stay as they are. Made once, in a folder such
    as ``low-bits-thin-2`` or ``low-bits-thin-2-flat``. Raises ``LabError`` for bits
    outside 1 to 16 and for answers of the two functions that nothing can be trained with."""
    name = f"low-bits-{called(run)}-{bits}" + "-flat" * flat
    facts = {"folder": here.folder / name, "kind": LOW_BITS, "seed": here.seed}
    method = StraightThrough(scale_and_zero_point, fake_quantize, bits, SLOPES[flat])
    recipe = replace(here.profile.fine_tune, epochs=EPOCHS, learning_rate=RATE)
    return training.fit(run.model(), data, recipe, parent=run.name, method=method, watch=watch, **facts)

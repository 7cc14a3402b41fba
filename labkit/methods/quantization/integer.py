"""Integers by the framework: PT2E (``torchao.quantization.pt2e``) with its quantizer for x86 processors.

``graph`` -> ``prepared`` -> ``calibrated`` -> ``converted`` -> ``lowered``: the network as a graph; with observers in it;
after they have seen images; with quantize and dequantize nodes around every layer, which still computes in float32;
with those nodes and the layers between them merged into integer kernels. ``trainable`` -> ``tuned`` take the place of the
second and the third step where the network is trained on under quantization.

Activations are uint8, affine, with a scale and a zero point a tensor: Jacob et al., *Quantization and Training of Neural
Networks for Efficient Integer-Arithmetic-Only Inference*, CVPR 2018, section 2.1. Weights, which that paper treats alike,
are int8, symmetric, with a scale a filter: Krishnamoorthi, *Quantizing Deep Convolutional Networks for Efficient Inference:
A Whitepaper*, 2018, sections 2.2 and 3.1.

torchao takes seconds to import, so it is imported where it is used.
"""

import copy
import logging
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from labkit import models
from labkit.data import Images, augmented_batches, batches
from labkit.settings import LabError, Recipe
from labkit.training import learning_rates

CalibrationRange = Callable[[Tensor], tuple[float, float]]
"""Observed values, float32 (n,), -> the range that is kept of them."""

BITS = 8  # of an activation
WEIGHT_BITS = 7  # two products of u8 and s7 fit into 16 bits on every processor; of u8 and s8 they do not
IMAGES = 256  # training images that a calibration sees
AT_ONCE = 64  # of them
OBSERVED = 200_000  # values of one batch that ``RangeObserver`` keeps, evenly spaced
EPSILON = 2**-12  # the smallest scale, as the framework has it
ENGINE = "onednn"  # torch's integer kernels
TUNE = Recipe(epochs=1, batch=50, learning_rate=0.001, schedule="linear")


@contextmanager
def _quiet():
    """Without what torchao says while it is imported and what torch says of it, neither of which is about us."""
    loggers = [logging.getLogger(name) for name in ("torch.utils._pytree", "torchao")]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="torchao|torch.fx|torch.export|torch._export|torch.nn")
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def folded(network: nn.Module) -> nn.Module:
    """A copy of ``network`` on the CPU in evaluation mode whose batch normalizations are part of their convolutions
    (Jacob et al., 2018, section 3.2, equation 14): the same outputs from fewer layers."""
    network = copy.deepcopy(network).to("cpu", memory_format=torch.contiguous_format).eval()
    names = {id(module): name for name, module in network.named_modules()}
    for convolution, norm in models.convolutions(network).values():
        network.set_submodule(names[id(convolution)], fuse_conv_bn_eval(convolution, norm).requires_grad_())
        network.set_submodule(names[id(norm)], nn.Identity())
    return network


def graph(network: nn.Module) -> GraphModule:
    """``network``, ``folded``, as a graph that takes any number of images, float32 (N, 3, size, size). The export is the
    strict one: with torch 2.11 the other one gives a graph in which the quantizer recognises nothing, and nobody says
    so. Folding comes first, because PT2E's own, while it trains and when it converts, exports a hundred patterns one
    by one to look for them: a minute instead of a second."""
    example = torch.zeros(2, 3, *[models.image_size(network)] * 2)
    any_number = ({0: torch.export.Dim.AUTO},)
    with _quiet():
        return torch.export.export(folded(network), (example,), dynamic_shapes=any_number, strict=True).module()


def prepared(
    of: GraphModule,
    calibration: str | CalibrationRange = "histogram",
    bits: int = BITS,
    weight_bits: int = WEIGHT_BITS,
) -> GraphModule:
    """A copy of a ``graph`` with an observer behind every layer. ``calibration`` says how the observer chooses the range
    that ``bits`` bits will cover: ``"histogram"`` (the framework's default: the range of least squared error),
    ``"min-max"``, or a function of the values that it saw. Weights are rounded to ``weight_bits`` bits and kept in eight:
    a processor without VNNI adds two products of uint8 and int8 in 16 bits, which saturate, and with 7 bits they cannot.
    Raises ``LabError`` for a calibration of another name and for bits outside 2..8."""
    with _quiet():
        from torchao.quantization.pt2e import observer
        from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

        ways = {"histogram": observer.HistogramObserver, "min-max": observer.MinMaxObserver}
        if not callable(calibration) and calibration not in ways:
            raise LabError(
                f"There is no calibration {calibration!r}: choose one of {', '.join(ways)}, or give a function of the "
                "observed values."
            )
        chosen = range_observer(calibration) if callable(calibration) else ways[calibration]
        return prepare_pt2e(copy.deepcopy(of), _quantizer(bits, weight_bits, observer=chosen))


def prepared_for_dynamic(of: GraphModule, weight_bits: int = WEIGHT_BITS) -> GraphModule:
    """A copy of a ``graph`` of which only the linear layers will be quantized, the scale of their inputs taken anew
    from every batch: dynamic quantization needs no calibration, and the path has it for no convolution (asked for all
    layers, it fails at a convolution when it converts)."""
    with _quiet():
        from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

        observed = prepare_pt2e(copy.deepcopy(of), _quantizer(BITS, weight_bits, is_dynamic=True))
    return calibrated(observed, torch.zeros(1, 3, *[image_size(of)] * 2))  # weights are seen when an image passes


def trainable(of: GraphModule, bits: int = BITS, weight_bits: int = WEIGHT_BITS) -> GraphModule:
    """A copy of a ``graph`` in which weights and activations are rounded as integers would be, with straight-through
    gradients, and the ranges follow the activations: what quantization-aware training trains (Jacob et al., 2018,
    section 3). Batch normalization is folded already: its statistics stay as they were."""
    with _quiet():
        from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

        return prepare_qat_pt2e(copy.deepcopy(of), _quantizer(bits, weight_bits, is_qat=True))


def _quantizer(bits: int, weight_bits: int, observer=None, **options):
    """The framework's quantizer with its default configuration, but for the bits and the observer of activations."""
    from torchao.quantization.pt2e.fake_quantize import FakeQuantize
    from torchao.quantization.pt2e.observer import MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    for count in (bits, weight_bits):
        if count not in range(2, 9):
            raise LabError(f"{count!r} bits cannot be kept in a byte: give a whole number from 2 to 8.")
    default = x86.get_default_x86_inductor_quantization_config(**options)
    half = 2 ** (weight_bits - 1)
    of_activations, of_weights = {"quant_max": 2**bits - 1}, {"quant_min": -half, "quant_max": half - 1}
    if observer is not None:
        of_activations["observer_or_fake_quant_ctr"] = observer.with_args(eps=EPSILON)
    if default.is_qat:  # the default's fused ones train with another scale than conversion then takes
        moving = (MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver)
        for settings, kind in zip((of_activations, of_weights), moving):
            settings["observer_or_fake_quant_ctr"] = FakeQuantize.with_args(observer=kind, eps=EPSILON)
    activation, weight = replace(default.input_activation, **of_activations), replace(default.weight, **of_weights)
    chosen = replace(default, input_activation=activation, output_activation=activation, weight=weight)
    quantizer = x86.X86InductorQuantizer()
    if chosen.input_activation.is_dynamic:
        return quantizer.set_function_type_qconfig(F.linear, chosen)
    return quantizer.set_global(chosen)


def range_observer(calibration_range: CalibrationRange):
    """An observer class for PT2E whose range is what ``calibration_range`` says of the values that it saw, float32
    (n,), of each batch ``OBSERVED`` at most."""
    from torchao.quantization.pt2e.observer import UniformQuantizationObserverBase

    class RangeObserver(UniformQuantizationObserverBase):
        def __init__(self, **options):
            super().__init__(**options)
            self.values = []

        def forward(self, x: Tensor) -> Tensor:
            values = x.detach().flatten()
            self.values.append(values[:: -(-len(values) // OBSERVED)].clone())
            return x

        def calculate_qparams(self):
            if not self.values:
                raise LabError(_NO_IMAGES)
            low, high = calibration_range(torch.cat(self.values))
            return self._calculate_qparams(torch.tensor(float(low)), torch.tensor(float(high)))

    return RangeObserver


_NO_IMAGES = "The calibration saw no images, so no range is known: give at least one batch of training images."


@torch.no_grad()
def calibrated(observed: GraphModule, images: Tensor) -> GraphModule:
    """``observed``, whose observers have now seen ``images`` too: float32 (N, 3, size, size), normalised as for
    training. Raises ``LabError`` where there are none."""
    if not len(images):
        raise LabError(_NO_IMAGES)
    for batch in images.cpu().split(AT_ONCE):
        observed(batch.contiguous())
    return observed


def tuned(trained: GraphModule, images: Images, recipe: Recipe = TUNE, seed: int = 0) -> GraphModule:
    """A ``trainable`` network, trained on ``images`` in place by ``recipe``, on the CPU in float32."""
    from torchao.quantization.pt2e import move_exported_model_to_eval, move_exported_model_to_train

    images, rates = images.to("cpu"), iter(learning_rates(recipe, len(images)))
    optimizer = torch.optim.SGD(
        trained.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
    )
    move_exported_model_to_train(trained)
    for epoch in range(recipe.epochs):
        for (x, y), rate in zip(augmented_batches(images, recipe.batch, seed + epoch), rates):
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            F.cross_entropy(trained(x.contiguous()), y).backward()
            optimizer.step()
    return move_exported_model_to_eval(trained)


def converted(observed: GraphModule) -> GraphModule:
    """A copy of a calibrated or tuned network with its ranges fixed: weights as integers, and quantize and dequantize
    nodes around every layer. Raises ``LabError`` where no images were seen, and where nothing was quantized."""
    with _quiet(), warnings.catch_warnings():
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

        warnings.filterwarnings("error", message="must run observer")
        network = copy.deepcopy(observed)
        for node in network.graph.nodes:  # a copy's annotations still point at the nodes of the original
            node.meta.pop("quantization_annotation", None)
        try:
            network = convert_pt2e(network)
        except UserWarning:
            raise LabError(_NO_IMAGES) from None
    if not any(quantize_nodes(network).values()):
        raise LabError(
            f"The quantizer recognised none of the network's {len(network.graph.nodes)} nodes: give a graph with "
            "convolutions or linear layers, from labkit's graph()."
        )
    return network


def quantize_nodes(network: GraphModule) -> dict[str, int]:
    """How many nodes of a graph quantize and how many dequantize: weights are stored quantized, so only the second has
    them."""
    names = [
        str(node.target).rpartition("::")[2].split(".")[-2] if _is_quantize(node) else ""
        for node in network.graph.nodes
    ]
    return {word: sum(name.startswith(word) for name in names) for word in ("quantize", "dequantize")}


def _is_quantize(node: Node) -> bool:
    return node.op == "call_function" and "quantized_decomposed" in str(node.target)


def ranges(observed: GraphModule) -> dict[str, tuple[float, float]]:
    """What each activation of a calibrated network can be after quantization, lowest and highest, by the layer that
    it comes out of; ``image`` is the input."""
    found = {}
    for label, node in observers(observed).items():
        watch = observed.get_submodule(node.target)
        scale, zero_point = (float(value) for value in watch.calculate_qparams())
        found[label] = tuple(scale * (end - zero_point) for end in (watch.quant_min, watch.quant_max))
    return found


def observers(observed: GraphModule) -> dict[str, Node]:
    """The node of the last observer of each activation, by the layer that the activation comes out of."""
    found = {}
    for node in observed.graph.nodes:
        if (
            node.op == "call_module"
            and getattr(observed.get_submodule(node.target), "qscheme", None) == torch.per_tensor_affine
        ):
            source = node.args[0]
            while not (layer := _layer(source)) and source.op != "placeholder":
                source = source.args[0]
            found[layer or "image"] = node
    return found


def _layer(node: Node) -> str | None:
    """The name of the convolution or linear layer that a node computes, if it does."""
    if not any(kind in str(node.target) for kind in ("aten.conv", "aten.linear")):
        return None
    weight = node.args[1]
    while weight.op != "get_attr":  # it passes through an observer, and while training through its scaling factor
        weight = weight.all_input_nodes[0]
    return weight.target.removesuffix(".weight").rpartition(".")[2]


def lowered(network: GraphModule, images: int) -> GraphModule:
    """A ``converted`` network of torch's integer kernels, for batches of exactly ``images`` images; no compiler is
    needed. It cannot be saved. The graph is traced again and its patterns are searched, which takes seconds. Raises
    ``LabError`` where torch was built without those kernels."""
    if not has_kernels():
        engines = ", ".join(torch.backends.quantized.supported_engines)
        raise LabError(
            f"torch has no {ENGINE} integer kernels here (only {engines}): use the converted network, or the exported file."
        )
    example = torch.zeros(images, 3, *[image_size(network)] * 2)
    with _quiet():
        from torchao.quantization.pt2e.lowering import lower_pt2e_quantized_to_x86

        return lower_pt2e_quantized_to_x86(copy.deepcopy(network), (example,))


def has_kernels() -> bool:
    """Whether ``lowered`` can be called here: torch was built with integer kernels for x86 processors, and this is one
    with AVX2."""
    return ENGINE in torch.backends.quantized.supported_engines and torch.backends.cpu.get_cpu_capability().startswith(
        "AVX"
    )


def image_size(network: GraphModule) -> int:
    """Pixels along each side of the images that a graph takes."""
    return next(node for node in network.graph.nodes if node.op == "placeholder").meta["val"].shape[-1]


@torch.inference_mode()
def accuracy(network: Callable[[Tensor], Tensor], images: Images, batch: int = 200) -> float:
    """Accuracy in 0..1 on the CPU of whatever gives logits (N, classes) for images float32 (N, 3, size, size)."""
    images = images.to("cpu")
    right = sum(int((network(x.contiguous()).argmax(1) == y).sum()) for x, y in batches(images, batch))
    return right / len(images)

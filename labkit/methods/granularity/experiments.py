"""What is measured on the trained networks: accuracy over the ratio, and time over the ratio."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from labkit import measure, models, records
from labkit.data import Dataset
from labkit.methods.granularity.execution import latencies, sparse, thin_specification
from labkit.methods.granularity.masks import METHODS, apply, network_masks, pattern_masks, prunable
from labkit.methods.granularity.work import (
    BATCH,
    METHODS_RATIOS,
    RUNS,
    SPARSITY,
    THREADS,
    TIMED,
    TIMING,
)
from labkit.models import Specification
from labkit.records import Record
from labkit.training import RECALIBRATION_IMAGES, accuracy, evaluate, recalibrate

LEVELS = tuple(k / 200 for k in range(1, 200, 4))  # shares at which the distribution of magnitudes is kept


def relative_magnitudes(model: nn.Module) -> Tensor:
    """|w| of every prunable weight, divided by the root mean square of its layer, float (weights,). The layers'
    own sizes say nothing: the batch normalization behind a convolution takes them out again."""
    weights = (layer.weight.detach() for layer in prunable(model).values())
    return torch.cat([(w.abs() / w.square().mean().sqrt()).flatten() for w in weights])


def removed(model: nn.Module, masks: dict[str, Tensor]) -> float:
    """The share of Σw² that masks take away, as the mean over the layers, 0..1."""
    weights = {name: layer.weight.detach() for name, layer in prunable(model).items()}
    return float(
        np.mean([float((weights[n] * ~stays).square().sum() / weights[n].square().sum()) for n, stays in masks.items()])
    )


def sparsity_run(run: Record, data: Dataset, folder: Path) -> Record:
    """Validation accuracy of a trained run at every ratio, **not retrained**, for each of ``METHODS``; what the
    global ranking takes away; accuracy after 2:4; the distribution of its weights. Made once."""
    ratios = {name: list(METHODS_RATIOS[name]) for name in METHODS}
    config = {
        "parent": run.name,
        "parent_config": records.identity(run),
        "parent_network": run.network,
        "lambda": run.config["lambda"],
        "seed": run.config["seed"],
        "data": data.describe(),
        "ratios": ratios,
    }

    def sweep() -> Record:
        model = run.model()
        scan = run.model().to(data.validation.labels.device)
        weights = {name: layer.weight.detach().clone() for name, layer in prunable(scan).items()}

        def after(masks: dict[str, Tensor]) -> float:
            with torch.no_grad():
                for name, layer in prunable(scan).items():
                    layer.weight.copy_(weights[name])
                    if name in masks:
                        layer.weight.mul_(masks[name].to(layer.weight.device))
            return accuracy(scan, data.validation)

        chosen = {name: [network_masks(model, name, r, run.config["seed"]) for r in ratios[name]] for name in METHODS}
        magnitudes = relative_magnitudes(model).sort().values
        two_four = after(pattern_masks(model))
        re_estimated = recalibrate(scan, data.train[:RECALIBRATION_IMAGES])  # its masks are still on
        results = {
            "learning_rate": run.config["recipe"]["learning_rate"],
            "weights": len(magnitudes),
            "test_accuracy": evaluate(model, data.test),
            "validation": {name: [after(masks) for masks in chosen[name]] for name in METHODS},
            "removed": [removed(model, masks) for masks in chosen["global"]],
            "two_four": two_four,
            "two_four_recalibrated": accuracy(re_estimated, data.validation),
            "magnitudes": [float(magnitudes[int(level * len(magnitudes))]) for level in LEVELS],
        }
        return records.save(Record(SPARSITY, config, run.network, results=results).with_folder(folder))

    return records.run_once(folder, config, sweep)


def timing_run(network: Specification, data: Dataset, seed: int, folder: Path) -> Record:
    """Inference time on the CPU by ratio: of ``network`` with masks, of thin networks with as many weights left,
    and of the masked ones with torch's CSR format. Weights and masks are random: times do not depend on which weights
    are zero. Made once."""
    timed = {"timed": {way: list(ratios) for way, ratios in TIMED.items()}, "batch": BATCH, "runs": RUNS}
    config = {"lambda": 0.0, "seed": seed, "data": data.describe()} | timed

    def measured() -> Record:
        def masked(ratio: float) -> nn.Module:
            model, generator = models.build(network, seed), torch.Generator().manual_seed(seed)
            shapes = {name: layer.weight.shape for name, layer in prunable(model).items()}
            return apply(model, {name: torch.rand(size, generator=generator) >= ratio for name, size in shapes.items()})

        thin = [models.build(thin_specification(network, ratio), seed) for ratio in TIMED["thin"]]
        dense = latencies([*map(masked, TIMED["masked"]), *thin], BATCH, RUNS, THREADS)
        csr = latencies([sparse(masked(ratio)) for ratio in TIMED["sparse"]], BATCH, RUNS // 5, THREADS)
        weights = measure.parameters(models.build(network))
        results = {
            "masked": _rows(TIMED["masked"], [weights] * len(TIMED["masked"]), dense),
            "thin": _rows(TIMED["thin"], map(measure.parameters, thin), dense[len(TIMED["masked"]) :]),
            "sparse": _rows(TIMED["sparse"], [round((1 - r) * weights) for r in TIMED["sparse"]], csr),
        }
        return records.save(Record(TIMING, config, network.to_dict(), results=results).with_folder(folder))

    return records.run_once(folder, config, measured)


def _rows(ratios, parameters, times) -> list[dict]:
    rows = zip(ratios, parameters, times)
    return [{"ratio": r, "parameters": count, "latency_ms": time.to_dict()} for r, count, time in rows]


@torch.inference_mode()
def inputs_of(model: nn.Module, layer: str, images: Tensor) -> Tensor:
    """What the layer ``layer`` of ``model`` gets when the network sees normalised ``images`` (N, 3, h, w)."""
    caught = []
    hook = model.get_submodule(layer).register_forward_pre_hook(lambda module, given: caught.append(given[0]))
    try:
        model.eval()(images)
    finally:
        hook.remove()
    return caught[0]


@torch.inference_mode()
def output_error(convolution: nn.Conv2d, stays: Tensor, inputs: Tensor) -> float:
    """How far the layer's output moves when only the weights ``stays`` are left: ‖y' − y‖ / ‖y‖ on real inputs."""
    settings = {name: getattr(convolution, name) for name in ("stride", "padding", "dilation", "groups")}
    y = torch.nn.functional.conv2d(inputs, convolution.weight, **settings)
    moved = torch.nn.functional.conv2d(inputs, convolution.weight * ~stays, **settings)
    return float(moved.norm() / y.norm())

"""Accuracy, and BatchNorm statistics estimated again."""

import copy

import torch
from torch import nn

from labkit.data import Images, augmented_batches, batches
from labkit.hardware import mixed_precision
from labkit.training.convolution import fast_convolutions


def evaluate(model: nn.Module, images: Images, batch: int = 500) -> float:
    """Accuracy in 0..1 on ``images``, in the device's fast precision. ``model`` stays as it is."""
    model = copy.deepcopy(model).to(images.labels.device, memory_format=torch.channels_last).eval()
    return accuracy(model, images, batch)


@torch.inference_mode()
def accuracy(model: nn.Module, images: Images, batch: int = 500) -> float:
    """``evaluate`` for a network that is on the images' device and in evaluation mode already: no copy."""
    device = images.labels.device
    correct = torch.zeros((), dtype=torch.int64, device=device)
    with mixed_precision(device), fast_convolutions(model):
        for x, y in batches(images, batch):
            correct += (model(x).argmax(1) == y).sum()
    return int(correct) / len(images)


RECALIBRATION_IMAGES = 1000  # what batch normalization is estimated on, wherever the course does it


@torch.no_grad()
def recalibrate(model: nn.Module, images: Images, seed: int = 0, batch: int = 100) -> nn.Module:
    """A copy of ``model`` whose BatchNorm running statistics are the averages over one pass of
    (augmented) training ``images``. No weight changes."""
    device = images.labels.device
    model = copy.deepcopy(model).to(device, memory_format=torch.channels_last).train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all batches instead of a running one
    with mixed_precision(device), fast_convolutions(model):
        for x, _ in augmented_batches(images, batch, seed):
            model(x)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    return model.eval()

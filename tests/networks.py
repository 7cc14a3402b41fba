"""Networks of every family and some that the project did not write, shaken so that every channel matters."""

import math
import random

import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.models import mobilenet_v3_small, resnet, shufflenet_v2_x0_5, squeezenet1_1

from labkit import models
from labkit.pruning import ChannelPlan, channel_groups

OWN = {  # by name: width multiplier and image size, at which VGG and ResNet end in maps of 2 x 2
    "vgg11": (0.1, 32),
    "vgg19": (0.1, 32),
    "resnet18": (0.1, 16),
    "mobilenetv2": (0.1, 16),
}


def sized(model, size):
    model.size = size
    return model


class Flattened(nn.Module):
    """A linear layer that reads every pixel of the last maps: a channel is 16 of its inputs."""

    size = 8

    def __init__(self):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.norm2 = nn.Conv2d(6, 7, 3, padding=1), nn.BatchNorm2d(7)
        self.classifier = nn.Linear(7 * 16, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(x))), 2)
        return self.classifier(F.relu(self.norm2(self.conv2(x))).flatten(1))


def dense_net():
    return torchvision.models.DenseNet(
        growth_rate=4, block_config=(2, 2), num_init_features=8, bn_size=2, num_classes=10
    )


FOREIGN = {
    "torchvision resnet18": lambda: sized(resnet.resnet18(num_classes=10), 64),
    "torchvision squeezenet1_1": lambda: sized(squeezenet1_1(num_classes=10), 48),
    "torchvision mobilenet_v3_small": lambda: sized(mobilenet_v3_small(num_classes=10), 32),
    "torchvision DenseNet": lambda: sized(dense_net(), 32),
    "flattened": Flattened,
}


def specification(name):
    width, size = OWN[name]
    return models.named(name, width, size=size)


def own(name, seed=0):
    return shaken(models.build(specification(name), seed), seed)


def foreign(name, seed=0):
    torch.manual_seed(seed)
    return shaken(FOREIGN[name](), seed)


def shufflenet():
    return sized(shufflenet_v2_x0_5(num_classes=10), 32)


@torch.no_grad()
def shaken(model, seed=0):
    """``model`` in evaluation mode, its norms' γ and β random and their statistics near those of random images,
    so that the signal neither vanishes nor explodes."""
    generator = torch.Generator().manual_seed(seed)
    norms = models.norms(model).values()
    for norm in norms:
        norm.weight.uniform_(0.5, 1.5, generator=generator)
        norm.weight[torch.rand(len(norm.weight), generator=generator) < 0.3] *= -1
        norm.bias.normal_(0.3, 0.3, generator=generator)  # narrow layers stay alive
        norm.momentum = 1.0
    for module in model.modules():
        if isinstance(module, nn.Linear) or isinstance(module, nn.Conv2d) and module.bias is not None:  # no norm behind
            module.weight.normal_(0, math.sqrt(2 / module.weight[0].numel()), generator=generator)
            module.bias.normal_(0, 0.1, generator=generator)
    model.train()(images_for(model, 16, seed))
    for norm in norms:
        norm.momentum = 0.1
        norm.running_mean += 0.3 * norm.running_var.sqrt() * torch.randn(len(norm.weight), generator=generator)
        norm.running_var *= 0.5 + 1.5 * torch.rand(len(norm.weight), generator=generator)
    return model.eval()


def images_for(model, count, seed=0):
    """Noise, of another colour and contrast in every image, so that no mean over the map makes all alike."""
    size, generator = models.image_size(model), torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 3, size, size, generator=generator)
    return noise * torch.rand(count, 1, 1, 1, generator=generator) + torch.randn(count, 3, 1, 1, generator=generator)


def random_plan(model, seed, fewest=1, share=None):
    """Any channels of any group, ``fewest`` at least; ``share`` of the groups stay whole."""
    chance, kept, total = random.Random(seed), {}, {}
    for name, group in channel_groups(model).items():
        count = chance.randint(min(fewest, group.width), group.width)
        if share and chance.random() < share:
            count = group.width
        kept[name], total[name] = tuple(sorted(chance.sample(range(group.width), count))), group.width
    return ChannelPlan(kept, total, requested=0.5)

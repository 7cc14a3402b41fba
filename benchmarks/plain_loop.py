"""Training and evaluation as they are usually taught, to compare with: float32, NCHW, one image at a time
through torchvision's transforms in a DataLoader with one worker, the penalty added layer by layer."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from labkit.data import Images
from labkit.settings import Recipe

AUGMENTATION = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
TO_INPUT = [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]


class ImageList(TorchDataset):
    """Labelled images as the usual loop reads them."""

    def __init__(self, images: Images, changes: list):
        self.images = images
        self.transform = transforms.Compose([transforms.ToPILImage(), *changes, *TO_INPUT])

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(self.images.pixels[index].numpy()), int(self.images.labels[index])


def steps(model: nn.Module, images: Images, recipe: Recipe, lam: float, device: torch.device):
    """Train ``model`` on ``images``, one ``yield`` after each step."""
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
    )
    model.to(device).train()
    for x, y in DataLoader(ImageList(images, AUGMENTATION), recipe.batch, shuffle=True, num_workers=1):
        x, y = x.to(device), y.to(device)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.grad.add_(lam * torch.sign(module.weight.detach()))
        optimizer.step()
        loss.item()  # the usual loop prints it
        yield


@torch.no_grad()
def evaluate(model: nn.Module, images: Images, batch: int, device: torch.device) -> float:
    """Accuracy in 0..1 on ``images``."""
    model.to(device).eval()
    correct = 0
    for x, y in DataLoader(ImageList(images, []), batch, num_workers=1):
        correct += (model(x.to(device)).argmax(1).cpu() == y).sum().item()
    return correct / len(images)

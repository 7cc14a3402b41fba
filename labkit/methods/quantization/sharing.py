"""Weight sharing: each weight of a layer is one of a few numbers, and a file holds which.

Han, Mao and Dally, *Deep Compression: Compressing Deep Neural Networks with Pruning, Trained Quantization and Huffman
Coding*, ICLR 2016, section 3.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from labkit import files, training
from labkit.data import Dataset
from labkit.methods import schemas
from labkit.methods.granularity.masks import prunable
from labkit.methods.learned.base import FLOAT, plain
from labkit.methods.learned.study import METHOD
from labkit.methods.quantization.changed import Changed
from labkit.methods.quantization.huffman import code_lengths, encode
from labkit.methods.quantization.networks import called
from labkit.methods.schemas import COUNT, SHARE
from labkit.records import Record
from labkit.settings import LabError, Settings
from labkit.training.method import Finished

KMeansStep = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Weights, float (n,), and a codebook, float (clusters,) -> the index of each weight's centre, int64 (n,), and the
codebook after the step."""

SHARED = "quantization-shared"
STEPS = 30  # of k-means at most
PATIENCE = 0.5  # seconds for a step; one that computes all weights of a layer at once takes a hundredth of it
EPOCHS, RATE = 1, 0.02  # of the training of a codebook
FACTOR = 0.01  # of that rate for codebooks: their gradients are sums over all weights that share an entry
PROBE = (-1.0, -0.75, 0.1, 0.3, 2.0), (-1.0, 0.0, 1.0, 5.0)

PARTS = ("indices", "codebooks", "others")
SCHEMAS = {
    SHARED: schemas.of_training(
        SHARED,
        config={"method": METHOD},
        results={"bits": schemas.integer(1, 16), "before": SHARE, "coded": COUNT}
        | {"bytes": schemas.record(dict.fromkeys(PARTS, COUNT))},
    )
}


@dataclass(frozen=True)
class Shared:
    """A layer's weights: ``codebook`` float32 (clusters,), ``indices`` int64 of the weight's shape."""

    indices: Tensor
    codebook: Tensor

    @property
    def weights(self) -> Tensor:
        """float32 of the weight's shape."""
        return self.codebook[self.indices]

    @property
    def bits(self) -> int:
        """That an index takes when all take the same."""
        return index_bits(len(self.codebook))


def index_bits(clusters: int) -> int:
    """Bits of the largest index. Raises ``LabError`` outside 1 to 65,536 clusters."""
    if not 1 <= clusters <= 2**16:
        raise LabError(f"{clusters} clusters cannot be told apart by an index: give a number from 1 to {2**16:,}.")
    return (clusters - 1).bit_length()


def linear_start(weights: Tensor, clusters: int) -> Tensor:
    """Equally spaced centres from the smallest to the largest weight, float (clusters,). Deep Compression, section 3.2:
    large weights are few and matter most, and other starts put no centre near them.

    Raises ``LabError`` for no clusters, for more clusters than weights, and for weights that are not finite.
    """
    index_bits(clusters)
    if clusters > weights.numel():
        raise LabError(
            f"{weights.numel()} weights cannot be shared among {clusters} clusters: the codebook would be longer than "
            "what it stands for; take fewer clusters, or leave this layer as it is."
        )
    if not weights.isfinite().all():
        raise LabError("Some weights are not finite: the network they come from did not train; train it again.")
    return torch.linspace(float(weights.min()), float(weights.max()), clusters)


def kmeans(weights: Tensor, clusters: int, kmeans_step: KMeansStep, steps: int = STEPS) -> Shared:
    """``weights``, of any shape, shared by k-means (section 3.1, equation 2) from the linear start: ``kmeans_step`` until
    no index changes, ``steps`` times at most; a first step of more than ``PATIENCE`` seconds is said. Raises ``LabError``
    as ``linear_start`` does, and for a step that does not answer with indices and a codebook."""
    flat = weights.detach().flatten().cpu()
    codebook, indices = linear_start(flat, clusters), None
    for number in range(steps):
        before, started = indices, time.perf_counter()
        indices, codebook = stepped(kmeans_step, flat, codebook)
        if not number and (seconds := time.perf_counter() - started) > PATIENCE:
            print(
                f"kmeans_step took {seconds:.1f} s for {len(flat):,} weights, and up to {steps - 1} steps more follow: "
                "let it compute all weights at once, with no loop over them, or wait."
            )
        if before is not None and torch.equal(before, indices):
            break
    return Shared(indices.view(weights.shape), codebook)


def stepped(kmeans_step: KMeansStep, weights: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """The step's answer. Raises ``LabError`` where it is not an index for each weight and a number for each entry."""
    answer = kmeans_step(weights, codebook)
    try:
        indices, moved = answer
        fits = indices.shape == weights.shape and indices.dtype == torch.int64 and moved.shape == codebook.shape
        fits = fits and moved.isfinite().all() and 0 <= int(indices.min()) and int(indices.max()) < len(codebook)
    except (TypeError, ValueError, AttributeError):
        fits = False
    if not fits:
        raise LabError(
            f"kmeans_step gave {str(answer)[:100]!r} for {len(weights)} weights and {len(codebook)} entries: return an "
            "index, int64, for each weight, and a codebook of finite numbers as long as the one before."
        )
    return indices, moved.float()


def share(model: nn.Module, clusters: int, kmeans_step: KMeansStep) -> dict[str, Shared]:
    """By layer, the weights of each convolution and linear layer, shared among ``clusters`` numbers. In a layer with
    weights that are 0, pruned ones, entry 0 of the codebook is 0 and stands for them; the others share what is left of
    it. Raises ``LabError`` as ``kmeans`` does, with the layer's name."""
    found = {}
    for name, layer in prunable(model).items():
        try:
            found[name] = _with_zeros(layer.weight.detach().cpu(), clusters, kmeans_step)
        except LabError as error:
            raise LabError(f"{name}: {error}") from None
    return found


def _with_zeros(weight: Tensor, clusters: int, kmeans_step: KMeansStep) -> Shared:
    stays = weight != 0
    if stays.all():
        return kmeans(weight, clusters, kmeans_step)
    if not stays.any():
        return Shared(torch.zeros_like(weight, dtype=torch.int64), torch.zeros(clusters))
    rest = kmeans(weight[stays], clusters - 1, kmeans_step)
    indices = torch.zeros(weight.shape, dtype=torch.int64)
    indices[stays] = rest.indices + 1
    return Shared(indices, torch.cat([torch.zeros(1), rest.codebook]))


# In a file


def pack(indices: Tensor, bits: int) -> bytes:
    """``indices``, integers of any shape from 0 to 2**bits - 1, one after the other in ``bits`` bits each, the highest
    bit first; the last byte is filled with 0. Raises ``LabError`` for bits outside 0 to 16 or an index that does not fit
    into them."""
    numbers = indices.flatten().cpu().numpy()
    if not 0 <= bits <= 16 or (len(numbers) and not 0 <= numbers.min() <= numbers.max() < 2**bits):
        raise LabError(f"Not every index fits into {bits} bits: give as many as the largest needs, from 0 to 16.")
    places = np.arange(bits - 1, -1, -1)
    return np.packbits((numbers[:, None] >> places & 1).astype(np.uint8)).tobytes()


def unpack(packed: bytes, bits: int, count: int) -> Tensor:
    """The first ``count`` numbers of ``bits`` bits in ``packed``, int64 (count,). Raises ``LabError`` where there are not
    so many."""
    found = np.unpackbits(np.frombuffer(packed, np.uint8))
    if len(found) < count * bits:
        raise LabError(f"{len(packed)} bytes hold fewer than {count} numbers of {bits} bits: the end is missing.")
    weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.int64)
    return torch.from_numpy(found[: count * bits].reshape(count, bits) @ weights)


def write_weights(shared: dict[str, Shared], path: Path) -> Path:
    """A file of the layers one after the other: the codebook, float32 with the lowest byte first, and the packed indices.
    It has no header: shapes, bits and names are the reader's to know."""
    with files.replacing(path) as temporary:
        parts = [s.codebook.numpy().astype("<f4").tobytes() + pack(s.indices, s.bits) for s in shared.values()]
        temporary.write_bytes(b"".join(parts))
    return path


def read_weights(path: Path, model: nn.Module, clusters: int) -> dict[str, Shared]:
    """What ``write_weights`` wrote for a network of ``model``'s shapes, bit by bit. Raises ``LabError`` for a file of
    another length, or one that is not there."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LabError(f"{path} cannot be read ({error}): write it first.") from None
    bits, found, place = index_bits(clusters), {}, 0
    try:
        for name, layer in prunable(model).items():
            codebook = np.frombuffer(content, "<f4", clusters, place).astype(np.float32)
            place += codebook.nbytes
            indices = unpack(content[place:], bits, layer.weight.numel())
            place += len(pack(indices, bits))
            found[name] = Shared(indices.view_as(layer.weight), torch.from_numpy(codebook))
    except (ValueError, LabError):  # the file ends within a layer
        place = math.inf
    if place != len(content):
        raise LabError(
            f"{path} has {len(content):,} bytes, {'fewer' if place > len(content) else 'more'} than the layers of this "
            f"network with {clusters} clusters: give the file's own network and number of clusters."
        )
    return found


def of_network(network: nn.Module, clusters: int) -> dict[str, Shared]:
    """The shared weights of a network that has them, such as a finished run's: the codebook in ascending order (but 0
    first where a layer holds zeros), entries that no weight uses as 0 behind it. Raises ``LabError`` where a layer has
    more than ``clusters`` different weights."""
    found = {}
    for name, layer in prunable(network).items():
        numbers, indices = layer.weight.detach().cpu().unique(return_inverse=True)
        if len(numbers) > clusters:
            raise LabError(f"{name} has {len(numbers):,} different weights and not {clusters}: share them first.")
        order = torch.cat([(numbers == 0).nonzero().flatten(), (numbers != 0).nonzero().flatten()])
        codebook = torch.cat([numbers[order], torch.zeros(clusters - len(numbers))])
        found[name] = Shared(order.argsort()[indices], codebook)
    return found


def counts(shared: Shared) -> list[int]:
    """How many weights use each entry of the codebook."""
    return torch.bincount(shared.indices.flatten(), minlength=len(shared.codebook)).tolist()


def coded_bytes(shared: dict[str, Shared]) -> int:
    """Bytes of all indices in Huffman's code, one for each layer, and of the codes' lengths, one byte an entry."""
    lengths = {name: code_lengths(counts(layer)) for name, layer in shared.items()}
    return sum(len(encode(layer.indices, lengths[name])) + len(lengths[name]) for name, layer in shared.items())


def other_bytes(network: nn.Module) -> int:
    """Bytes of what is not shared, biases and batch normalization, in float32."""
    weights = {f"{name}.weight" for name in prunable(network)}
    others = (value for name, value in network.state_dict().items() if name not in weights)
    return sum(value.numel() * FLOAT // 8 for value in others if value.is_floating_point())


# Trained


class _Lookup(nn.Module):
    """Stands in front of a layer's weight: whatever that is, the layer computes with its codebook. Autograd gives each
    entry the sum of the gradients of all weights that share it: Deep Compression, section 3.3, equation 3."""

    def __init__(self, shared: Shared):
        super().__init__()
        self.codebook = nn.Parameter(shared.codebook.clone())
        self.register_buffer("indices", shared.indices)
        self.register_buffer("free", shared.codebook != 0)  # what stands for pruned weights stays 0

    def forward(self, weights: Tensor) -> Tensor:
        return (self.codebook * self.free)[self.indices]


@dataclass(frozen=True)
class TrainedCodebook(Changed):
    """Shares the weights of each layer among ``clusters`` numbers, and trains these: which weights go together is
    settled before the first step. The optimizer sees sums over many weights, so it takes ``FACTOR`` of the learning
    rate for them; biases and batch normalization train on."""

    kmeans_step: KMeansStep
    clusters: int
    name: ClassVar[str] = "trained-codebook"

    def probe(self) -> list[float]:
        indices, codebook = stepped(self.kmeans_step, *map(torch.tensor, PROBE))
        return [round(number, 6) for number in (*map(float, indices), *codebook.tolist())]

    def attach(self, model: nn.Module, seed: int) -> None:
        super().attach(model, seed)
        shared = share(model, self.clusters, self.kmeans_step)
        for name, layer in prunable(model).items():
            parametrize.register_parametrization(layer, "weight", _Lookup(shared[name]), unsafe=True)
            layer.parametrizations.weight.original.requires_grad_(False)

    def groups(self, model: nn.Module) -> list[dict]:
        books = [layer.parametrizations.weight[0].codebook for layer in prunable(model).values()]
        return [{"params": books, "weight_decay": 0.0, "factor": FACTOR}]

    def finish(self, model: nn.Module, rates: list[float]) -> Finished:
        network = plain(model)
        shared = of_network(network, self.clusters)
        size = {
            "indices": sum(len(pack(layer.indices, layer.bits)) for layer in shared.values()),
            "codebooks": sum(4 * len(layer.codebook) for layer in shared.values()),
            "others": other_bytes(network),
        }
        results = {"bits": index_bits(self.clusters)} | self.before(model)
        return Finished(network, results=results | {"coded": coded_bytes(shared), "bytes": size})


def train_shared(
    run: Record, here: Settings, data: Dataset, kmeans_step: KMeansStep, bits: int = 4, watch=None
) -> Record:
    """``run`` with 2**bits shared weights a layer, their codebooks trained for ``EPOCHS`` epochs. Its results: accuracy
    ``before`` the training; ``bytes`` by part, of packed ``indices``, ``codebooks`` and ``others`` in float32; and
    ``coded``, what Huffman's code makes of the indices, its lengths included. Made once, in a folder such as
    ``shared-thin-4``. Raises ``LabError`` for bits outside 1 to 8, and as ``share`` does."""
    if not 1 <= bits <= 8:
        raise LabError(f"Indices of {bits} bits are not for sharing: give a whole number from 1 to 8.")
    facts = {"folder": here.folder / f"shared-{called(run)}-{bits}", "kind": SHARED, "seed": here.seed}
    recipe = replace(here.profile.fine_tune, epochs=EPOCHS, learning_rate=RATE)
    method = TrainedCodebook(kmeans_step, 2**bits)
    return training.fit(run.model(), data, recipe, parent=run.name, method=method, watch=watch, **facts)

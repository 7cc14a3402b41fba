"""Deep Compression: prune, share, code. Han, Mao and Dally, ICLR 2016; its steps on the thin network."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from labkit import records, training
from labkit.data import Dataset
from labkit.methods import schemas
from labkit.methods.granularity.masks import network_masks, prunable
from labkit.methods.learned.base import FLOAT, checked_share, plain
from labkit.methods.learned.study import METHOD
from labkit.methods.quantization.changed import Changed
from labkit.methods.quantization.huffman import code_lengths, encode
from labkit.methods.quantization.networks import called
from labkit.methods.quantization.sharing import EPOCHS, RATE, Shared, of_network, other_bytes, pack
from labkit.methods.ratios.sensitivity import MADE_FROM, made_from
from labkit.methods.schemas import COUNT, SHARE, TEXT
from labkit.records import Record
from labkit.settings import LabError, Settings
from labkit.training.method import Finished

PRUNED, COMPRESSED = "quantization-pruned", "quantization-compressed"
RATIO = 0.7  # of the thin network's weights, the smallest of all layers
GAP_BITS = tuple(range(9))
PARTS = ("values", "positions", "codebooks", "tables", "others")

_STEP = {"step": TEXT, "accuracy": SHARE, "bytes": schemas.record(dict.fromkeys(PARTS, COUNT))}
SCHEMAS = {
    PRUNED: schemas.of_training(PRUNED, config={"method": METHOD}, results={"before": SHARE}),
    COMPRESSED: schemas.of_kind(
        COMPRESSED,
        MADE_FROM | {"others": schemas.by_name(TEXT, 8)},
        {"steps": schemas.array(schemas.record(_STEP), 10)},
    ),
}


@dataclass(frozen=True)
class Pruned(Changed):
    """The share ``target`` of all weights, the smallest |w| of the network, is 0 from the first step on, and the rest is
    trained: section 2, in one step."""

    target: float
    name: ClassVar[str] = "pruned"

    def __post_init__(self):
        checked_share(self.target)

    def attach(self, model: nn.Module, seed: int) -> None:
        super().attach(model, seed)
        for name, stays in network_masks(model, "global", self.target).items():
            prunable(model)[name].register_buffer("stays", stays)

    @torch.no_grad()
    def begin_epoch(self, model: nn.Module, number: int, epochs: int, data: Dataset) -> bool:
        self.after_step(model, 0.0, 0.0)
        return super().begin_epoch(model, number, epochs, data)

    @torch.no_grad()
    def after_step(self, model: nn.Module, rate: float, done: float) -> None:
        for layer in prunable(model).values():
            layer.weight.mul_(layer.stays)

    def finish(self, model: nn.Module, rates: list[float]) -> Finished:
        return Finished(plain(model), results=self.before(model))


def prune(run: Record, here: Settings, data: Dataset, ratio: float = RATIO, watch=None) -> Record:
    """``run`` with its smallest weights pruned and the others trained for as many epochs as a codebook; its results have
    the accuracy ``before`` that. Made once, in a folder such as ``pruned-thin``. Raises ``LabError`` for a ratio that is
    not between 0 and 1."""
    facts = {"folder": here.folder / f"pruned-{called(run)}", "kind": PRUNED, "seed": here.seed, "watch": watch}
    recipe = replace(here.profile.fine_tune, epochs=EPOCHS, learning_rate=RATE)
    return training.fit(run.model(), data, recipe, parent=run.name, method=Pruned(ratio), **facts)


def relative(indices: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """The entries of ``indices`` that are not 0, int64 (entries,) both: how many zeros stand before each, and its value.
    A gap that ``bits`` bits cannot say has fillers in it, entries of value 0 after the longest gap: section 2, figure 2.
    With 0 bits every zero is an entry."""
    flat = indices.flatten()
    places = flat.nonzero().flatten()
    zeros = places.diff(prepend=places.new_tensor([-1])) - 1
    repeats = zeros // 2**bits + 1
    last = repeats.cumsum(0) - 1
    gaps = torch.full((int(repeats.sum()),), 2**bits - 1)
    values = torch.zeros_like(gaps)
    gaps[last], values[last] = zeros % 2**bits, flat[places]
    return gaps, values


def absolute(gaps: Tensor, values: Tensor, count: int) -> Tensor:
    """What ``relative`` was made from, int64 (count,). Raises ``LabError`` for entries behind the end."""
    places = (gaps + 1).cumsum(0) - 1
    if len(places) and int(places[-1]) >= count:
        raise LabError(f"An entry stands at place {int(places[-1])} of {count} weights: the gaps are another layer's.")
    flat = torch.zeros(count, dtype=torch.int64)
    flat[places] = values
    return flat


def gap_bits(indices: Tensor, value_bits: int) -> int:
    """The bits of a gap, of ``GAP_BITS``, with which a layer takes the least room; one for each layer."""
    return min(GAP_BITS, key=lambda bits: len(relative(indices, bits)[0]) * (bits + value_bits))


def pruned_bytes(weight: Tensor) -> dict[str, int]:
    """Bytes of a layer of which the weights that are not 0 are stored, in float32, each with its gap."""
    stays = (weight != 0).long()
    bits = gap_bits(stays, FLOAT)
    gaps, values = relative(stays, bits)
    return {"values": len(values) * FLOAT // 8, "positions": len(pack(gaps, bits))}


def shared_bytes(layer: Shared, coded: bool = False) -> dict[str, int]:
    """Bytes of a layer of which the indices that are not 0 are stored, each with its gap; ``coded``: both in Huffman's
    code, with the lengths of its words, one byte for each, as ``tables``."""
    bits = gap_bits(layer.indices, layer.bits)
    gaps, values = relative(layer.indices, bits)
    book = {"codebooks": 4 * len(layer.codebook)}
    if not coded:
        return book | {"values": len(pack(values, layer.bits)), "positions": len(pack(gaps, bits))}
    streams = {"values": (values, layer.bits), "positions": (gaps, bits)}
    lengths = {name: code_lengths(torch.bincount(s, minlength=2**b).tolist()) for name, (s, b) in streams.items()}
    size = {name: len(encode(s, lengths[name])) for name, (s, _) in streams.items()}
    return book | size | {"tables": sum(map(len, lengths.values()))}


def compress(dense: Record, thin: Record, pruned: Record, shared: Record, here: Settings, data: Dataset) -> Record:
    """The three steps as rows, after the dense and the thin network: validation accuracy, and bytes by part, of
    everything that the network needs. ``pruned`` is made from ``thin`` and ``shared`` from ``pruned``. Made once, in a
    folder such as ``compressed-thin``. Raises ``LabError`` where one is not made from the one before it."""
    for run, parent in ((thin, dense), (pruned, thin), (shared, pruned)):
        if run.config["parent"] != parent.name:
            raise LabError(f"{run.name} is made from {run.config['parent']} and not from {parent.name}: give its own.")
    parents = {run.name: records.identity(run) for run in (dense, thin, pruned)}
    config = made_from(shared, data) | {"others": parents}

    def measured() -> Record:
        plain_layers = {run.name: prunable(run.model()).values() for run in (dense, thin, pruned)}
        layers = of_network(shared.model(), 2 ** shared.results["bits"]).values()
        sizes = {
            "dense": (dense, [{"values": layer.weight.numel() * FLOAT // 8} for layer in plain_layers[dense.name]]),
            "thin": (thin, [{"values": layer.weight.numel() * FLOAT // 8} for layer in plain_layers[thin.name]]),
            "pruned": (pruned, [pruned_bytes(layer.weight.detach()) for layer in plain_layers[pruned.name]]),
            "shared": (shared, [shared_bytes(layer) for layer in layers]),
            "coded": (shared, [shared_bytes(layer, coded=True) for layer in layers]),
        }
        steps = [
            {
                "step": step,
                "accuracy": run.results["validation_accuracy"],
                "bytes": {part: sum(row.get(part, 0) for row in rows) for part in PARTS}
                | {"others": other_bytes(run.model())},
            }
            for step, (run, rows) in sizes.items()
        ]
        return records.save(Record(COMPRESSED, config, shared.network, results={"steps": steps}).with_folder(folder))

    folder = here.folder / f"compressed-{called(thin)}"
    return records.run_once(folder, config, measured)

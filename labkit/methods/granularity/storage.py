"""What a pruned weight takes in a file, indices included."""

import math

from labkit.methods.granularity.masks import checked, named


def storage(shape: tuple[int, ...], granularity: str, ratio: float, value_bits: int = 32) -> dict[str, float]:
    """Bytes of a weight (c_o, c_i, k_h, k_w) at a prune ratio: ``values`` of ``value_bits`` each, and ``indices``.

    Each structure that stays carries its number among all structures, in as many bits as the largest number
    needs; N:M the place of each weight among its neighbours. At ratio 0 nothing has to be said. Raises
    ``LabError`` for a ratio outside [0, 1) or an unknown granularity.
    """
    checked(ratio)
    kind, weights = named(granularity), math.prod(shape)
    structures = math.prod(shape[: kind.leading])
    places = kind.of or structures
    kept = structures - round(ratio * structures)
    indices = kept * math.ceil(math.log2(places)) if ratio else 0
    return {"values": kept * (weights // structures) * value_bits / 8, "indices": indices / 8}

"""Huffman's code: symbols that occur often get few bits. *A Method for the Construction of Minimum-Redundancy Codes*,
1952; used for shared weights in section 4 of Deep Compression (Han, Mao and Dally, ICLR 2016).

The code is canonical: the lengths of its words say what the words are, so a file needs the lengths alone.
"""

import heapq
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from labkit.settings import LabError


def code_lengths(counts: Sequence[int]) -> list[int]:
    """By symbol, the bits of its word, given how often it occurs; 0 for a symbol that never does. Raises ``LabError``
    where none does."""
    heap = [(count, symbol, (symbol,)) for symbol, count in enumerate(counts) if count]
    if not heap:
        raise LabError("No symbol occurs at all: there is nothing to code.")
    lengths = [0] * len(counts)
    if len(heap) == 1:
        lengths[heap[0][1]] = 1
    heapq.heapify(heap)
    while len(heap) > 1:
        (few, number, one), (more, _, other) = heapq.heappop(heap), heapq.heappop(heap)
        for symbol in one + other:
            lengths[symbol] += 1
        heapq.heappush(heap, (few + more, number, one + other))
    return lengths


def codes(lengths: Sequence[int]) -> list[str]:
    """The words that belong to the lengths, as texts of 0 and 1, "" for a length of 0: shorter words first, among equally
    long ones by symbol, each one more than the word before it."""
    words, word, before = [""] * len(lengths), 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        word <<= length - before
        words[symbol], word, before = f"{word:0{length}b}", word + 1, length
    return words


def encode(symbols: Tensor, lengths: Sequence[int]) -> bytes:
    """The words of ``symbols``, integers of any shape, one after the other; the last byte is filled with 0. Raises
    ``LabError`` for a symbol without a word."""
    words = codes(lengths)
    found = symbols.flatten().tolist()
    missing = {symbol for symbol in set(found) if not (0 <= symbol < len(words) and words[symbol])}
    if missing:
        raise LabError(f"The code has no word for {min(missing)}: make the code from counts that have every symbol.")
    text = "".join([words[symbol] for symbol in found])
    return np.packbits(np.frombuffer(text.encode(), np.uint8) == ord("1")).tobytes()


def decode(coded: bytes, lengths: Sequence[int], count: int) -> Tensor:
    """The first ``count`` symbols in ``coded``, int64 (count,). Raises ``LabError`` where it ends before them, or holds
    what is no word."""
    symbol_of = {word: symbol for symbol, word in enumerate(codes(lengths)) if word}
    longest, found, word = max(lengths, default=0), [], ""
    for bit in np.unpackbits(np.frombuffer(coded, np.uint8)).astype(str):
        if len(found) == count:
            break
        word += bit
        if word in symbol_of:
            found.append(symbol_of[word])
            word = ""
        elif len(word) >= longest:
            raise LabError(f"{word!r} is no word of the code, after {len(found)} symbols: the code is another one's.")
    if len(found) < count:
        raise LabError(f"{len(coded)} bytes hold {len(found)} symbols and not {count}: the end is missing.")
    return torch.tensor(found, dtype=torch.int64)


def entropy(counts: Sequence[int]) -> float:
    """Bits a symbol that no code can be below on average: Σ p·log2(1/p)."""
    total = sum(counts)
    return sum(count / total * math.log2(total / count) for count in counts if count)

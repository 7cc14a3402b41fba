"""``shapes``: ten classes of generated 32x32 colour images, the data set that travels with the lab.

One shape per image (disc, ring, square, ...), rotated, scaled and shifted, in colours of high
contrast on a striped background, with two distractor dots and mild noise. Everything is computed
in integers from NumPy's frozen ``RandomState`` stream, so the bytes are the same on every machine.
"""

import numpy as np

CLASSES = ("disc", "ring", "square", "frame", "triangle", "cross", "star", "bar", "crescent", "corner")
SIZE = 32
UNIT = 1024  # fixed-point length of a shape's radius
ANGLES = 60  # a multiple of 3 and 5: the polygons' corners fall on table entries
_TURN = 2 * np.pi * np.arange(ANGLES) / ANGLES
COS = np.round(UNIT * np.cos(_TURN)).astype(np.int32)
SIN = np.round(UNIT * np.sin(_TURN)).astype(np.int32)


def _half_planes(u, v, sides, distance):
    """How many of the ``sides`` half-planes around a regular polygon hold each point."""
    angles = range(0, ANGLES, ANGLES // sides)
    return sum(((u * COS[a] + v * SIN[a]) < distance * UNIT).astype(np.int8) for a in angles)


def _inside(name, u, v):
    """Which points (u, v), in units of 1/1024 of the shape's radius, belong to the shape."""
    radius2, far, near = u * u + v * v, np.maximum(abs(u), abs(v)), np.minimum(abs(u), abs(v))
    disc = radius2 < 920**2
    match name:
        case "disc":
            return disc
        case "ring":
            return (radius2 < 960**2) & (radius2 > 560**2)
        case "square":
            return far < 800
        case "frame":
            return (far < 840) & (far > 480)
        case "triangle":
            return _half_planes(u, v, 3, 540) == 3
        case "cross":
            return (near < 280) & (far < 960)
        case "star":
            return _half_planes(u, v, 5, 400) >= 4
        case "bar":
            return (abs(u) < 1000) & (abs(v) < 300)
        case "crescent":
            return disc & ((u - 480) ** 2 + v * v > 760**2)
        case "corner":
            return (abs(u) < 840) & (abs(v) < 840) & ((u < -320) | (v < -320))
    raise ValueError(name)


def generate(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``count`` images, uint8 (count, 32, 32, 3), and their labels, int64 (count,), classes in turn.

    A given ``(count, seed)`` gives the same bytes on every machine and every NumPy.
    """
    random = np.random.RandomState(seed)

    def draw(low, high, *shape):
        return random.randint(low, high, (count, *shape)).astype(np.int32)

    labels = np.arange(count, dtype=np.int64) % len(CLASSES)
    turn, radius = draw(0, ANGLES), draw(8, 13)
    centre, stripe_turn, period, phase = draw(12, 20, 2), draw(0, ANGLES), draw(5, 12), draw(0, 64)
    stripes = draw(0, 256, 2, 3)
    stripes[:, 1] = stripes[:, 0] + draw(-40, 41, 3)  # two shades of one colour
    colour = (stripes.sum(1) // 2 + 128 + draw(-30, 31, 3)) % 256
    dots, dot_colours = draw(2, 30, 2, 2), draw(0, 256, 2, 3)
    noise = draw(-16, 17, SIZE, SIZE, 3)

    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.int32)
    across = rows * COS[stripe_turn, None, None] + columns * SIN[stripe_turn, None, None]
    band = (across // UNIT + phase[:, None, None]) // period[:, None, None] % 2
    images = stripes[np.arange(count)[:, None, None], band]

    for dot in range(2):
        distance = abs(rows - dots[:, dot, 0, None, None]) + abs(columns - dots[:, dot, 1, None, None])
        images = np.where((distance <= 2)[..., None], dot_colours[:, dot, None, None], images)

    # Four sub-pixels a pixel: coverage 0..4 blends the shape's colour over what lies below.
    coverage = np.zeros((count, SIZE, SIZE), np.int32)
    for down in (-1, 1):
        for right in (-1, 1):
            y = (4 * (rows - centre[:, 0, None, None]) + down) * UNIT // (4 * radius[:, None, None])
            x = (4 * (columns - centre[:, 1, None, None]) + right) * UNIT // (4 * radius[:, None, None])
            c, s = COS[turn, None, None], SIN[turn, None, None]
            u, v = (x * c + y * s) // UNIT, (y * c - x * s) // UNIT
            for label, name in enumerate(CLASSES):
                mine = labels == label
                coverage[mine] += _inside(name, u[mine], v[mine])
    images = (images * (4 - coverage[..., None]) + colour[:, None, None] * coverage[..., None]) // 4
    return np.clip(images + noise, 0, 255).astype(np.uint8), labels

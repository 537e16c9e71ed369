"""Draw the example's data set: 600 small noisy pictures of four shapes, in data/pool_data.

The same bytes come out on every machine and every Python from 3.8 on: only the standard library is used, the
random numbers come from one seed, and the arithmetic is plain IEEE (no sine or cosine, which C libraries round
differently). That is why data/pool_data.dvc can be in git while the pictures are not.
"""

import argparse
import random
import shutil
from pathlib import Path

SHAPES = ("circle", "cross", "square", "triangle")
PICTURES_PER_SHAPE = 150
SIDE = 16
SEED = 20
NOISE = 0.22

# The sizes of the shapes, where 1 is a picture's radius.
CIRCLE_SQUARED = 0.8
SQUARE = 0.8
CROSS_ARM, CROSS_REACH = 0.3, 0.95
TRIANGLE_BASE, TRIANGLE_SLOPE = 0.7, 0.55


def inside(shape: str, x: float, y: float) -> bool:
    """Whether the point lies in the shape, which is about one unit wide around the origin."""
    if shape == "circle":
        return x * x + y * y <= CIRCLE_SQUARED
    if shape == "square":
        return max(abs(x), abs(y)) <= SQUARE
    if shape == "cross":
        return min(abs(x), abs(y)) <= CROSS_ARM and max(abs(x), abs(y)) <= CROSS_REACH
    return y <= TRIANGLE_BASE and abs(x) <= (y + 1.0) * TRIANGLE_SLOPE


def draw(shape: str, rng: random.Random) -> bytes:
    """One picture: the shape moved, scaled and turned a little, with noise on every pixel."""
    centre_x = SIDE / 2 + (rng.random() - 0.5) * 3
    centre_y = SIDE / 2 + (rng.random() - 0.5) * 3
    radius = 4.0 + rng.random() * 2.5
    # A rotation without trigonometry: (1 - t^2, 2t) / (1 + t^2) is a point on the unit circle.
    turn = (rng.random() - 0.5) * 0.8
    cosine = (1 - turn * turn) / (1 + turn * turn)
    sine = 2 * turn / (1 + turn * turn)
    ink = 0.45 + rng.random() * 0.4
    pixels = bytearray()
    for row in range(SIDE):
        for column in range(SIDE):
            dx = (column + 0.5 - centre_x) / radius
            dy = (row + 0.5 - centre_y) / radius
            lit = inside(shape, dx * cosine + dy * sine, dy * cosine - dx * sine)
            value = (ink if lit else 0.2) + (rng.random() + rng.random() - 1.0) * NOISE
            pixels.append(int(min(max(value, 0.0), 1.0) * 255))
    return bytes(pixels)


def write_pool(folder: Path) -> int:
    """Write every picture as a binary PGM file, folder/<shape>/<number>.pgm; returns how many."""
    shutil.rmtree(folder, ignore_errors=True)
    rng = random.Random(SEED)
    header = f"P5\n{SIDE} {SIDE}\n255\n".encode("ascii")
    written = 0
    for shape in SHAPES:
        (folder / shape).mkdir(parents=True)
        for number in range(PICTURES_PER_SHAPE):
            (folder / shape / f"{number:03d}.pgm").write_bytes(header + draw(shape, rng))
            written += 1
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent / "data" / "pool_data")
    folder = parser.parse_args().folder
    print(f"{write_pool(folder)} pictures of {len(SHAPES)} shapes in {folder}")


if __name__ == "__main__":
    main()

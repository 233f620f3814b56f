"""So many drawings of 64 by 64 pixels, each of another colour."""

import sys
from pathlib import Path

import numpy as np
import ppm

count, folder = int(sys.argv[1]), Path(sys.argv[2])
folder.mkdir()
rows, columns = np.mgrid[0:64, 0:64]
for number in range(count):
    rings = np.hypot(rows - 32, columns - 32) // (number + 2) % 2 * 255
    colour = np.array([(number * 70 + shift) % 256 for shift in (40, 120, 200)]) / 255
    ppm.write(folder / f"drawing-{number}.ppm", rings[..., None] * colour)

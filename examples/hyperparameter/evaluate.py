"""Write the mean squared error of a model: evaluate.py MODEL TEST_CSV OUT_FOLDER."""

import json
import sys
from pathlib import Path

import numpy as np

model = json.loads(Path(sys.argv[1]).read_text())
x, y = np.loadtxt(sys.argv[2], delimiter=",", unpack=True)
error = float(np.mean((np.polyval(model["weights"], x) - y) ** 2))
(Path(sys.argv[3]) / f"{Path(sys.argv[1]).stem}_metric.txt").write_text(f"{error:.9f}\n")

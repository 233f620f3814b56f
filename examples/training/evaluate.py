"""The mean square of what a model is wrong by."""

import json
import sys
from pathlib import Path

import numpy as np

model = json.loads(Path(sys.argv[1]).read_text())
x, y = np.loadtxt(sys.argv[2], delimiter=",").T
error = np.mean((np.polyval(model["weights"], x) - y) ** 2)
Path(sys.argv[3]).write_text(f"{error:.4f}\n")

"""A polynomial through points, held flat by a ridge."""

import json
import sys
from pathlib import Path

import numpy as np

degree, ridge = int(sys.argv[2]), float(sys.argv[3])
x, y = np.loadtxt(sys.argv[1], delimiter=",").T
powers = np.vander(x, degree + 1)
weights = np.linalg.solve(powers.T @ powers + ridge * np.eye(degree + 1), powers.T @ y)
model = {"degree": degree, "ridge": ridge, "weights": [round(float(weight), 2) for weight in weights]}
Path(sys.argv[4]).write_text(json.dumps(model) + "\n")

"""Fit a polynomial with a penalty (ridge regression): train.py TRAIN_CSV OUT_FOLDER DEGREE RIDGE."""

import json
import sys
from pathlib import Path

import numpy as np

degree, ridge = int(sys.argv[3]), float(sys.argv[4])
x, y = np.loadtxt(sys.argv[1], delimiter=",", unpack=True)
powers = np.vander(x, degree + 1)
weights = np.linalg.solve(powers.T @ powers + ridge * np.eye(degree + 1), powers.T @ y)
model = {"degree": degree, "ridge": ridge, "weights": weights.tolist()}
(Path(sys.argv[2]) / f"model_D{degree}_R{ridge:g}.json").write_text(json.dumps(model))

"""The images of a folder side by side, and what each is called."""

import sys
from pathlib import Path

import numpy as np
import ppm

folder, sheet, index = sys.argv[1:]
paths = sorted(Path(folder).iterdir())
ppm.write(sheet, np.hstack([ppm.read(path) for path in paths]))
Path(index).write_text("".join(f"{number} {path.name}\n" for number, path in enumerate(paths, 1)))

"""Write the outlines of each photo in /pfs/photos to /pfs/out, as PNG of the same name."""

import os
from pathlib import Path

import numpy as np
from skimage import color, filters, io

root = Path(os.environ.get("PFS", "/pfs"))
out = Path(os.environ.get("PFS_OUT", "/pfs/out"))
for photo in sorted((root / "photos").rglob("*")):
    if photo.is_file():
        image = io.imread(photo)
        grey = color.rgb2gray(image[..., :3]) if image.ndim == 3 else image / 255.0
        edges = filters.sobel(grey)
        edges = (255 * (1 - edges / max(float(edges.max()), 1e-9))).astype(np.uint8)
        io.imsave(out / f"{photo.stem}.png", edges, check_contrast=False)
        print(f"{photo.name}: {image.shape[1]} x {image.shape[0]} pixels")

"""An image at another size: each pixel is the mean of those that it stands for."""

import sys

import ppm

source, size, target = sys.argv[1], int(sys.argv[2]), sys.argv[3]
image = ppm.read(source)
step = image.shape[0] // size
ppm.write(target, image.reshape(size, step, size, step, 3).mean(axis=(1, 3)))

"""How a step runs on this machine: device, precision, compiled kernels, CUDA graphs, memory."""

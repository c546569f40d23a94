"""How a benchmark measures: images, the machine, servers as processes, clocks, runs of ``bulk``, resources."""

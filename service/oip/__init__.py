"""The Open Inference Protocol (KServe and Triton, version 2). Imports ``http`` and every room below it."""

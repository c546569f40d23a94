"""The Open Inference Protocol, version 2, of KServe and Triton. May import ``http`` and every room below it."""

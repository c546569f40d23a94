"""The Open Inference Protocol (KServe and Triton, version 2), for the same models and admission as ``/predict``.
Imports ``http`` and every room above it in the table of docs/architecture.md.

``routes`` has the calls; ``request`` turns a body into images, in a thread of its own, and ``response`` results into
tensors, both as JSON or binary; ``repository`` lists, loads and unloads models. ``wire`` has the protocol's objects,
``schema`` their part of the OpenAPI document.
"""

"""The REST inference service: radiographs in, probabilities of pneumonia out.

Each folder or module here is a room; docs/architecture.md has the table of rooms, what each may import, and the path of
one image through them. The four modules at the bottom are the vocabulary, which every room may import: ``settings``,
``errors``, ``wire`` and ``problems``. ``app`` connects the endpoints to a ``core.Service``, ``workers`` is the process
around them, and ``__main__`` the command line.
"""

import contract  # noqa: F401  before onnxruntime: it turns the telemetry of onnxruntime off

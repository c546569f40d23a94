"""The REST inference service: radiographs in, probabilities of pneumonia out.

Each folder or module here is a room; docs/architecture.md has the table of rooms, what each may import, and the path of
one image through them. ``settings``, ``errors``, ``wire`` and ``problems`` are the vocabulary, which every room may
import. ``core.Service`` holds the parts of a running service; ``workers`` has the ASGI app and the server process
around it, and ``cli`` the command line, which ``__main__`` starts.
"""

import contract  # noqa: F401  before onnxruntime: it turns the telemetry of onnxruntime off

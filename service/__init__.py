"""The REST inference service: chest radiographs in, probabilities of pneumonia out.

The path of one image:

bytes -> http.routes.predict: inference.admission (503), http.uploads: size limits (413), a deadline (504)
      -> contract.image in a thread (415/422) -> inference.batcher -> inference.backend -> wire.PredictResponse
any exception, anywhere -> http.responses.error_response -> problem+json
"""

import contract  # noqa: F401  before onnxruntime: it turns the telemetry of onnxruntime off

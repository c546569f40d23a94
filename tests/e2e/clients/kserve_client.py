"""KServe's own client against a server: its URL, an image, and a deadline in seconds. Prints what it got, as JSON."""

import asyncio
import base64
import json
import sys
from pathlib import Path

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

URL, IMAGE, DEADLINE_S = sys.argv[1], Path(sys.argv[2]).read_bytes(), float(sys.argv[3])


async def main() -> None:
    """Ask what its users ask; the image is sent in base64 and as binary data, pixels likewise."""
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=DEADLINE_S))
    found: dict[str, object] = {
        "live": await client.is_server_live(URL),
        "ready": await client.is_server_ready(URL),
        "models": [await client.is_model_ready(URL, name) for name in ("pneumonia", "nothing")],
    }
    for binary in (False, True):
        file = InferInput("file", [1], "BYTES")
        file.set_data_from_numpy(np.array([IMAGE if binary else base64.b64encode(IMAGE)], object), binary_data=binary)
        pixels = InferInput("pixels", [1, 200, 200, 1], "FP32")
        pixels.set_data_from_numpy(np.full((1, 200, 200, 1), 51, np.float32), binary_data=binary)
        for name, tensor in (("pneumonia", file), ("pneumonia.classifier", pixels)):
            request = InferRequest(name, [tensor], parameters={"binary_data_output": binary})
            response = await client.infer(URL, request, model_name=name)
            outputs = {each.name: each.as_numpy().ravel().tolist() for each in response.outputs}
            found[f"{name}, {'binary' if binary else 'JSON'}"] = outputs
    try:
        wrong = InferRequest("pneumonia", [InferInput("file", [1], "BYTES", data=["AAAA"])])
        await client.infer(URL, wrong, model_name="pneumonia")
    except Exception as error:  # of its HTTP library
        found["error"] = str(error)
    print(json.dumps(found, default=bytes.decode))


asyncio.run(main())

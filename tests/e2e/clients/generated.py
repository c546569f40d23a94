"""Asks a service with the client that openapi-python-client generated: generated.py URL IMAGE NOT_AN_IMAGE."""

import sys
from io import BytesIO
from pathlib import Path

from xray_inference_client import Client
from xray_inference_client.api.health import health
from xray_inference_client.api.model import model
from xray_inference_client.api.prediction import explain, predict
from xray_inference_client.models import ExplainFormat, PredictFilesBody, PredictResponse, Problem
from xray_inference_client.types import File

url, *paths = sys.argv[1:]
client = Client(base_url=url)
image, other = (Path(path).read_bytes() for path in paths)

print(health.sync(client=client).status, model.sync(client=client).name)
answer = predict.sync(client=client, body=File(BytesIO(image)))
assert isinstance(answer, PredictResponse)
print(answer.predictions[0].label)
several = predict.sync(client=client, body=PredictFilesBody(file=[File(BytesIO(image), "a.jpeg")] * 2))
assert isinstance(several, PredictResponse)
print(len(several.predictions))
picture = explain.sync(client=client, body=File(BytesIO(image)), format_=ExplainFormat.HEATMAP)
assert isinstance(picture, File)
print(picture.payload.read(4) == b"\x89PNG")
problem = predict.sync(client=client, body=File(BytesIO(other)))
assert isinstance(problem, Problem)
print(problem.status, problem.type_)

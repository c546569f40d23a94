"""Predictions without a server, by the code path that the server uses."""

from dataclasses import dataclass, replace

from service.client.predicting import LOCAL_REQUEST_ID, PredictorInfo
from service.core import Service
from service.http.predictions import model_name, read_all, response
from service.wire import PredictResponse


@dataclass(frozen=True, slots=True)
class LocalPredictor:
    """The model in this process as a ``Predictor``. The service must be running."""

    service: Service

    @property
    def info(self) -> PredictorInfo:
        """The model, its execution provider and the operating point in use."""
        main = self.service.main
        return PredictorInfo(model_name(main), main.backend.provider, main.default_point.name, main.backend.graph)

    async def predict(self, image: bytes) -> PredictResponse:
        """The answer, with one prediction. If the image is at fault, the prediction holds the error."""
        model, stated = self.service.main, self.service.settings.population is not None
        readings = await read_all(model.reader, [image])
        point = replace(model.default_point, by_age=not stated)
        return response(model, point, [None], readings, LOCAL_REQUEST_ID)

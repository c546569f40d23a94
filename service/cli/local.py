"""Reading files without a server, by the same way as with one."""

from dataclasses import dataclass

from service.client.predicting import LOCAL_REQUEST_ID, PredictorInfo
from service.core import Service
from service.http.predictions import model_name, read_all, response
from service.wire import PredictResponse


@dataclass(frozen=True, slots=True)
class LocalPredictor:
    """The model in this process as a ``Predictor``. Its service must be alive."""

    service: Service

    @property
    def about(self) -> PredictorInfo:
        """Which model this is, where it runs, and whose threshold is used."""
        return PredictorInfo(
            model_name(self.service.main), self.service.main.backend.provider, self.service.main.default_point.name
        )

    async def ask(self, image: bytes) -> PredictResponse:
        """The answer, with one prediction; what is wrong with the image is an error in it."""
        outcomes = await read_all(self.service.main.reader, [image])
        return response(self.service.main, self.service.main.default_point, [None], outcomes, LOCAL_REQUEST_ID)

"""Predictions without a server, by the code path that the server uses."""

import asyncio
from dataclasses import dataclass, replace

from service.client.objects import Kind, ObjectUnavailable
from service.client.predicting import LOCAL_REQUEST_ID, PredictorInfo
from service.core import Service
from service.http.explain import render
from service.http.predictions import ReadingOrError, model_name, read_all, response
from service.inference import dicom
from service.inference.reader import Reading
from service.wire import VERSION, PredictResponse


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
        _, answer = await self._analyse(image)
        return answer

    async def object_about(self, image: bytes, kind: Kind) -> bytes:
        """The DICOM file about a DICOM file.

        Raises:
            ObjectUnavailable: the image is at fault.
        """
        reading, answer = await self._analyse(image, explain=kind == "heatmap")
        if not isinstance(reading, Reading):
            error = answer.predictions[0].error
            raise ObjectUnavailable(error.detail if error else str(reading))
        if kind == "heatmap":
            return await render(
                self.service, "overlay", image, reading, answer, graph_sha256=self.service.main.graph_sha256
            )
        return await asyncio.to_thread(dicom.report, image, answer, self.service.main.graph_sha256, VERSION)

    async def _analyse(self, image: bytes, *, explain: bool = False) -> tuple[ReadingOrError, PredictResponse]:
        model, stated = self.service.main, self.service.settings.population is not None
        (reading,) = await read_all(model.reader, [image], explain=explain)
        point = replace(model.default_point, by_age=not stated)
        return reading, response(model, point, [None], [reading], LOCAL_REQUEST_ID)

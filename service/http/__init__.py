"""The calls over HTTP, and the page. Imports ``core`` and every room above it in the table of docs/architecture.md.

    middleware (request id, record) -> direct, or FastAPI -> routes or explain -> uploads -> predictions -> answer

``middleware`` surrounds every call. ``direct`` answers ``POST /predict`` without FastAPI's overhead by the functions of
``routes``. ``explain`` adds the picture (``drawing``). An exception becomes a response in ``responses``, by the table
in ``service.problems``. ``openapi`` lists for each call the problems that its route and its dependencies declare with
``@raises``.

``page_files`` sends the files of ``service/page``: no framework, no build step, nothing inline, no address but this
service's; the Content-Security-Policy forbids all of that. The page uses ``GET /model``, ``/model/card``, ``/predict``,
``/explain``, ``/render``, ``/version`` and ``/health/ready`` only. Files stay in the browser and are sent as raw bodies
without a name, four at a time; after a 503 all wait as long as ``Retry-After`` says, and while the service is
unreachable, until it is ready again. ``/explain`` is called only for an image that is opened, ``/render`` for DICOM
objects that come into view. The browser stores the user's preferences, and nothing else.
"""

# The CPU service. Built with BuildKit; nothing is fetched when it runs.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
RUN python3 -m venv /opt/venv
COPY requirements/cpu.txt /tmp/requirements.txt
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/venv/bin/python -m pip --cache-dir /var/cache/pip install --no-compile --no-deps --require-hashes -r /tmp/requirements.txt \
 && /opt/venv/bin/python -m pip uninstall --quiet --yes pip setuptools
WORKDIR /app
COPY contract contract
COPY service service
RUN /opt/venv/bin/python -m compileall -q -j 0 /opt/venv/lib /app

FROM ${PYTHON_IMAGE} AS service
LABEL org.opencontainers.image.title="xray-inference" \
      org.opencontainers.image.description="Reads frontal chest radiographs for pneumonia. Not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
COPY models /app/models
WORKDIR /app
# The variable of contract/__init__.py, once more for whatever else is started in this image.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    XRAY_HOST=0.0.0.0 \
    XRAY_DEVICE=cpu
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --start-interval=1s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
ENTRYPOINT ["python3", "-m", "service"]
CMD ["serve"]

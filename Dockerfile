# Built with BuildKit; nothing is downloaded at run time. Targets: service (CPU; the default), service-gpu, bulk, training,
# and sbom-service and sbom-service-gpu, the software bills of materials of the two services (`docker build --output`).
ARG PYTHON_IMAGE=python:3.11-slim
ARG VERSION=0.1.0
# The CUDA version in the GPU image: 12 (NVIDIA driver 525.60.13 or newer) or 13 (580.65.06 or newer).
ARG CUDA=12
# 0: without the extra dicom, 120 MB smaller; DICOM objects are then refused.
ARG DICOM=1
# 1: with Ray in the target bulk (docs/bulk.md).
ARG CLUSTER=0

FROM ${PYTHON_IMAGE} AS builder
RUN python3 -m venv /opt/venv
# Hashes are checked, and only the packages of the lock file are installed. The result does not contain pip.
COPY --chmod=755 deploy/install.sh /usr/local/bin/install-locked

FROM builder AS build-cpu
ARG DICOM
RUN --mount=type=cache,target=/var/cache/pip \
    --mount=type=bind,source=requirements/cpu.txt,target=/requirements/cpu.txt \
    --mount=type=bind,source=requirements/dicom.txt,target=/requirements/dicom.txt \
    install-locked /requirements/cpu.txt $([ ${DICOM} = 0 ] || echo /requirements/dicom.txt)

FROM builder AS build-gpu
ARG CUDA
ARG DICOM
RUN --mount=type=cache,target=/var/cache/pip \
    --mount=type=bind,source=requirements/gpu.txt,target=/requirements/gpu.txt \
    --mount=type=bind,source=requirements/gpu-cuda12.txt,target=/requirements/gpu-cuda12.txt \
    --mount=type=bind,source=requirements/dicom.txt,target=/requirements/dicom.txt \
    install-locked "/requirements/gpu$([ "${CUDA}" = 13 ] || echo "-cuda${CUDA}").txt" \
    $([ ${DICOM} = 0 ] || echo /requirements/dicom.txt)

FROM builder AS build-bulk
ARG DICOM
ARG CLUSTER
RUN --mount=type=cache,target=/var/cache/pip \
    --mount=type=bind,source=requirements,target=/requirements \
    install-locked /requirements/cpu.txt /requirements/$([ ${CLUSTER} = 0 ] && echo bulk || echo cluster).txt \
    $([ ${DICOM} = 0 ] || echo /requirements/dicom.txt)

FROM builder AS build-training
ARG DICOM
RUN --mount=type=cache,target=/var/cache/pip \
    --mount=type=bind,source=requirements/training.txt,target=/requirements/training.txt \
    --mount=type=bind,source=requirements/dicom.txt,target=/requirements/dicom.txt \
    install-locked /requirements/training.txt $([ ${DICOM} = 0 ] || echo /requirements/dicom.txt)

FROM builder AS app
WORKDIR /app
COPY contract contract
COPY dicom dicom
COPY service service
COPY node node
RUN python3 -m compileall -q /app
COPY models models
COPY docs/errors.md docs/errors.md
RUN mkdir -p /volumes/keys /volumes/audit /volumes/spool

FROM ${PYTHON_IMAGE} AS base
ARG VERSION
ARG REVISION=unknown
LABEL org.opencontainers.image.title="xray-inference" \
      org.opencontainers.image.description="Detects pneumonia on frontal chest radiographs. Not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# ORT_DISABLE_TELEMETRY is also set by contract/__init__.py; here it covers every other process in this image.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1
USER 10001:10001
STOPSIGNAL SIGTERM

FROM base AS serving
WORKDIR /app
ENV XRAY_HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --start-interval=1s --retries=3 \
    CMD ["python3", "-c", "import os, ssl, urllib.request as u; \
        u.urlopen(('https' if os.environ.get('XRAY_TLS_CERTIFICATE') else 'http') + '://127.0.0.1:8000/health/ready', \
        timeout=4, context=ssl._create_unverified_context())"]
# Mount points: a new volume takes its owner from the folder here.
COPY --from=app --chown=10001:10001 /volumes /
ENTRYPOINT ["python3", "-m", "service"]
CMD ["serve"]

FROM base AS training
# A run records the revision that it was trained with; the image contains no git repository.
ARG REVISION=unknown
ENV TRAINING_REVISION=${REVISION} \
    PYTHONPATH=/app \
    KERAS_HOME=/tmp/keras \
    MPLCONFIGDIR=/tmp/matplotlib
COPY --from=build-training /opt/venv /opt/venv
COPY contract /app/contract
COPY dicom /app/dicom
COPY training /app/training
WORKDIR /runs
ENTRYPOINT ["python3", "-m", "training"]
CMD ["--help"]

FROM serving AS service-gpu
# NVIDIA's container runtime then mounts the driver's libraries, only those for computing.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    CUDA_CACHE_PATH=/tmp/cuda
COPY --from=build-gpu /opt/venv /opt/venv
COPY --from=app /app /app

FROM builder AS sbom-tool
RUN --mount=type=cache,target=/var/cache/pip --mount=type=bind,source=requirements/sbom.txt,target=/lock.txt \
    install-locked /lock.txt
COPY deploy/sbom.py /sbom.py
ARG VERSION

FROM sbom-tool AS sbom-service-run
RUN --mount=type=bind,from=build-cpu,source=/opt/venv,target=/opt/listed \
    --mount=type=bind,source=models,target=/models \
    /opt/venv/bin/python /sbom.py /opt/listed /models "${VERSION}" >/sbom.cdx.json
FROM scratch AS sbom-service
COPY --from=sbom-service-run /sbom.cdx.json /sbom-service.cdx.json

FROM sbom-tool AS sbom-service-gpu-run
RUN --mount=type=bind,from=build-gpu,source=/opt/venv,target=/opt/listed \
    --mount=type=bind,source=models,target=/models \
    /opt/venv/bin/python /sbom.py /opt/listed /models "${VERSION}" >/sbom.cdx.json
FROM scratch AS sbom-service-gpu
COPY --from=sbom-service-gpu-run /sbom.cdx.json /sbom-service-gpu.cdx.json

FROM sbom-tool AS sbom-bulk-run
RUN --mount=type=bind,from=build-bulk,source=/opt/venv,target=/opt/listed \
    --mount=type=bind,source=models,target=/models \
    /opt/venv/bin/python /sbom.py /opt/listed /models "${VERSION}" >/sbom.cdx.json
FROM scratch AS sbom-bulk
COPY --from=sbom-bulk-run /sbom.cdx.json /sbom-bulk.cdx.json

FROM serving AS bulk
HEALTHCHECK NONE
COPY --from=build-bulk /opt/venv /opt/venv
COPY --from=app /app /app
ENTRYPOINT ["python3", "-m", "service", "bulk"]
CMD ["--help"]

FROM serving AS node
EXPOSE 11112 9113
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --start-interval=1s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9113/health', timeout=4)"]
COPY --from=build-cpu /opt/venv /opt/venv
COPY --from=app /app /app
ENTRYPOINT ["python3", "-m", "node", "--config", "/etc/xray/node.toml"]
CMD ["run"]

FROM serving AS service
ENV XRAY_DEVICE=cpu
COPY --from=build-cpu /opt/venv /opt/venv
COPY --from=app /app /app

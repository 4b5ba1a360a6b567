# syntax=docker/dockerfile:1
# hotband in a container. compose.yaml runs it with Valkey, Prometheus and Grafana; alone, with an embedded Valkey in the volume:
#   docker build -t hotband . && docker run --rm --init --read-only --tmpfs /tmp --cap-drop ALL -v hotband:/var/lib/hotband -p 127.0.0.1:8100:8100 -e HOTBAND_SOURCE=simulated hotband
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_CACHE_DIR=/var/cache/pip
# Down to which set of constraints.txt the image goes: notify for webhooks, dask for Dask, too.
ARG SETS=notify
WORKDIR /src
COPY constraints.txt ./
# /build makes the wheel; /opt/hotband is what the daemon runs on, without the build backend. pip checks every hash.
RUN --mount=type=cache,target=/var/cache/pip \
    python -m venv /build && python -m venv --without-pip /opt/hotband && \
    sed '/^# end of build$/q' constraints.txt > /build/constraints.txt && \
    sed "/^# build$/,/^# end of build$/d; /^# end of ${SETS}$/q" constraints.txt > /opt/hotband/constraints.txt && \
    /build/bin/python -m pip install --require-hashes --no-build-isolation --requirement /build/constraints.txt && \
    /build/bin/python -m pip --python /opt/hotband/bin/python install --require-hashes --no-build-isolation --requirement /opt/hotband/constraints.txt
COPY pyproject.toml README.md ./
COPY kernels kernels
COPY hotbandd hotbandd
# The suites of numpy and scipy are a tenth of the size. A command then shows that what is left works.
RUN /build/bin/python -m pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /build/dist . && \
    /build/bin/python -m pip --python /opt/hotband/bin/python install --no-index --no-deps /build/dist/*.whl && \
    /build/bin/python -m pip --python /opt/hotband/bin/python check && \
    find /opt/hotband -type d -name tests -prune -exec rm -rf {} + && \
    HOTBAND_SOURCE=simulated /opt/hotband/bin/hotbandd check-config

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="hotband" \
      org.opencontainers.image.description="Which FX instruments may be traded now, how much of the book each may take, and why." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 hotband && \
    useradd --uid 10001 --gid hotband --home-dir /var/lib/hotband --no-create-home --shell /usr/sbin/nologin hotband && \
    install --directory --owner hotband --group hotband --mode 0750 /var/lib/hotband
COPY --from=build /opt/hotband /opt/hotband
ENV PATH=/opt/hotband/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOTBAND_HOME=/var/lib/hotband \
    HOTBAND_HTTP=0.0.0.0:8100 \
    LOG_FORMAT=json
USER 10001:10001
WORKDIR /var/lib/hotband
VOLUME /var/lib/hotband
EXPOSE 8100
STOPSIGNAL SIGTERM
# From what is published, by Valkey alone. Until the history is there nothing is, hence the start period.
HEALTHCHECK --interval=60s --timeout=15s --start-period=15m --retries=3 CMD ["hotbandd", "status", "--json"]
ENTRYPOINT ["hotbandd"]
CMD ["run"]

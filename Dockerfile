# The image of every stage. Torch is the CUDA build of the package index; for machines without a GPU, name an
# index with CPU builds: --build-arg PIP_EXTRA_INDEX_URL=...
ARG BASE=python:3.11-slim

# What to install, as a file that changes only when the dependencies do, whatever else pyproject.toml says.
FROM ${BASE} AS requirements
COPY pyproject.toml /
RUN python -c "import tomllib; print(*tomllib.load(open('/pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > /requirements.txt

FROM ${BASE}
RUN useradd --uid 1000 --create-home tsa
WORKDIR /app

# The packages first: by far the largest layer. Their own tests, 300 MB, stay out of it.
ARG PIP_EXTRA_INDEX_URL
COPY --from=requirements /requirements.txt /tmp/build/
COPY constraints.txt /tmp/build/
RUN python -m pip install --no-cache-dir --disable-pip-version-check \
        -c /tmp/build/constraints.txt -r /tmp/build/requirements.txt setuptools \
    && find "$(python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')" -depth -type d \
        '(' -name test -o -name tests ')' -exec rm -r {} + \
    && rm -rf /tmp/build

# Then the project: a small layer.
COPY . /tmp/build/
RUN python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation /tmp/build \
    && cp /tmp/build/pipeline.py /tmp/build/pipeline.yaml /tmp/build/monitoring.yaml /app/ \
    && cp /tmp/build/deploy/entry.sh /usr/local/bin/entry && chmod 755 /usr/local/bin/entry \
    && rm -rf /tmp/build

# Nothing is downloaded or written outside /tmp at run time, so the root file system may be read-only.
# Threads spin only briefly while they wait for each other: long spinning burns a container's share of the CPU.
ENV HOME=/tmp \
    GOMP_SPINCOUNT=1000 \
    GX_ANALYTICS_ENABLED=false \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 1000:1000
ENTRYPOINT ["entry"]
CMD ["--help"]

# The image of every stage. Torch is the CUDA build of the package index; for machines without a GPU, name an
# index with CPU builds: --build-arg PIP_EXTRA_INDEX_URL=...
ARG BASE=python:3.11-slim
FROM ${BASE}

RUN useradd --uid 1000 --create-home tsa
WORKDIR /app

# The packages first: this layer, by far the largest, changes only when their versions do.
ARG PIP_EXTRA_INDEX_URL
COPY pyproject.toml constraints.txt /tmp/build/
RUN python -c "import tomllib; print(*tomllib.load(open('/tmp/build/pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > /tmp/build/requirements.txt \
    && python -m pip install --no-cache-dir --disable-pip-version-check \
        -c /tmp/build/constraints.txt -r /tmp/build/requirements.txt setuptools \
    && rm -rf /tmp/build

# Then the project: a small layer.
COPY . /tmp/build/
RUN python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation /tmp/build \
    && cp /tmp/build/pipeline.py /tmp/build/pipeline.yaml /app/ \
    && rm -rf /tmp/build

# Nothing is downloaded or written outside /tmp at run time, so the root file system may be read-only.
# Threads sleep while they wait for each other: spinning would burn a container's share of the CPU.
ENV HOME=/tmp \
    OMP_WAIT_POLICY=PASSIVE \
    GX_ANALYTICS_ENABLED=false \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 1000:1000
CMD ["python", "pipeline.py", "--help"]

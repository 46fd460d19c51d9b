# Draws, answers and serves; trains too, from a checkout that is mounted.
#   docker build -t janusflow .
#   docker run --rm -v "$PWD/out:/work/out" janusflow generate "a red circle"
#   docker run --rm --gpus all -p 8000:8000 janusflow serve --host 0.0.0.0
# pip's torch for Linux brings CUDA along. For CPUs alone, at a fraction of the size, name PyTorch's index of CPU wheels:
#   docker build --build-arg TORCH_INDEX=ADDRESS -t janusflow:cpu .
FROM python:3.11-slim

ARG TORCH_INDEX=
ARG EXTRAS=serve

WORKDIR /src
COPY constraints.txt ./
RUN pip install --no-cache-dir -c constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch torchvision
COPY pyproject.toml README.md LICENSE ./
COPY janusflow janusflow
COPY eval eval
RUN pip install --no-cache-dir -c constraints.txt ".[$EXTRAS]" && rm -rf build

RUN useradd --create-home janusflow && mkdir -p /work && chown janusflow /work
USER janusflow
WORKDIR /work
EXPOSE 8000
ENTRYPOINT ["janusflow"]
CMD ["--help"]

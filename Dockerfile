# The command `translate-cohort` for the CPU, called as BIDS Apps are:
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/data:/data:ro" -v "$PWD/results:/out" lmidiffusion /data /out participant
FROM python:3.12-slim

COPY constraints.txt /src/
RUN pip install --no-cache-dir --constraint /src/constraints.txt --no-deps torch --index-url https://download.pytorch.org/whl/cpu \
    && pip install --no-cache-dir --constraint /src/constraints.txt hatchling

COPY pyproject.toml README.md LICENSE /src/
COPY LMIDiffusionLib /src/LMIDiffusionLib
COPY LMIDiffusion/Resources /src/LMIDiffusion/Resources
RUN pip install --no-cache-dir --constraint /src/constraints.txt --no-build-isolation '/src[brain,train]'

# Whoever runs it has a place for caches.
ENV HOME=/tmp
ENTRYPOINT ["lmidiffusion", "translate-cohort"]
CMD ["--help"]

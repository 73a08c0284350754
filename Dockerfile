# witw in its locked environment. CI does not build this file, because it has no container engine.
# hadolint reports nothing; the steps install the same lock as `make env`.
#   docker build -t witw .
#   docker compose run --rm witw sh -c 'snakemake -s "$(witw snakefile)" --cores 8'
FROM python:3.13-slim-trixie

COPY requirements.lock /tmp/requirements.lock
RUN pip install --no-cache-dir --no-deps --require-hashes --compile -r /tmp/requirements.lock \
    && rm /tmp/requirements.lock

COPY . /opt/witw
RUN pip install --no-cache-dir --no-deps --no-build-isolation --compile /opt/witw

# The run folder; results/, photos/, journal/ and the rest are written here.
WORKDIR /work
# The key comes from a file, so it is in no layer and in no process list.
ENTRYPOINT ["/opt/witw/envs/entrypoint.sh"]
CMD ["witw", "--help"]

# The Wherry service.
#
#   scripts/service-image.sh                          builds it, also where no registry and no network can be reached
#   docker build -t wherry/service .                  builds it from the registry and the package index
#   docker build --build-arg BASE=<image> …           on another Debian 12 image that has Python 3.11
#
# The stages run in containers *beside* this one, made by the host's engine. Two things follow:
#
# - The engine's socket is mounted, and whoever can use it is root on the host. This image therefore runs as root and
#   does not pretend otherwise; keep its port private, or give it a rootless engine. (Where the socket belongs
#   to a group, `--user <uid>:<gid of the socket>` works as well, with a home that this user may write.)
# - The workspaces of stages lie in the service's home, and the engine mounts them by their path *on the host*. So the
#   home must have the same path outside and inside:
#
#     docker run -d --name wherry --network host \
#       -v /var/run/docker.sock:/var/run/docker.sock \
#       -v /var/lib/wherry:/var/lib/wherry \
#       wherry/service

ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
ENV PATH=/tmp/uv/bin:$PATH UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_NO_CACHE=1
# First what changes seldom: the packages. uv comes as a wheel that holds one program, so a base with neither pip nor
# venv will do. With .cache/wheels in the context (scripts/service-image.sh puts them there) nothing is downloaded;
# every package is checked by hash either way. The pattern lets the folder be absent.
COPY requirements requirements
COPY .cache/wheel[s] wheels
RUN set -eu; \
    if ls wheels/uv-*.whl >/dev/null 2>&1; then \
      export UV_OFFLINE=1 UV_NO_INDEX=1 UV_FIND_LINKS=/src/wheels; \
      python3 -m zipfile -e wheels/uv-*.whl /tmp/uv; \
      mkdir -p /tmp/uv/bin; mv /tmp/uv/uv-*.data/scripts/uv /tmp/uv/bin/uv; chmod +x /tmp/uv/bin/uv; \
    else \
      python3 -m pip --version >/dev/null 2>&1 || { apt-get update -qq; apt-get install -y -qq --no-install-recommends python3-pip; }; \
      python3 -m pip install -q --target /tmp/uv --no-deps --require-hashes -r requirements/uv.txt; \
    fi; \
    uv venv -q --python "$(command -v python3)" /tmp/hatch; \
    uv pip sync -q --python /tmp/hatch/bin/python --require-hashes requirements/build.txt; \
    uv venv -q --python "$(command -v python3)" /opt/wherry; \
    uv pip sync -q --python /opt/wherry/bin/python --require-hashes --compile-bytecode requirements/service.txt; \
    cp "$(/opt/wherry/bin/python -c 'import botocore; print(botocore.__path__[0])')/cacert.pem" /opt/wherry/cacert.pem
COPY LICENSE README.md pyproject.toml ./
COPY client client
COPY proto proto
COPY service service
RUN set -eu; \
    /tmp/hatch/bin/python -m hatchling build -t wheel -d /tmp/dist; \
    uv pip install -q --python /opt/wherry/bin/python --no-deps --no-index /tmp/dist/*.whl
COPY deploy/health.py /opt/wherry/health.py

FROM ${BASE}
COPY --from=build /opt/wherry /opt/wherry
# The base may have no certificate authorities.
ENV PATH=/opt/wherry/bin:$PATH \
    SSL_CERT_FILE=/opt/wherry/cacert.pem \
    PYTHONUNBUFFERED=1 \
    WHERRY_HOME=/var/lib/wherry \
    WHERRY_LISTEN=127.0.0.1:7707
LABEL org.opencontainers.image.title="wherry service" \
      org.opencontainers.image.licenses="Apache-2.0"
VOLUME /var/lib/wherry
EXPOSE 7707
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD /opt/wherry/bin/python /opt/wherry/health.py "$WHERRY_LISTEN"
ENTRYPOINT ["/opt/wherry/bin/python", "-m", "wherry.service"]

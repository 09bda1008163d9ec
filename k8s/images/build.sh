#!/bin/sh
# Build the project's images with docker or buildah, whichever is there. Usage:
#
#   k8s/images/build.sh [python] [mlflow]      # default: both
#
# Everything else comes from the environment:
#
#   VARIANT        cpu (default) or cuda: which PyTorch
#   TAG            tag of the images; default: the version in pyproject.toml, with -cuda for cuda
#   REGISTRY       what stands before the images' names; default ghcr.io/cfcre
#   BASE_IMAGE     an image with Python 3.11; default python:3.11-slim, better with a digest
#   BUILDER_IMAGE  the same Python with venv; default BASE_IMAGE
#   OFFLINE_WEIGHTS      true (default) or false: carry the compact encoder's weights
#   TORCH_CPU_INDEX_URL  index of the CPU builds; empty: whatever pip.conf says
#   PIP_CONF       a pip.conf with a mirror's address; mounted, never kept in the image
#   CA_BUNDLE      certificates to trust while building; mounted, never kept in the image
#   BUILD_TOOL     docker or buildah; default: docker where its daemon answers, else buildah
#   BUILDAH_ISOLATION    chroot where there is no container runtime
set -eu
cd "$(dirname "$0")/../.."

fail() {
    echo "error: $1" >&2
    exit 2
}

[ $# -gt 0 ] || set -- python mlflow
VARIANT=${VARIANT:-cpu}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
case $VARIANT in
    cpu) TAG=${TAG:-$version} ;;
    cuda) TAG=${TAG:-$version-cuda} ;;
    *) fail "VARIANT is '$VARIANT'; give cpu or cuda" ;;
esac
REGISTRY=${REGISTRY:-ghcr.io/cfcre}

if [ -z "${BUILD_TOOL:-}" ]; then
    if docker info > /dev/null 2>&1; then
        BUILD_TOOL=docker
    elif command -v buildah > /dev/null 2>&1; then
        BUILD_TOOL=buildah
    else
        fail "neither a docker daemon answers nor is buildah installed; on Debian: apt-get install buildah"
    fi
fi

# The time stamp of every file and of the image: the commit's, so that building it again later gives
# the same layers.
revision=$(git rev-parse HEAD 2> /dev/null || echo unknown)
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2> /dev/null || echo 0)
fi
export SOURCE_DATE_EPOCH
if [ "$revision" != unknown ] && [ -n "$(git status --porcelain --untracked-files=no)" ]; then
    revision=$revision-modified
fi
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)

# build NAME CONTEXT TARGET ARGUMENT…
build() {
    name=$1 context=$2 target=$3
    shift 3
    for argument in "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" "VERSION=$version" "REVISION=$revision" \
        "CREATED=$created" ${BASE_IMAGE:+"BASE_IMAGE=$BASE_IMAGE"} \
        ${BUILDER_IMAGE:+"BUILDER_IMAGE=$BUILDER_IMAGE"}; do
        set -- "$@" --build-arg "$argument"
    done
    if [ -n "${PIP_CONF:-}" ]; then set -- "$@" --secret "id=pip_conf,src=$PIP_CONF"; fi
    if [ -n "${CA_BUNDLE:-}" ]; then set -- "$@" --secret "id=ca_bundle,src=$CA_BUNDLE"; fi
    echo "== $name ($BUILD_TOOL, target $target)"
    case $BUILD_TOOL in
        docker)
            DOCKER_BUILDKIT=1 docker build "$@" --target "$target" --tag "$name" "$context"
            ;;
        buildah)
            # The docker format keeps the health check; --timestamp makes layers repeatable.
            buildah build --format docker --isolation "${BUILDAH_ISOLATION:-oci}" \
                --timestamp "$SOURCE_DATE_EPOCH" "$@" --target "$target" --tag "$name" "$context"
            ;;
        *) fail "BUILD_TOOL is '$BUILD_TOOL'; give docker or buildah" ;;
    esac
}

for image in "$@"; do
    case $image in
        python)
            set -- --build-arg "VARIANT=$VARIANT" \
                --build-arg "OFFLINE_WEIGHTS=${OFFLINE_WEIGHTS:-true}"
            if [ "${TORCH_CPU_INDEX_URL-unset}" != unset ]; then
                set -- "$@" --build-arg "TORCH_CPU_INDEX_URL=$TORCH_CPU_INDEX_URL"
            fi
            build "$REGISTRY/cfcre-python:$TAG" . product "$@"
            ;;
        mlflow) build "$REGISTRY/cfcre-mlflow:$version" mlflow server ;;
        *) fail "there is no image '$image'; give python or mlflow" ;;
    esac
done

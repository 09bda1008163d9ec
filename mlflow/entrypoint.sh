#!/bin/sh
# The tracking server's container starts here.
#
#   entrypoint.sh serve [OPTION…]   start the server; options go to `mlflow server`
#   entrypoint.sh migrate           bring both databases to this version's schema, then stop
#   entrypoint.sh COMMAND …         anything else is run as it is
#
# Configuration comes from the environment (mlflow/README.md). What is missing or weak stops the
# start with exit code 2 and one line; no value is ever printed, and none is passed as an argument,
# which other users of a machine could read.
set -eu
# Files made from here on are the server's alone.
umask 077

fail() {
    echo "cfcre-mlflow: error: $1" >&2
    exit 2
}

# One line each: a line break would add lines to the configuration file.
required() {
    eval "value=\${$1:-}"
    [ -n "$value" ] || fail "$1 is empty; $2"
    case $value in
        *"
"*) fail "$1 holds a line break; give one line" ;;
    esac
}

database() {
    required "$1" "give an SQLAlchemy URL: postgresql://USER:PASSWORD@HOST/NAME or sqlite:////FILE"
    case $value in
        postgresql://?* | postgresql+psycopg://?* | sqlite:///?*) ;;
        *) fail "$1 is not a database this image has a driver for; give a postgresql:// or sqlite:/// URL" ;;
    esac
}

check_databases() {
    database MLFLOW_BACKEND_STORE_URI
    database CFCRE_MLFLOW_AUTH_DATABASE_URI
}

check_server() {
    required MLFLOW_ARTIFACTS_DESTINATION "give where artifacts are kept: s3://BUCKET/PREFIX or a folder"
    required MLFLOW_SERVER_ALLOWED_HOSTS "give the names under which clients reach the server, with ports: mlflow.example.org,mlflow:5000"
    # A list with a lone * in it answers to any name.
    case ",$(echo "$value" | tr -d ' ')," in
        *,\*,*) fail "MLFLOW_SERVER_ALLOWED_HOSTS allows every host; name the hosts" ;;
    esac
    required MLFLOW_AUTH_ADMIN_USERNAME "give the administrator's name; there is no default"
    required MLFLOW_AUTH_ADMIN_PASSWORD "give the administrator's password, of 12 characters or more; there is no default"
    [ "${#value}" -ge 12 ] || fail "MLFLOW_AUTH_ADMIN_PASSWORD has ${#value} characters; give 12 or more"
    [ "$value" != "$MLFLOW_AUTH_ADMIN_USERNAME" ] || fail "MLFLOW_AUTH_ADMIN_PASSWORD is the user's name; give another"
    required MLFLOW_FLASK_SERVER_SECRET_KEY "give a random text of 32 characters or more, the same on every replica"
    [ "${#value}" -ge 32 ] || fail "MLFLOW_FLASK_SERVER_SECRET_KEY has ${#value} characters; give 32 or more"
}

# MLflow reads the user database's address from a file only. The parser takes a percent sign as the
# start of a reference, and passwords in URLs are percent-encoded: so each one is doubled.
write_auth_config() {
    folder=$(mktemp -d "${TMPDIR:-/tmp}/cfcre-mlflow.XXXXXX") || fail "no file can be made in ${TMPDIR:-/tmp}"
    MLFLOW_AUTH_CONFIG_PATH=$folder/basic-auth.ini
    {
        echo "[mlflow]"
        printf 'database_uri = %s\n' "$(printf '%s' "$CFCRE_MLFLOW_AUTH_DATABASE_URI" | sed 's/%/%%/g')"
        echo "default_permission = $permission"
        echo "authorization_function = mlflow.server.auth:authenticate_request_basic_auth"
    } > "$MLFLOW_AUTH_CONFIG_PATH"
    export MLFLOW_AUTH_CONFIG_PATH
}

# What a user may do with an object on which nothing was granted to them.
check_permission() {
    permission=${CFCRE_MLFLOW_DEFAULT_PERMISSION:-NO_PERMISSIONS}
    case $permission in
        NO_PERMISSIONS | READ | USE | EDIT | MANAGE) ;;
        *) fail "CFCRE_MLFLOW_DEFAULT_PERMISSION is '$permission'; give NO_PERMISSIONS, READ, USE, EDIT or MANAGE" ;;
    esac
}

[ $# -gt 0 ] || set -- serve
case $1 in
    serve)
        shift
        check_databases
        check_server
        check_permission
        write_auth_config
        unset CFCRE_MLFLOW_AUTH_DATABASE_URI value
        # Databases, artifact destination and hosts are read by MLflow from the environment.
        exec mlflow server --app-name basic-auth --serve-artifacts \
            --host "${CFCRE_MLFLOW_HOST:-0.0.0.0}" --port "${CFCRE_MLFLOW_PORT:-5000}" \
            --workers "${CFCRE_MLFLOW_WORKERS:-2}" "$@"
        ;;
    migrate)
        [ $# -eq 1 ] || fail "migrate takes no arguments"
        check_databases
        exec python3 "$(dirname "$0")/migrate"
        ;;
    *)
        exec "$@"
        ;;
esac

#!/bin/sh
# Writes the secrets of the overlay dev, each with a fresh random password, into secrets/*.env, which
# git ignores. Refuses to overwrite: the volume of Postgres keeps the password it was made with.
set -eu
cd "$(dirname "$0")/secrets"
umask 077

for file in *.env; do
    if [ -e "$file" ]; then
        echo "error: secrets/$file is there already; to begin anew remove secrets/*.env and the volume claims" >&2
        exit 1
    fi
done

# Letters and digits only: nothing of a password has to be escaped in a URL.
random() {
    LC_ALL=C tr -dc 'A-Za-z0-9' < /dev/urandom | head -c "$1"
}

postgres=$(random 32)
host=cfcre-dev-postgres.cfcre.svc.cluster.local:5432

cat > cfcre-dev-postgres.env <<EOF
POSTGRES_PASSWORD=$postgres
EOF
cat > cfcre-ledger.env <<EOF
url=postgresql+psycopg://cfcre:$postgres@$host/cfcre
EOF
cat > cfcre-s3.env <<EOF
AWS_ACCESS_KEY_ID=$(random 20)
AWS_SECRET_ACCESS_KEY=$(random 40)
EOF
cat > cfcre-mlflow-client.env <<EOF
username=cfcre
password=$(random 32)
EOF
cat > cfcre-mlflow-server.env <<EOF
backend-store-uri=postgresql+psycopg://cfcre:$postgres@$host/mlflow
auth-database-uri=postgresql+psycopg://cfcre:$postgres@$host/mlflow_auth
admin-username=admin
admin-password=$(random 32)
flask-secret-key=$(random 48)
EOF
cat > cfcre-webhook.env <<EOF
secret=$(random 48)
EOF
echo "wrote six files into $(pwd)"

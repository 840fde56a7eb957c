#!/bin/bash
# python.sh REQUIREMENTS ID: /venv/main, which scripts of the older images expect, for the user with this id, and uv.
# A proxy's certificate authorities may be given as the build secret 'ca'.
set -euo pipefail

if [ -s /run/secrets/ca ]; then
  export PIP_CERT=/run/secrets/ca
fi
python3 -m venv /venv/main
/venv/main/bin/python -m pip --disable-pip-version-check --no-cache-dir \
  install --upgrade --require-hashes --only-binary :all: --requirement "$1"
mv /venv/main/bin/uv /venv/main/bin/uvx /usr/local/bin/
# pip must not list what is elsewhere.
rm -rf /venv/main/lib/python3*/site-packages/{uv,uv-*.dist-info}
chown -R "$2:$2" /venv/main

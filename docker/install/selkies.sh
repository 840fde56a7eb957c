#!/bin/bash
# selkies.sh REQUIREMENTS: Selkies into /opt/selkies, from wheels whose checksums the file names.
# A proxy's certificate authorities may be given as the build secret 'ca'.
set -euo pipefail

if [ -s /run/secrets/ca ]; then
  export PIP_CERT=/run/secrets/ca
fi
# pip is not in the environment, which has only the packages needed at run time.
python3 -m venv /tmp/pip
python3 -m venv --without-pip /opt/selkies
/tmp/pip/bin/pip --python /opt/selkies/bin/python --disable-pip-version-check --no-cache-dir \
  install --require-hashes --only-binary :all: --requirement "$1"
rm -rf /tmp/pip
# Symbols that only a debugger reads: 8 MB of the compressed image. The libraries that wheels bring along stay as they are:
# their makers changed them after linking, which strip may not understand.
find /opt/selkies/lib -name '*.so' ! -path '*.libs/*' -exec strip --strip-unneeded {} +
/opt/selkies/bin/python -c 'import pixelflux, pcmflux, selkies' || echo "selkies.sh: shared libraries are missing here; they come with packages/streaming.txt" >&2

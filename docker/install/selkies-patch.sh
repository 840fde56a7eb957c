#!/bin/bash
# selkies-patch.sh PATCH: removes what Selkies does on a screen of its own and must not do on a shared screen.
set -euo pipefail

packages=$(/opt/selkies/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# If the patch does not fit a new version, the build fails.
patch --directory "$packages" --strip 1 --fuzz 0 --no-backup-if-mismatch <"$1"
# A scaled picture is scaled smoothly. Where it is not scaled, both ways are the same.
styles=("$packages"/selkies/selkies_web/assets/index-*.css)
[ -f "${styles[0]}" ] && [ ${#styles[@]} = 1 ] || { echo "selkies-patch.sh: where is its style sheet?" >&2; exit 1; }
echo '#videoCanvas,#videoStream,#videoWorkerCanvas{image-rendering:auto!important}' >>"${styles[0]}"
# The desktop's user could not store the compiled files.
/opt/selkies/bin/python -m compileall -q "$packages"/selkies/{display_utils,settings,websockets_mode}.py

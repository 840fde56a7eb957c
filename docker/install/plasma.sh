#!/bin/bash
# plasma.sh: what no setting of Plasma's can say.
set -euo pipefail

# The logout screen asks logind whether the machine will show a boot menu, and takes no answer for a yes.
screen=/usr/share/plasma/look-and-feel/org.kde.breeze.desktop/contents/logout/Logout.qml
if [ -f "$screen" ]; then
  sed -i 's/visible: rebootToBootLoaderMenu$/visible: false/' "$screen"
fi

#!/bin/bash
# plasma.sh: changes to Plasma for which it has no setting.
set -euo pipefail

# The logout screen asks logind whether the machine will show a boot menu, and takes a missing answer for a yes.
screen=/usr/share/plasma/look-and-feel/org.kde.breeze.desktop/contents/logout/Logout.qml
if [ -f "$screen" ]; then
  sed -i 's/visible: rebootToBootLoaderMenu$/visible: false/' "$screen"
fi

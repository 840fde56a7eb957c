#!/bin/bash
# plasma.sh: changes to Plasma for which it has no setting.
set -euo pipefail

# The logout screen asks logind whether the machine will show a boot menu, and takes a missing answer for a yes.
screen=/usr/share/plasma/look-and-feel/org.kde.breeze.desktop/contents/logout/Logout.qml
if [ -f "$screen" ]; then
  sed -i 's/visible: rebootToBootLoaderMenu$/visible: false/' "$screen"
fi

# Entries of the menu that a person has no use for: what only starts the input method, moves the settings of an older one,
# draws a keyboard, or shows crashes that systemd has collected. A file here wins over the package's.
mkdir -p /usr/local/share/applications
for entry in org.fcitx.Fcitx5 org.fcitx.fcitx5-migrator kbd-layout-viewer5 org.kde.drkonqi.coredump.gui; do
  printf '[Desktop Entry]\nType=Application\nName=%s\nNoDisplay=true\n' "$entry" >/usr/local/share/applications/$entry.desktop
done

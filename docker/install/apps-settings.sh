#!/bin/bash
# apps-settings.sh: what the packages of APPS need once, after they are installed.
set -euo pipefail

# For all users: a clone fetches large files without a command before it.
git lfs install --system --skip-repo >/dev/null
# The default of programs that ask Debian's alternatives instead of the desktop.
browser=$(command -v firefox-esr || command -v falkon)
update-alternatives --set x-www-browser "$browser"
# mpv and vim have entries in the menu that open a terminal or nothing.
rm -f /usr/share/applications/vim.desktop /usr/share/applications/htop.desktop

#!/bin/bash
# stand-in.sh: an empty package in place of packages that the desktop's packages name and do not need. It costs nothing,
# they cost 35 MB of the compressed image. Install one of them by name, and apt takes the real one.
#
# - cpp: x11-xserver-utils names the C preprocessor, for macros in files of xrdb. Plasma calls xrdb without them.
# - gdb: Plasma shows a crash report with it.
# - libsmbclient0: shares of Windows in Dolphin.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/package/DEBIAN"
cat >"$folder/package/DEBIAN/control" <<'CONTROL'
Package: desktopd-stand-in
Version: 1
Architecture: all
Maintainer: desktopd
Section: metapackages
Priority: optional
Provides: cpp, gdb, libsmbclient0 (= 2:4.99)
Description: stands for packages that this image leaves out
 Install cpp, gdb or libsmbclient0 by name where you need them.
CONTROL
dpkg-deb --root-owner-group --build "$folder/package" "$folder/stand-in.deb" >/dev/null
dpkg --install "$folder/stand-in.deb"

#!/bin/bash
# Unpacks noVNC's pages out of the distribution's package, signature and checksum verified by apt, without its dependencies.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get -q update
apt-get -q download -o APT::Sandbox::User=root novnc
dpkg-deb --extract novnc_*.deb files
install -d /usr/share/doc/novnc
cp -a files/usr/share/novnc /usr/share/
cp -a files/usr/share/doc/novnc/copyright /usr/share/doc/novnc/

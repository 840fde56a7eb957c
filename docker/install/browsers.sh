#!/bin/bash
# browsers.sh: what Google Chrome needs before somebody installs it. Its package has the program, which this name makes room
# for; rootfs/opt/google/chrome/chrome is started in its place.
set -euo pipefail

dpkg-divert --local --no-rename --divert /opt/google/chrome/chrome.real --add /opt/google/chrome/chrome

#!/bin/bash
# locale.sh LOCALE...: generates NAME.UTF-8 for each, so that LANG may name it; the clock begins in UTC.
set -euo pipefail

for locale in "$@"; do
  localedef -i "$locale" -f UTF-8 "$locale.UTF-8"
done
ln -sf /usr/share/zoneinfo/Etc/UTC /etc/localtime

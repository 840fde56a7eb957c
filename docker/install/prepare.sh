#!/bin/sh
# prepare.sh [LOCALE...]: the first step of an image build; decides which files of packages are installed. For any shell, as
# this script says what is wrong with a base image.
# Documentation, the serif half of the CJK fonts and the translations for other locales than those named are left out when
# packages are unpacked. Licences stay.
set -eu

if ! command -v apt-get >/dev/null || ! command -v bash >/dev/null; then
  echo "prepare.sh: BASE_IMAGE has no apt-get or no bash: name an image of Debian 13 or Ubuntu 24.04" >&2
  exit 1
fi

{
  cat <<'EOF'
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/lintian/*
path-exclude=/usr/share/fonts/opentype/noto/NotoSerifCJK-*
path-exclude=/usr/share/locale/*
path-include=/usr/share/locale/locale.alias
path-include=/usr/share/locale/en/*
EOF
  for locale in "$@"; do
    language=${locale%%_*}
    printf 'path-include=/usr/share/locale/%s/*\n' "$locale" "$language" "$language@*"
  done
} >/etc/dpkg/dpkg.cfg.d/desktopd

# A Docker base image deletes each package file after use; the cache mounts keep the files instead.
rm -f /etc/apt/apt.conf.d/docker-clean
cat >/etc/apt/apt.conf.d/90desktopd <<'EOF'
APT::Install-Recommends "false";
APT::Install-Suggests "false";
Acquire::Retries "3";
EOF

#!/bin/bash
# packages.sh LIST...: installs the packages that the lists name.
#
# A list has one package a line; '#' starts a comment. Where names differ between releases: 'a | b' means the first one that
# this release has, and 'a | -' that a release without it does without.
# Nothing that would make two containers of an image look alike, or that a later start has to undo, is left behind:
# no machine id, no host keys, no certificates, no started daemons.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

policy=/usr/sbin/policy-rc.d
clean() {
  rm -f "$policy"
}
trap clean EXIT
# 101: when a package's script wants to start its daemon, this exit code forbids it.
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

# By default apt takes an archive that does not answer for one without packages.
apt-get -q update -o APT::Update::Error-Mode=any || {
  echo "packages.sh: the archives that BASE_IMAGE names in /etc/apt could not be read (see above): is there a network?" >&2
  exit 1
}
. /etc/os-release

wanted=()
while read -r line; do
  line=${line%%#*}
  IFS='|' read -ra names <<<"$line"
  chosen=
  for name in "${names[@]}"; do
    name=${name//[[:space:]]/}
    if [ "$name" = - ]; then
      chosen=-
      echo "packages.sh: $PRETTY_NAME has no ${line%%[[:space:]|]*}: left out"
      break
    fi
    if [ -n "$name" ] && [ -n "$(apt-cache madison "$name")" ]; then
      chosen=$name
      break
    fi
  done
  if [ "$chosen" = - ]; then
    continue
  elif [ -n "$chosen" ]; then
    wanted+=("$chosen")
  elif [ -n "${line//[[:space:]]/}" ]; then
    echo "packages.sh: $PRETTY_NAME, the BASE_IMAGE, has no package '$line': name an image of Debian 13 or Ubuntu 24.04" >&2
    exit 1
  fi
done < <(cat "$@")

apt-get -q install -y --no-install-recommends -o Dpkg::Use-Pty=0 "${wanted[@]}" || {
  echo "packages.sh: the packages of ${*##*/} could not be installed on the BASE_IMAGE, $PRETTY_NAME (see above)" >&2
  exit 1
}

# git's own folder has a second copy of its program, which prepare.sh leaves out.
if [ -x /usr/bin/git ]; then
  ln -sf ../../bin/git /usr/lib/git-core/git
fi
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
rm -f /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem
rm -f /var/lib/dbus/machine-id /var/lib/systemd/random-seed
: >/etc/machine-id
# Made by package scripts for daemons that do not run here. Programs take /run/systemd/seats alone as a sign of logind.
rm -rf /run/systemd /run/adduser /run/log /run/sendsigs.omit.d
rm -rf /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/cache/debconf/*-old /var/lib/dpkg/*-old
rm -rf /tmp/* /var/tmp/*

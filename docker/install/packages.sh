#!/bin/bash
# packages.sh LIST...: installs the packages that the lists name.
#
# A list has one package a line; '#' starts a comment; 'a | b' means the first one that this release has.
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

apt-get -q update

wanted=()
while read -r line; do
  line=${line%%#*}
  IFS='|' read -ra names <<<"$line"
  chosen=
  for name in "${names[@]}"; do
    name=${name//[[:space:]]/}
    if [ -n "$name" ] && [ -n "$(apt-cache madison "$name")" ]; then
      chosen=$name
      break
    fi
  done
  if [ -n "$chosen" ]; then
    wanted+=("$chosen")
  elif [ -n "${line//[[:space:]]/}" ]; then
    echo "packages.sh: no package for '$line' in this release" >&2
    exit 1
  fi
done < <(cat "$@")

apt-get -q install -y --no-install-recommends -o Dpkg::Use-Pty=0 "${wanted[@]}"

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

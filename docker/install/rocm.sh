#!/bin/bash
# rocm.sh TREE LIST TREE_LIST: ROCm, AMD's software for computing.
#
# TREE is where an image of AMD's (rocm/dev-ubuntu-24.04:…) is mounted, or an empty folder. Empty: the packages of LIST, the
# distribution's own ROCm. Else /opt/rocm-N of that image, and the packages of TREE_LIST, which AMD's libraries need.
set -euo pipefail
shopt -s nullglob
tree=$1 list=$2 tree_list=$3
here=$(dirname "$0")

refuse() {
  echo "rocm.sh: ROCM_IMAGE $*" >&2
  exit 1
}

if [ -z "$(find "$tree" -mindepth 1 -print -quit)" ]; then
  exec "$here/packages.sh" "$list"
fi

versions=()
for folder in "$tree"/opt/rocm-*; do
  [ -d "$folder" ] && [ ! -L "$folder" ] && versions+=("${folder##*/}")
done
[ ${#versions[@]} -gt 0 ] ||
  refuse "has no folder /opt/rocm-N: name an image with ROCm, such as rocm/dev-ubuntu-24.04:6.4.4, or leave the argument out"
newest=$(printf '%s\n' "${versions[@]}" | sort -V | tail -n 1)
[ -e "$tree/opt/$newest/lib/libhsa-runtime64.so.1" ] ||
  refuse "is without ROCm's libraries: /opt/$newest/lib has no libhsa-runtime64.so.1"

"$here/packages.sh" "$tree_list"
for folder in "${versions[@]}"; do
  cp -a "$tree/opt/$folder" /opt/ || refuse "could not be copied (see above): is the disk full?"
done
ln -sfn "$newest" /opt/rocm
printf '/opt/rocm/lib\n' >/etc/ld.so.conf.d/000_rocm.conf
ldconfig

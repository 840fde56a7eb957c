#!/bin/bash
# compile.sh BUILDARCH TARGETARCH FILE: compiles desktopd on a processor of one kind (amd64 or arm64) for one of the other
# kind, or for the same, and puts the program into FILE. Needs Rust; where the kinds differ, needs rustup, too, and as root
# on Debian installs the other kind's linker.
set -euo pipefail
build=${1-} target=${2-} file=${3:?compile.sh: write BUILDARCH TARGETARCH FILE}

# Without the compiled scripts of the portal's pages, the pages work without scripts.
features=()
[ -z "${DESKTOPD_WEB-}" ] || features=(--features web)

# Docker without BuildKit names no architectures: then both are this machine's.
if [ "$build" = "$target" ]; then
  cargo build --release --locked "${features[@]}"
  install -m 755 "${CARGO_TARGET_DIR:-target}/release/desktopd" "$file"
  exit
fi

case $target in
  amd64) triple=x86_64-unknown-linux-gnu tools=x86-64-linux-gnu gcc=x86_64-linux-gnu-gcc ;;
  arm64) triple=aarch64-unknown-linux-gnu tools=aarch64-linux-gnu gcc=aarch64-linux-gnu-gcc ;;
  *)
    echo "compile.sh: desktopd is made for amd64 and arm64, not for '$target': choose another --platform" >&2
    exit 1
    ;;
esac
if ! command -v "$gcc" >/dev/null; then
  apt-get -q update
  DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "gcc-$tools" "libc6-dev-$target-cross"
fi
rustup target add "$triple"
# The names of these variables have the triple, for cargo in capitals.
cargo=${triple^^}
export "CARGO_TARGET_${cargo//-/_}_LINKER=$gcc" "CC_${triple//-/_}=$gcc"
cargo build --release --locked "${features[@]}" --target "$triple"
install -m 755 "${CARGO_TARGET_DIR:-target}/$triple/release/desktopd" "$file"

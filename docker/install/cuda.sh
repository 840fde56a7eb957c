#!/bin/bash
# cuda.sh TREE: CUDA out of the files of one of NVIDIA's images (nvidia/cuda:…), mounted at TREE.
#
# What is taken: the toolkits in /usr/local/cuda-N.M with their folders for older drivers, cuDNN and NCCL, which lie between
# the distribution's own libraries there, and Nsight Compute of a devel image. The loader's and the compiler's settings are
# written here. NVIDIA's licences stay with the files.
set -euo pipefail
shopt -s nullglob
tree=$1

refuse() {
  echo "cuda.sh: CUDA_IMAGE $*" >&2
  exit 1
}

toolkits=()
for folder in "$tree"/usr/local/cuda-*; do
  [ -d "$folder" ] && [ ! -L "$folder" ] && [[ ${folder##*/} =~ ^cuda-[0-9]+\.[0-9]+$ ]] && toolkits+=("${folder##*/}")
done
[ ${#toolkits[@]} -gt 0 ] ||
  refuse "has no folder /usr/local/cuda-N.M: name an image with a toolkit, such as nvidia/cuda:12.9.1-runtime-ubuntu24.04"
newest=$(printf '%s\n' "${toolkits[@]}" | sort -V | tail -n 1)

case $(uname -m) in
  x86_64) target=x86_64-linux triplet=x86_64-linux-gnu ;;
  aarch64) target=sbsa-linux triplet=aarch64-linux-gnu ;;
  *) refuse "cannot serve this image: NVIDIA has CUDA for x86_64 and aarch64, and this is $(uname -m)" ;;
esac
runtime=("$tree/usr/local/$newest/targets/$target/lib"/libcudart.so.*)
[ ${#runtime[@]} -gt 0 ] ||
  refuse "is for another architecture, or without CUDA's libraries: /usr/local/$newest/targets/$target/lib has no libcudart.so"

# copy FROM... TO: complete, or a sentence.
copy() {
  cp -a "$@" || refuse "could not be copied (see above): is the disk full?"
}

# --- the toolkits ---------------------------------------------------------------------------------------------------

for toolkit in "${toolkits[@]}"; do
  copy "$tree/usr/local/$toolkit" /usr/local/
  # NVIDIA's images have these two names as links through /etc/alternatives.
  major=${toolkit%%.*}
  ln -sfn "$(printf '%s\n' "${toolkits[@]}" | grep "^$major\." | sort -V | tail -n 1)" "/usr/local/$major"
done
ln -sfn "$newest" /usr/local/cuda

# --- cuDNN, NCCL, Nsight Compute ------------------------------------------------------------------------------------

# copy_linked FILE TO: a link through /etc/alternatives becomes a link to what the alternative is in that image.
copy_linked() {
  local file=$1 to=$2 goal
  if [ -L "$file" ] && goal=$(readlink "$file") && [[ $goal == /etc/alternatives/* ]]; then
    goal=$(readlink "$tree$goal") || return 0
    ln -sfn "$goal" "$to/${file##*/}"
  else
    copy "$file" "$to/"
  fi
}
for file in "$tree/usr/lib/$triplet"/lib{cudnn,nccl}*.so*; do
  copy_linked "$file" "/usr/lib/$triplet"
done
for folder in "/usr/include/$triplet" /usr/include; do
  headers=("$tree$folder"/{cudnn,nccl}*.h)
  [ ${#headers[@]} -eq 0 ] || install -d "$folder"
  for file in "${headers[@]}"; do
    copy_linked "$file" "$folder"
  done
done
for folder in "$tree"/opt/nvidia/nsight-*; do
  install -d /opt/nvidia
  copy "$folder" /opt/nvidia/
done

# --- settings -------------------------------------------------------------------------------------------------------

# The folder for older drivers (compat) is not named: whether its library works here is found out at each start.
printf '/usr/local/cuda/targets/%s/lib\n' "$target" >/etc/ld.so.conf.d/000_cuda.conf
# Where some clouds mount the driver (GKE, older runtimes of NVIDIA's).
printf '/usr/local/nvidia/lib\n/usr/local/nvidia/lib64\n' >/etc/ld.so.conf.d/nvidia.conf
ldconfig
if [ -f "$tree/NGC-DL-CONTAINER-LICENSE" ]; then
  install -D -m 644 "$tree/NGC-DL-CONTAINER-LICENSE" /usr/share/doc/cuda/NGC-DL-CONTAINER-LICENSE
fi

# glibc 2.41 declares these four functions as noexcept, and so does CUDA from 13.0 on. Older headers do not, and then nvcc
# compiles no file at all.
for header in /usr/local/cuda-{11,12}.*/targets/*/include/crt/math_functions.h; do
  if [ "$(printf '2.41\n%s\n' "$(getconf GNU_LIBC_VERSION | cut -d' ' -f2)" | sort -V | head -n 1)" = 2.41 ]; then
    sed -E -i 's/^(extern __DEVICE_FUNCTIONS_DECL__ .*[[:space:]](sin|cos)pif?\([a-z]+ x\));/\1 noexcept (true);/' "$header"
  fi
done

# NVIDIA's own user space out of Debian's packages, on the image under test: its libraries and its driver for Xorg, of
# which all run without a GPU until they look for one.
ARG IMAGE
FROM ${IMAGE}
RUN for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do \
      if [ -e "$file" ]; then sed -E -i '/^(deb|Components:) /s/ main$/ main contrib non-free/' "$file"; fi; \
    done \
    && apt-get -q update \
    && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends libnvidia-ml1 libcuda1 \
      libglx-nvidia0 libegl-nvidia0 nvidia-egl-icd libnvidia-egl-gbm1 xserver-xorg-video-nvidia

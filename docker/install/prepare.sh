#!/bin/sh
# prepare.sh [LOCALE...]: the first step of an image build; decides which files of packages are installed. For any shell, as
# this script says what is wrong with a base image.
#
# Left out when packages are unpacked, with what each costs in the compressed image: documentation; the serif half of the
# CJK fonts; translations and dictionaries of emoji for other locales than those named (12 MB); sizes of the wallpaper that
# no screen here begins with (39 MB); pictures for accounts (10 MB); the data of devices that only udev reads (4 MB);
# serif fonts of scripts that have another, and scripts of ancient texts (9 MB); git's servers (8 MB); sounds of an older
# desktop (2 MB); four rare ways to type Chinese (9 MB; pinyin, shuangpin, wubi, cangjie, dianbao and ziranma stay). Licences
# stay.
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
path-exclude=/usr/share/wallpapers/*/contents/images*/*
path-include=/usr/share/wallpapers/*/contents/images*/1920x1080.*
path-include=/usr/share/wallpapers/*/contents/images*/2560x1440.*
path-exclude=/usr/share/plasma/avatars/*
path-exclude=/usr/share/plasma/emoji/*
path-include=/usr/share/plasma/emoji/en.dict
path-exclude=/usr/share/fcitx5/emoji/data/*
path-include=/usr/share/fcitx5/emoji/data/en.dict
path-exclude=/usr/lib/udev/hwdb.d/*
path-exclude=/usr/share/sounds/[Oo]xygen*
path-exclude=/usr/share/fonts/truetype/noto/NotoSerif[A-SU-Z]*
path-exclude=/usr/share/fonts/truetype/noto/NotoSerifT[ae]*
path-exclude=/usr/share/fonts/truetype/noto/NotoSansDisplay-*
path-exclude=/usr/share/fonts/truetype/noto/NotoSansSignWriting-*
path-exclude=/usr/share/fonts/truetype/noto/NotoSansCuneiform-*
path-exclude=/usr/share/fonts/truetype/noto/NotoSans*Hieroglyphs-*
path-exclude=/usr/share/fonts/truetype/noto/NotoSansDuployan-*
path-exclude=/usr/share/fonts/truetype/noto/NotoSansLinear*
path-exclude=/usr/share/fonts/truetype/noto/NotoSansTifinagh[A-Z]*
path-exclude=/usr/share/fonts/truetype/noto/Noto*Nushu-*
path-exclude=/usr/share/libime/erbi.main.dict
path-exclude=/usr/share/fcitx5/inputmethod/erbi.conf
path-exclude=/usr/share/libime/qxm.main.dict
path-exclude=/usr/share/fcitx5/inputmethod/qxm.conf
path-exclude=/usr/share/libime/wanfeng.main.dict
path-exclude=/usr/share/fcitx5/inputmethod/wanfeng.conf
path-exclude=/usr/share/libime/wbpy.main.dict
path-exclude=/usr/share/fcitx5/inputmethod/wbpy.conf
path-exclude=/usr/lib/git-core/git
path-exclude=/usr/lib/git-core/git-daemon
path-exclude=/usr/lib/git-core/git-http-backend
path-exclude=/usr/lib/git-core/git-http-push
path-exclude=/usr/lib/git-core/git-imap-send
path-exclude=/usr/lib/git-core/git-shell
path-exclude=/usr/lib/git-core/scalar
path-exclude=/usr/bin/git-shell
path-exclude=/usr/bin/scalar
EOF
  for locale in "$@"; do
    language=${locale%%_*}
    printf 'path-include=/usr/share/locale/%s/*\n' "$locale" "$language" "$language@*"
    for folder in plasma/emoji fcitx5/emoji/data; do
      printf "path-include=/usr/share/$folder/%s.dict\n" "$locale" "$language"
    done
  done
} >/etc/dpkg/dpkg.cfg.d/desktopd

# A Docker base image deletes each package file after use; the cache mounts keep the files instead.
rm -f /etc/apt/apt.conf.d/docker-clean
cat >/etc/apt/apt.conf.d/90desktopd <<'EOF'
APT::Install-Recommends "false";
APT::Install-Suggests "false";
Acquire::Retries "3";
EOF

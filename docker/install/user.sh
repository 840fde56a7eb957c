#!/bin/bash
# user.sh NAME ID: the desktop's user. Its password is locked with '*': sshd refuses keys for accounts locked with '!'.
set -euo pipefail
name=$1
id=$2

# Ubuntu's images have a user with this id already.
taken=$(getent passwd "$id" | cut -d: -f1 || true)
if [ -n "$taken" ] && [ "$taken" != "$name" ]; then
  userdel --remove "$taken" 2>/dev/null || userdel "$taken"
fi
getent group "$name" >/dev/null || groupadd --gid "$id" "$name"
useradd --uid "$id" --gid "$id" --create-home --home-dir "/home/$name" --shell /bin/bash --password '*' "$name"
chmod 755 "/home/$name"
for group in audio video render input; do
  if getent group "$group" >/dev/null; then
    usermod --append --groups "$group" "$name"
  fi
done
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid-
# This fails where the container engine was started from a user's session, and would end each SSH login and each job of
# cron.
for service in sshd cron; do
  if [ -f /etc/pam.d/$service ]; then
    sed -i 's/^session\( *\)required\( *pam_loginuid.so\)/session\1optional\2/' /etc/pam.d/$service
  fi
done

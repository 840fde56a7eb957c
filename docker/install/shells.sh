#!/bin/bash
# shells.sh: makes every shell read the environment of the desktop. The boot step `environment` does the same if it was
# not done here; here it is for images whose root file system is read-only.
set -euo pipefail

ln -sfn /etc/desktopd/files/shell.sh /etc/profile.d/desktopd.sh
# At the beginning of the file: the lines that follow apply only to interactive shells.
sed -i '1i [ -r /etc/profile.d/desktopd.sh ] && . /etc/profile.d/desktopd.sh\n' /etc/bash.bashrc
# At its end: only interactive shells come that far. A user's own ~/.bashrc may have read the file already.
cat >>/etc/bash.bashrc <<'END'

if [ -z "${BASH_COMPLETION_VERSINFO-}" ] && ! shopt -oq posix && [ -r /usr/share/bash-completion/bash_completion ]; then
  . /usr/share/bash-completion/bash_completion
fi
END
echo UTC >/etc/timezone

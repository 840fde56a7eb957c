# The environment of every shell. /etc/profile.d has a link to this file, for login shells, and /etc/bash.bashrc reads
# it, for all other bash shells: interactive ones, and those in which sshd runs commands. It prints nothing, and works
# in any POSIX shell.

if [ "${_desktopd_read-}" != "$$" ]; then
  # A login shell reads this file twice.
  _desktopd_read=$$
  case $- in *a*) _desktopd_all=yes ;; *) _desktopd_all= ;; esac
  # An active Python or Conda environment stays active, and so does another display (`ssh -X`) or bus.
  _desktopd_path=
  [ -n "${VIRTUAL_ENV-}${CONDA_PREFIX-}" ] && _desktopd_path=$PATH
  _desktopd_display=${DISPLAY-}
  # The image's own display, set for programs without a shell; the user did not choose it.
  [ "$_desktopd_display" = :0.0 ] && _desktopd_display=
  _desktopd_bus=${DBUS_SESSION_BUS_ADDRESS-}

  set -a
  [ -r /run/desktopd/environment.sh ] && . /run/desktopd/environment.sh
  # Changes that users made since. Other shells than bash would end at a mistake in the file.
  [ -n "${BASH_VERSION-}" ] && [ -r /etc/environment ] && { . /etc/environment || :; } 2>/dev/null
  # The variables of the desktop's user. Never for root: that user could make root run anything.
  if [ -n "${BASH_VERSION-}" ] && [ ! -O / ] && [ -O /var/lib/desktopd-user/environment ]; then
    { . /var/lib/desktopd-user/environment || :; } 2>/dev/null
  fi
  # The secrets of the container, for root.
  [ -r /run/desktopd/environment-root.sh ] && . /run/desktopd/environment-root.sh

  case $- in
    *i*)
      umask 002
      # A volume that does not answer must not block the login.
      if [ -n "${WORKSPACE-}" ] && timeout 2 test -d "$WORKSPACE" 2>/dev/null; then
        _desktopd_file=${WORKSPACE%/}/.env
        # Only a file that no other user can have put there.
        if [ -n "${BASH_VERSION-}" ] && [ -O "$_desktopd_file" ] && [ -r "$_desktopd_file" ]; then
          if [ "$EUID" != 0 ] || [ -O "$WORKSPACE" ]; then { . "$_desktopd_file" || :; } 2>/dev/null; fi
        fi
        # Only if the user did not choose a folder.
        case $PWD in "${HOME-}" | /) [ "${SHLVL:-1}" -gt 1 ] || cd "$WORKSPACE" 2>/dev/null ;; esac
      fi
      ;;
  esac
  [ -n "$_desktopd_all" ] || set +a

  # Variables that a login sets and `docker exec` does not: the user's names, home and shell.
  if [ -z "${USER-}" ] || [ -z "${LOGNAME-}" ] || [ -z "${SHELL-}" ] || [ -z "${HOME-}" ]; then
    _desktopd_who=$(getent passwd "$(id -u)" 2>/dev/null) || _desktopd_who=
    if [ -n "$_desktopd_who" ]; then
      : "${USER:=${_desktopd_who%%:*}}" "${SHELL:=${_desktopd_who##*:}}"
      _desktopd_who=${_desktopd_who%:*}
      : "${LOGNAME:=$USER}" "${HOME:=${_desktopd_who##*:}}"
    fi
    unset _desktopd_who
  fi
  # bash sets SHELL but does not export it.
  export USER LOGNAME SHELL HOME

  if [ -n "$_desktopd_path" ]; then
    PATH=$_desktopd_path
  # On a volume that does not answer, looking at the environment would block the login.
  elif [ ! -L /venv/main ] || timeout 2 test -r /venv/main/bin/activate 2>/dev/null; then
    # The image's Python environment, active in every shell as in the older images. It belongs to the desktop's user: root
    # gets it only where that user may become root anyway, by sudo.
    if [ -r /venv/main/bin/activate ] && { [ ! -O / ] || ! grep -q '^NoNewPrivs:.*1' /proc/self/status; }; then
      # Not in the prompt, which files that are read later set.
      VIRTUAL_ENV_DISABLE_PROMPT=1
      . /venv/main/bin/activate
      unset VIRTUAL_ENV_DISABLE_PROMPT
    fi
  fi
  [ -n "$_desktopd_display" ] && DISPLAY=$_desktopd_display
  [ -n "$_desktopd_bus" ] && DBUS_SESSION_BUS_ADDRESS=$_desktopd_bus
  # The session belongs to its user alone: files of other users' programs in it would lock its user out.
  if ! [ -O "${XDG_RUNTIME_DIR-/}" ]; then
    unset XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS KDE_SESSION_UID GTK_RC_FILES GTK2_RC_FILES
    # Programs must also not read settings from another user's home.
    case ${XDG_CONFIG_DIRS-} in */kdedefaults:*) XDG_CONFIG_DIRS=${XDG_CONFIG_DIRS#*:} ;; esac
  fi
  unset _desktopd_all _desktopd_path _desktopd_display _desktopd_bus _desktopd_file
fi
:

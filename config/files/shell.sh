# What every shell sees. /etc/profile.d leads here, for login shells, and so does /etc/bash.bashrc, for all others of bash:
# those that people open, and those that sshd runs commands with. Silent, and for any POSIX shell.

if [ "${_desktopd_read-}" != "$$" ]; then
  # A login shell comes here twice.
  _desktopd_read=$$
  case $- in *a*) _desktopd_all=yes ;; *) _desktopd_all= ;; esac
  # An environment of Python's or Conda's that is active here stays so, and so does another display (`ssh -X`) or bus.
  _desktopd_path=
  [ -n "${VIRTUAL_ENV-}${CONDA_PREFIX-}" ] && _desktopd_path=$PATH
  _desktopd_display=${DISPLAY-}
  _desktopd_bus=${DBUS_SESSION_BUS_ADDRESS-}

  set -a
  [ -r /run/desktopd/environment.sh ] && . /run/desktopd/environment.sh
  # What somebody changed since. Another shell than bash would end over a mistake there.
  [ -n "${BASH_VERSION-}" ] && [ -r /etc/environment ] && { . /etc/environment || :; } 2>/dev/null
  # The secrets of the container, for root.
  [ -r /run/desktopd/environment-root.sh ] && . /run/desktopd/environment-root.sh

  case $- in
    *i*)
      umask 002
      # A volume that does not answer must not keep anybody out.
      if [ -n "${WORKSPACE-}" ] && timeout 2 test -d "$WORKSPACE" 2>/dev/null; then
        _desktopd_file=${WORKSPACE%/}/.env
        # Only what nobody else can have put there.
        if [ -n "${BASH_VERSION-}" ] && [ -O "$_desktopd_file" ] && [ -r "$_desktopd_file" ]; then
          if [ "$EUID" != 0 ] || [ -O "$WORKSPACE" ]; then { . "$_desktopd_file" || :; } 2>/dev/null; fi
        fi
        # Where nobody chose a folder.
        case $PWD in "${HOME-}" | /) [ "${SHLVL:-1}" -gt 1 ] || cd "$WORKSPACE" 2>/dev/null ;; esac
      fi
      ;;
  esac
  [ -n "$_desktopd_all" ] || set +a

  # What a login has and `docker exec` does not give: who this is.
  if [ -z "${USER-}" ] || [ -z "${LOGNAME-}" ] || [ -z "${SHELL-}" ] || [ -z "${HOME-}" ]; then
    _desktopd_who=$(getent passwd "$(id -u)") || _desktopd_who=
    if [ -n "$_desktopd_who" ]; then
      : "${USER:=${_desktopd_who%%:*}}" "${SHELL:=${_desktopd_who##*:}}"
      _desktopd_who=${_desktopd_who%:*}
      : "${LOGNAME:=$USER}" "${HOME:=${_desktopd_who##*:}}"
    fi
    unset _desktopd_who
  fi
  # bash knows its SHELL and tells nobody.
  export USER LOGNAME SHELL HOME

  [ -n "$_desktopd_path" ] && PATH=$_desktopd_path
  [ -n "$_desktopd_display" ] && DISPLAY=$_desktopd_display
  [ -n "$_desktopd_bus" ] && DBUS_SESSION_BUS_ADDRESS=$_desktopd_bus
  # The session is its user's alone: what programs of somebody else's leave there would keep its user out.
  if ! [ -O "${XDG_RUNTIME_DIR-/}" ]; then
    unset XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS KDE_SESSION_UID GTK_RC_FILES GTK2_RC_FILES
    # Nor do programs take settings from a home of somebody else's.
    case ${XDG_CONFIG_DIRS-} in */kdedefaults:*) XDG_CONFIG_DIRS=${XDG_CONFIG_DIRS#*:} ;; esac
  fi
  unset _desktopd_all _desktopd_path _desktopd_display _desktopd_bus _desktopd_file
fi
:

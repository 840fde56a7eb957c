# Sources scripts one after another, so that each sees the variables and functions of those before it, and reports its
# progress to the step. Arguments: the step's folder, the step's pid, the scripts.
__desktopd_folder=$1
__desktopd_out=/proc/$2/fd/1
__desktopd_err=/proc/$2/fd/2
shift 2
__desktopd_scripts=("$@")
set --
__desktopd_turn=0
__desktopd_path=$PATH
__desktopd_options=$(set +o; shopt -p)

# A program started here gets the exported variables. There is a file for each script: what was saved stays if the next
# file cannot be written.
__desktopd_save() { /usr/bin/cat /proc/self/environ >|"$__desktopd_folder/left.$__desktopd_turn"; }

__desktopd_tell() { builtin printf '%s\n' "$1" >|"$__desktopd_folder/told"; }

for __desktopd_script in "${__desktopd_scripts[@]}"; do
    # Undoes changes to the shell by the script before, so that they do not affect the next script.
    set +eu
    __desktopd_turn=$((__desktopd_turn + 1))
    trap - DEBUG ERR RETURN INT TERM HUP
    trap __desktopd_save EXIT
    exec <"/dev/null" >"$__desktopd_out" 2>"$__desktopd_err"
    eval "$__desktopd_options" 2>"/dev/null"
    if [ -z "$PATH" ]; then
        export PATH=$__desktopd_path
        builtin printf >&2 'PATH was unset by a script; it stays as it was\n'
    fi
    builtin cd /
    umask 002
    builtin printf '== %s\n' "$__desktopd_script"
    __desktopd_inside=1
    __desktopd_tell begin
    . "$__desktopd_script"
    __desktopd_code=$?
    set +eu
    exec >"$__desktopd_out" 2>"$__desktopd_err"
    __desktopd_save
    __desktopd_inside=
    __desktopd_tell "end $__desktopd_code"
done
trap - EXIT
# A script left the loop by `break`.
[ -z "$__desktopd_inside" ] || __desktopd_save
__desktopd_tell "done"

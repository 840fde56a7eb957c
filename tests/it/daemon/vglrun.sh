#!/bin/sh
# A stand-in for VirtualGL's vglrun, which behaves as version 3.1.5 was seen to. The libraries are in VGL_LIBDIR, if the
# test has made some.
help() {
    echo "Usage: vglrun [options] [--] <3D application> [3D application args]"
    exit "$1"
}
while [ $# -gt 0 ]; do
    case "$1" in
    -d) VGL_DISPLAY=$2; export VGL_DISPLAY; shift ;;
    -fps) VGL_FPS=$2; export VGL_FPS; shift ;;
    +wm) VGL_WM=1; export VGL_WM ;;
    -h | --help) help 0 ;;
    --) shift; break ;;
    -*) help 1 ;;
    *) break ;;
    esac
    shift
done
[ $# -gt 0 ] || help 0
export VGL_ISACTIVE=1
if [ -n "$VGL_LIBDIR" ]; then
    export LD_LIBRARY_PATH="$VGL_LIBDIR:$LD_LIBRARY_PATH"
    # Those of a vglrun further up are replaced, so that no library is there twice.
    others=$(printf '%s' "$LD_PRELOAD" | tr : '\n' | grep -v -x -e libdlfaker.so -e libvglfaker.so | paste -s -d : -)
    export LD_PRELOAD="libdlfaker.so:libvglfaker.so${others:+:$others}"
fi
exec "$@"

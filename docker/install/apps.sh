#!/bin/sh
# apps.sh APPS: prints the lists of packages of a value of the build argument APPS, one name a line. An unknown value is
# an error, also for the build. For any shell: on a base image without bash, prepare.sh has to be the one that speaks.
set -eu

case ${1-} in
  minimal) ;;
  standard) echo apps-standard.txt ;;
  studio) printf '%s\n' apps-standard.txt apps-studio.txt ;;
  dev) printf '%s\n' apps-standard.txt apps-dev.txt ;;
  *)
    echo "apps.sh: the build argument APPS is '${1-}': it must be minimal, standard, studio or dev" >&2
    exit 1
    ;;
esac

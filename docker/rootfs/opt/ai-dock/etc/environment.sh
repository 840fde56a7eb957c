# Users' scripts read this file for the environment of the container.
. /etc/profile.d/desktopd.sh

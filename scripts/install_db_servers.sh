#!/usr/bin/env bash
# Install a PostgreSQL and a MariaDB server from Debian's packages, for the tests that start servers of their own.
#
# Nothing is left running: the tests start private servers in temporary folders. Safe to run again; where it cannot
# install (not root, not Debian) it says so, changes nothing, and exits 0, as those tests then skip with a reason.
set -euo pipefail

has() { PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null 2>&1; }
has_postgresql() { has postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }
has_mysql() { has mariadbd || has mysqld; }

wanted=()
has_postgresql || wanted+=(postgresql)
has_mysql || wanted+=(mariadb-server)
if [ ${#wanted[@]} -eq 0 ]; then
  echo "PostgreSQL and MariaDB (or MySQL) are already installed."
  exit 0
fi
if ! has apt-get; then
  echo "Not installed: ${wanted[*]}. This is no Debian system; install them by its own means to run those tests."
  exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "Not installed: ${wanted[*]}. Run as root to install them: sudo $0"
  exit 0
fi

# Debian starts a server as it installs one, unless this file says no. Only a file of our own is taken away again.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
has_postgresql && has_mysql
echo "Installed: ${wanted[*]}. No server is running."

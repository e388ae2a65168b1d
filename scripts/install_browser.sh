#!/usr/bin/env bash
# Install Chromium from Debian's packages, for the tests that look at the training report in a real browser.
#
# Nothing is left running: the tests start a headless browser with a throw-away profile and end it. Safe to run again;
# where it cannot install (not root, no apt) it says so, changes nothing, and exits 0, as those tests then skip with a
# reason. Ubuntu's own chromium package is only a door to a snap; there, any Chrome on PATH or in CHROME serves.
set -euo pipefail

for name in ${CHROME:+"$CHROME"} chromium chromium-browser google-chrome google-chrome-stable chrome; do
  if command -v "$name" >/dev/null 2>&1; then
    echo "A browser is already installed: $(command -v "$name")"
    exit 0
  fi
done
if ! command -v apt-get >/dev/null 2>&1; then
  echo "Not installed: chromium. There is no apt-get here; install Chrome or Chromium by the system's own means."
  exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "Not installed: chromium. Run as root to install it: sudo $0"
  exit 0
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium >/dev/null
echo "Installed: $(command -v chromium)."

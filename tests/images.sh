#!/usr/bin/env bash
# Makes the container images that the tests run, from Debian's packages and without a registry:
# local/busybox:1, redis:7 and redis:3.2 (the same bytes as redis:7; only its name matters).
# What is there already is left alone. Also installs the programs that the tests need beside them.
set -euo pipefail

missing() { ! docker image inspect "$1" >/dev/null 2>&1; }

need() { # PROGRAM PACKAGE
  command -v "$1" >/dev/null && return
  apt-get install -y -q --no-install-recommends "$2" >&2
}

# Copies a program and the libraries that it loads.
with_libs() { # ROOT PROGRAM
  local file
  install -D -m 755 "$(readlink -f "$2")" "$1$2"
  ldd "$2" | grep -o '/[^ ]*' | while read -r file; do
    [ -e "$1$file" ] || install -D -m 755 "$(readlink -f "$file")" "$1$file"
  done
}

# A root with busybox under each of its names.
root() { # ROOT
  local applet busybox
  busybox=$(command -v busybox)
  mkdir -p "$1"/{bin,dev,etc,proc,root,sys,tmp}
  chmod 1777 "$1/tmp"
  cp "$busybox" "$1/bin/busybox"
  for applet in $("$busybox" --list); do
    [ "$applet" = busybox ] || ln -sf busybox "$1/bin/$applet"
  done
  echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
}

import() { # ROOT IMAGE CHANGE…
  local dir=$1 image=$2 change
  shift 2
  local args=()
  for change in "$@"; do args+=(--change "$change"); done
  tar --owner=0 --group=0 -C "$dir" -c . | docker import "${args[@]}" - "$image" >/dev/null
  echo "made $image"
}

# A registry of our own, for the tests that pull.
need docker-registry docker-registry

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if missing local/busybox:1; then
  need busybox busybox-static
  root "$work/busybox"
  import "$work/busybox" local/busybox:1 'CMD ["/bin/sh"]' 'ENV PATH=/bin'
fi

if missing redis:7; then
  need busybox busybox-static
  need redis-server redis-server
  root "$work/redis"
  with_libs "$work/redis" "$(command -v redis-server)"
  with_libs "$work/redis" "$(command -v redis-cli)"
  mkdir -p "$work/redis/data"
  import "$work/redis" redis:7 "ENTRYPOINT [\"$(command -v redis-server)\"]" 'WORKDIR /data' \
    'CMD ["--bind","0.0.0.0","--protected-mode","no","--save",""]' 'ENV PATH=/bin:/usr/bin' \
    'EXPOSE 6379'
fi

if missing redis:3.2; then
  docker tag redis:7 redis:3.2
  echo "made redis:3.2"
fi

#!/usr/bin/env bash
# One server and three clients on this machine, from the four files beside this script.
# usage: testnet/workshop/run.sh [PATH_TO_TUMEN]   Ctrl-C stops them; what they keep stays below
# /tmp/tumen-workshop, so the next run goes on where this one ended.
set -euo pipefail

tumen=${1:-tumen}
here=$(cd "$(dirname "$0")" && pwd)
logs=/tmp/tumen-workshop
mkdir -p "$logs"

pids=()
finish() {
  trap - EXIT INT TERM
  kill -TERM "${pids[@]}" 2>/dev/null || true
  wait "${pids[@]}" 2>/dev/null || true
}
trap finish EXIT INT TERM

for name in server client1 client2 client3; do
  "$tumen" agent -config="$here/$name.hcl" >"$logs/$name.log" 2>&1 &
  pids+=("$!")
  echo "$name: pid $!, log $logs/$name.log"
done

export NOMAD_ADDR=http://127.0.0.1:4646
ready() { "$tumen" node status 2>/dev/null | grep -c ' ready$' || true; }
for _ in $(seq 100); do
  [ "$(ready)" = 3 ] && break
  for pid in "${pids[@]}"; do
    kill -0 "$pid" 2>/dev/null || { echo "an agent has ended; see the logs in $logs" >&2; exit 1; }
  done
  sleep 0.1
done
"$tumen" server members
"$tumen" node status
echo
echo "The pages are at $NOMAD_ADDR/ui/. Next: tumen job run testnet/workshop/three.nomad.hcl"
wait "${pids[@]}"

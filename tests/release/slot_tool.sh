#!/bin/sh
# The slots of a toy host, in the directory it is started in: same words and answers as the host tool, no units.
set -eu
slot() { # NAME
  release=$(cat "slot-$1" 2>/dev/null || true)
  [ -n "$release" ] || { printf '"%s":{"release":"","version":"","running":false,"ready":false}' "$1"; return; }
  ready=true; [ ! -e "broken-$release" ] || ready=false
  printf '"%s":{"release":"%s","version":"%s","running":true,"ready":%s}' "$1" "$release" "${release%-*}" "$ready"
}
case $1 in
  status) printf '{"active":"%s","slots":{%s,%s}}\n' "$(cat active 2>/dev/null || true)" "$(slot blue)" "$(slot green)" ;;
  start) echo "$3" > "slot-$2" ;;
  switch)
    [ ! -e down ] || { echo "disk is on fire" >&2; exit 1; }
    [ -s "slot-$2" ] || { echo "slot $2 is empty" >&2; exit 1; }
    [ ! -e "broken-$(cat "slot-$2")" ] || { echo "slot $2 is not ready" >&2; exit 1; }
    echo "$2" > active.new; mv active.new active; echo "$2 $(cat "slot-$2")" >> switches ;;
  *) exit 2 ;;
esac

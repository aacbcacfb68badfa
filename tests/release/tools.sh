#!/bin/sh
# Stands where Python does in the conductor's command lines ("-m TOOL ..."), notes each call, and answers as the files
# in $TOY/say tell it to: say/TOOL holds one exit code a line, used up from the top, the last one for ever.
set -eu
shift; tool=$1; shift
echo "$tool $*" >> "$TOY/calls"
out=; phase=; entry=; hosts=; release=; previous=
for word in "$@"; do
  case $previous in --out) out=$word ;; --phase) phase=$word ;; --limit) hosts="$hosts $word" ;; esac
  case $word in infra/*.py) entry=${word#infra/}; entry=${entry%.py} ;; release=*) release=${word#release=} ;; esac
  previous=$word
done
case $tool in pyinfra) name=$entry ;; pytest) name=$phase ;; *) name=${tool##*.} ;; esac
answer() { # the next exit code of this tool
  file=$TOY/say/$name; [ -s "$file" ] || { echo 0; return; }
  head -n1 "$file"; [ "$(wc -l < "$file")" -le 1 ] || sed -i 1d "$file"
}
[ ! -e "$TOY/say/$name-hangs" ] || { touch "$TOY/hanging"; sleep 60; }
rc=$(answer)
case $name in
  app_stage)
    [ "$rc" = 0 ] || { echo "app1: disk full"; exit "$rc"; }
    for host in $hosts; do
      cd "$TOY/$host"
      [ "$(cat active 2>/dev/null || true)" = blue ] && to=green || to=blue
      echo "$release" > "slot-$to"
    done ;;
  pre|post|rollback)
    mkdir -p "$out"; gate=open; outcome=PASS
    [ "$rc" = 0 ] || { gate=closed; outcome=FAIL; }
    printf '{"gate":"%s","totals":{"%s":1},"items":[{"id":"TOY-1","outcome":"%s"}]}\n' $gate $outcome $outcome > "$out/report.json"
    echo "<p>$phase</p>" > "$out/report.html" ;;
  run)
    mkdir -p "$out"; errors=$rc; rc=0
    cat > "$out/load.json" <<EOF
{"offered": {"requests": 320, "rate": 40.0}, "achieved": {"requests": 320, "good": 320, "rate": 40.0}, "errors": $errors,
 "endpoints": {"search": {"requests": 320, "p50_ms": 9.5, "p95_ms": 20.0}}, "missed": [], "voided": null}
EOF
    ;;
  pairs)
    mkdir -p "$out"
    for pair in 1 2; do echo "{\"pair\": $pair, \"latencies_ms\": [10.0]}"; done | tee -a "$out/A.jsonl" >> "$out/B.jsonl" ;;
  prober)
    trap 'echo "{\"sent\": 100, \"lost\": $rc}" > "$out"; exit "$rc"' TERM
    while :; do sleep 0.1; done ;;
  judge) echo '{"verdict": "toy", "sentence": "as the toy said"}' > "$out" ;;
  collect) [ "$rc" = 0 ] && echo '{}' > "$out" ;;
esac
exit "$rc"

#!/bin/sh
# Checks the metrics and the alert rules with Prometheus' own tools, and pushes to a real
# Pushgateway. The test suite does not need it, because it needs packages:
#
#   apt-get install --no-install-recommends prometheus prometheus-pushgateway
#
#   scripts/check-metrics.sh
#       checks the alert rules of deploy/ and their tests
#   scripts/check-metrics.sh FILE.prom
#       checks also a file that --metrics-file has written
#   scripts/check-metrics.sh COMMAND...
#       runs s3-to-mysql ARGS... with --metrics-file and with --metrics-push to a Pushgateway that
#       it starts, checks the file, and compares what the gateway shows with it
#
# Exits 1 if anything is wrong, and 69 with the remedy if a tool is missing.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
for tool in promtool curl; do
    if ! command -v "$tool" >/dev/null; then
        echo "error: $tool is missing: apt-get install prometheus prometheus-pushgateway curl" >&2
        exit 69
    fi
done

promtool check rules "$root/deploy/prometheus-alerts.yaml"
promtool test rules "$root/deploy/prometheus-alerts-test.yaml"

if [ $# -eq 0 ]; then
    exit 0
fi
if [ $# -eq 1 ]; then
    promtool check metrics <"$1"
    echo "$1: the metrics are right"
    exit 0
fi

if ! command -v prometheus-pushgateway >/dev/null; then
    echo "error: prometheus-pushgateway is missing: apt-get install prometheus-pushgateway" >&2
    exit 69
fi
folder=$(mktemp -d)
port=${PUSHGATEWAY_PORT:-19091}
prometheus-pushgateway --web.listen-address="127.0.0.1:$port" 2>"$folder/log" &
gateway=$!
trap 'kill "$gateway" 2>/dev/null; rm -rf "$folder"' EXIT
url=http://127.0.0.1:$port
tries=0
until curl -fsS "$url/-/ready" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ]; then
        cat "$folder/log" >&2
        exit 1
    fi
    sleep 0.1
done

ended=0
S3_TO_MYSQL_METRICS_FILE=$folder/load.prom S3_TO_MYSQL_METRICS_PUSH=$url "$@" || ended=$?
echo "the command ended with $ended"
promtool check metrics <"$folder/load.prom"
# Every series of the file, apart from the labels that the gateway adds and the way in which it
# writes numbers.
series() {
    sed -n 's/^\(s3_to_mysql_[a-z_]*\){\(.*\)} .*/\1 \2/p' |
        sed -e 's/instance="",//; s/job="s3-to-mysql",//' | tr ' ,' '\n\n' | sort
}
series <"$folder/load.prom" >"$folder/written"
curl -fsS "$url/metrics" | series >"$folder/pushed"
if ! [ -s "$folder/written" ] || ! diff "$folder/written" "$folder/pushed"; then
    echo "error: the gateway has other series than the file" >&2
    exit 1
fi
echo "the gateway has the $(grep -c '^s3_to_mysql_' "$folder/pushed") series of the file"

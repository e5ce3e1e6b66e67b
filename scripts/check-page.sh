#!/bin/sh
# Looks at the page of `s3-to-mysql report` with a real browser: takes a screenshot of it, light and
# dark, 1280 and 400 pixels wide, and fails if the browser complains about anything on its console.
# The test suite does not need it, because it needs a package:
#
#   apt-get install --no-install-recommends chromium
#
#   scripts/check-page.sh FOLDER
#       draws made-up reports of 10 and of 10,000 objects; needs the built program
#   scripts/check-page.sh FOLDER REPORT...
#       draws these reports on one page
#
# The pages and the screenshots are in FOLDER at the end. Exits 1 if anything is wrong, and 69 with
# the remedy if a tool is missing.
#
# Environment:
#   PROGRAM     the program: target/debug/s3-to-mysql by default
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
program=${PROGRAM:-$root/target/debug/s3-to-mysql}
if [ $# -eq 0 ]; then
    sed -n 's/^# \{0,1\}//; 2,/^$/p' "$0" >&2
    exit 2
fi
if ! command -v chromium >/dev/null; then
    echo "error: chromium is missing: apt-get install --no-install-recommends chromium" >&2
    exit 69
fi
if ! [ -x "$program" ]; then
    echo "error: $program is missing: cargo build --locked" >&2
    exit 69
fi
folder=$1
shift
mkdir -p "$folder"
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT

# made_up OBJECTS: prints the report of a run over so many objects, some of which have failed.
made_up() {
    awk -v objects="$1" 'BEGIN {
        srand(1)
        connections = 8
        seconds = objects > 1000 ? 95 : 12
        for (number = 0; number < objects; number++) {
            # Each connection has its objects one after the other.
            share = objects / connections
            at = int(number / connections) / share * (seconds - 3) + rand() * seconds / 60
            load = seconds / share * (0.3 + 0.5 * rand())
            key = sprintf("exports/day=2026-01-%02d/part-%05d.csv", number % 31 + 1, number)
            if (number == 3) key = "exports/\\\"><script>alert(1)</script>"
            bad = number % 20 == 7
            printf "{\"type\":\"object\",\"status\":\"%s\",\"bucket\":\"my-bucket\",", \
                bad ? "failed" : "loaded"
            printf "\"key\":\"%s\",\"size_bytes\":%d,\"rows\":%s,\"attempts\":1,", key, \
                50000 + rand() * 9e5, bad ? "null" : int(100 + rand() * 9000)
            printf "\"started_at\":\"2026-01-31T18:%02d:%06.3fZ\",", int(at / 60), at % 60
            printf "\"download_seconds\":%.4f,\"wait_seconds\":%.4f,", 0.1 + rand() * load, \
                rand() * load / 2
            printf "\"load_seconds\":%.4f,\"commit_seconds\":%s,", load, \
                bad ? "null" : sprintf("%.4f", load / 9)
            printf "\"seconds\":%.4f,\"connection\":%d,\"objects_in_transaction\":1,", 2 * load, \
                number % connections + 1
            if (bad) {
                value = number % 40 == 7 ? "2026-01-31T18:00Z" : "n/a"
                kind = number % 40 == 7 ? "a date and time" : "an integer"
                column = number % 40 == 7 ? "ordered_at" : "quantity"
                reason = sprintf("column %s (x): \x27%s\x27 is not %s", column, value, kind)
                printf "\"error\":{\"code\":\"bad_rows\",\"message\":\"s3://my-bucket/%s: ", key
                printf "3 of 400 rows are bad; no row was loaded\",\"row_count\":3,"
                printf "\"hint\":\"use --on-bad-row reject to load the other rows\",\"rows\":[{"
                printf "\"line\":%d,\"row\":%d,\"column\":\"%s\",", number + 2, number + 1, column
                printf "\"code\":1292,\"reason\":\"%s\",\"raw\":\"1,%s,x\"}]}}\n", reason, value
                failed++
            } else {
                printf "\"error\":null}\n"
            }
        }
        loaded = objects - failed
        printf "{\"type\":\"summary\",\"run_id\":\"01KH-made-up\",\"table\":\"shop.orders\","
        printf "\"server\":\"MySQL\",\"server_version\":\"9.7.4\",\"keys_from\":null,"
        printf "\"sources\":[\"s3://my-bucket/exports/\"],\"exit_code\":%d,", failed ? 3 : 0
        printf "\"started_at\":\"2026-01-31T18:00:00.000Z\","
        printf "\"ended_at\":\"2026-01-31T18:%02d:%06.3fZ\",", int(seconds / 60), seconds % 60
        printf "\"version\":\"0.1.0\",\"objects_listed\":%d,\"generation\":1,", objects
        printf "\"objects_loaded\":%d,\"objects_failed\":%d,", loaded, failed
        printf "\"objects_failed_new\":%d,\"rows\":%d,\"bytes\":%d,", failed, loaded * 4500, \
            loaded * 500000
        printf "\"listing_complete\":true,\"seconds\":%d,\"error\":null,", seconds
        printf "\"passed_over\":{\"folder_markers\":1,\"hidden\":2,\"filtered_out\":0},"
        printf "\"settings\":{\"preset\":{\"value\":\"\\\"csv\\\"\",\"from\":"
        printf "\"command line, --preset\"},\"table\":{\"value\":\"\\\"orders\\\"\",\"from\":"
        printf "\"/etc/s3-to-mysql/load.toml line 4\"}},"
        printf "\"pauses\":[{\"started_at\":\"2026-01-31T18:00:04.000Z\",\"seconds\":2.5,"
        printf "\"reason\":\"replica_lag\",\"message\":\"replica db2:3306 is 31 s behind, "
        printf "--max-lag is 30s\"}],\"paused_seconds\":{\"replica_lag\":2.5}}\n"
    }'
}

# look NAME: takes the screenshots of NAME.html.
look() {
    for width in 1280 400; do
        for scheme in light dark; do
            shot=$folder/$1-$width-$scheme.png
            force=
            if [ "$scheme" = dark ]; then
                force=--blink-settings=preferredColorScheme=0
            else
                force=--blink-settings=preferredColorScheme=1
            fi
            chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run \
                --user-data-dir="$profile" --enable-logging=stderr --log-level=0 "$force" \
                --window-size="$width,2400" --screenshot="$shot" "file://$folder/$1.html" \
                >"$profile/log" 2>&1
            if grep -q CONSOLE "$profile/log"; then
                grep CONSOLE "$profile/log" >&2
                echo "error: the browser complains about $1.html" >&2
                exit 1
            fi
            test -s "$shot"
            echo "$shot"
        done
    done
}

folder=$(cd "$folder" && pwd)
if [ $# -gt 0 ]; then
    "$program" report "$@" -o "$folder/page.html"
    look page
    exit 0
fi
for objects in 10 10000; do
    made_up "$objects" >"$folder/objects$objects.jsonl"
    "$program" report "$folder/objects$objects.jsonl" -o "$folder/objects$objects.html"
    look "objects$objects"
done

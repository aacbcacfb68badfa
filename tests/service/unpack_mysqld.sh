#!/bin/sh
# Puts Oracle's MySQL server, which Debian has in its unstable suite only, into a directory of its own with its own
# libraries, and writes a launcher beside it: nothing is installed. Usage, as a user who may read apt's sources:
#   sh tests/service/unpack_mysqld.sh DIRECTORY
#   LAUNCHGATE_TEST_DATABASE=mysql LAUNCHGATE_TEST_MYSQLD=DIRECTORY/mysqld python -m pytest tests/service
set -eu
directory=$(mkdir -p "$1" && cd "$1" && pwd)
archive=$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/debian.sources)
mkdir -p "$directory/apt/state/lists/partial" "$directory/apt/cache/archives/partial" "$directory/root"
echo "deb $archive unstable main" >"$directory/apt/sources.list"
: >"$directory/apt/state/status"
with_own_state() {
    "$@" -o Dir::Etc::sourcelist="$directory/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State="$directory/apt/state" -o Dir::State::status="$directory/apt/state/status" \
        -o Dir::Cache="$directory/apt/cache" -o Debug::NoLocking=1
}
with_own_state apt-get -qq update
with_own_state apt-get -qq install --yes --download-only --no-install-recommends mysql-server-core libc6
for package in "$directory"/apt/cache/archives/*.deb; do dpkg-deb -x "$package" "$directory/root"; done
cat >"$directory/mysqld" <<LAUNCHER
#!/bin/sh
exec "$directory/root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$directory/root/usr/lib/x86_64-linux-gnu" \\
    "$directory/root/usr/sbin/mysqld" "\$@" --lc-messages-dir="$directory/root/usr/share/mysql"
LAUNCHER
chmod 755 "$directory/mysqld"
echo "$directory/mysqld"

# Sourced by the scripts with the repository as working directory. POSIX sh; git is not needed.
#
#   setup_toolchain                  installs node_modules from bun.lock with the pinned bun and puts its programs on PATH
#   source_commit                    prints the commit that is built
#   have PROGRAM                     whether a program is on PATH
#   install_debian_packages PKG...   installs Debian packages when root; returns non-zero when it cannot

have() {
  command -v "$1" >/dev/null 2>&1
}

# The bun that package.json pins.
pinned_bun_version() {
  sed -n 's/^ *"bun": "\([0-9][0-9.]*\)".*/\1/p' package.json
}

# The package with the bun for this machine.
runtime_package() {
  case "$(uname -s)" in
    Darwin) _os=darwin ;;
    *) _os=linux ;;
  esac
  case "$(uname -m)" in
    aarch64 | arm64) _cpu=aarch64 ;;
    *) _cpu=x64 ;;
  esac
  _libc=""
  for _loader in /lib/ld-musl-*.so.1; do
    [ ! -e "$_loader" ] || _libc=-musl
  done
  echo "bun-$_os-$_cpu$_libc"
}

# SHA-512 of a file in base64, as bun.lock has it.
integrity_of() {
  _print='process.stdout.write(require("crypto").createHash("sha512").update(require("fs").readFileSync(process.argv[1])).digest("base64"))'
  if have node; then node -e "$_print" "$1"; else bun -e "$_print" "$1"; fi
}

# Leaves the pinned runtime of a package @oven/NAME in .cache and prints its path. It is taken from the registry's file as it is, without
# any program of it, and only if that file is the one that bun.lock names.
locked_runtime() {
  _name=$1
  _dir=.cache/runtime/$(pinned_bun_version)/$_name
  if [ ! -x "$_dir/bun" ]; then
    mkdir -p "$_dir/unpack" || return 1
    _file=$(npm pack --silent --ignore-scripts --pack-destination "$_dir" "@oven/$_name@$(pinned_bun_version)") || return 1
    _wanted=$(sed -n "s|.*\"@oven/$_name@[^\"]*\".*\"sha512-\([^\"]*\)\".*|\1|p" bun.lock)
    _found=$(integrity_of "$_dir/$_file")
    if [ -z "$_wanted" ] || [ "$_wanted" != "$_found" ]; then
      rm -f "$_dir/$_file"
      echo "setup: $_file is not the file that bun.lock names" >&2
      return 1
    fi
    tar -xzf "$_dir/$_file" -C "$_dir/unpack" || return 1
    mv "$_dir/unpack/package/bin/bun" "$_dir/bun" || return 1
    rm -r "$_dir/unpack"
    rm "$_dir/$_file"
  fi
  echo "$_dir/bun"
}

# Whether the command "$@" is the pinned bun. A package installed without its scripts leaves a stub that fails.
is_pinned_bun() {
  [ "$("$@" --version 2>/dev/null)" = "$(pinned_bun_version)" ]
}

# The commit that is built, with "-dirty" after changes. A build from an archive has no git: RDS_CSI_COMMIT says what it was
# made from.
source_commit() {
  _commit=${RDS_CSI_COMMIT:-}
  if [ -z "$_commit" ] && have git && _commit=$(git rev-parse --short=12 HEAD 2>/dev/null); then
    [ -z "$(git status --porcelain 2>/dev/null)" ] || _commit="$_commit-dirty"
  fi
  echo "${_commit:-unknown}"
}

toolchain_stamp() {
  { pinned_bun_version; uname -m; cat bun.lock; } | sha256sum | cut -d ' ' -f 1
}

# Runs the pinned bun with the given arguments, from wherever it can be had.
bootstrap_bun() {
  if is_pinned_bun node_modules/.bin/bun; then
    node_modules/.bin/bun "$@"
  elif is_pinned_bun bun; then
    bun "$@"
  else
    _runtime=$(locked_runtime "$(runtime_package)") || return 1
    "./$_runtime" "$@"
  fi
}

# Puts the runtime of the package @oven/..., which bun install has compared with bun.lock, in the place where bun's own install
# script would put it. That script is not run: if the package is missing it downloads one that nothing is compared with.
place_bun() {
  for _runtime in node_modules/@oven/bun-*/bin/bun; do
    is_pinned_bun "$_runtime" || continue
    for _place in bun.exe bunx.exe; do
      rm -f "node_modules/bun/bin/$_place"
      ln "$_runtime" "node_modules/bun/bin/$_place" 2>/dev/null || cp "$_runtime" "node_modules/bun/bin/$_place" || return 1
    done
    return 0
  done
  echo "setup: no package of node_modules/@oven runs on this machine" >&2
  return 1
}

setup_toolchain() {
  if [ ! -f package.json ] || [ ! -f bun.lock ]; then
    echo "setup: run this from the repository, $PWD has no package.json and bun.lock" >&2
    return 1
  fi
  _stamp=$(toolchain_stamp) || return 1
  if [ "$(cat node_modules/.rds-csi-stamp 2>/dev/null)" != "$_stamp" ] || ! is_pinned_bun node_modules/.bin/bun; then
    if ! have npm && ! have bun && [ ! -x node_modules/.bin/bun ]; then
      echo "setup: neither bun nor npm is on PATH; install Node.js 20 or newer, or bun $(pinned_bun_version)" >&2
      return 1
    fi
    echo "setup: installing the packages of bun.lock with bun $(pinned_bun_version)" >&2
    bootstrap_bun install --frozen-lockfile >&2 || {
      echo "setup: bun install failed (see above)" >&2
      return 1
    }
    if ! is_pinned_bun node_modules/.bin/bun; then
      place_bun || return 1
    fi
    is_pinned_bun node_modules/.bin/bun || {
      echo "setup: node_modules/.bin/bun does not run" >&2
      return 1
    }
    echo "$_stamp" >node_modules/.rds-csi-stamp || return 1
    echo "setup: done" >&2
  fi
  case ":$PATH:" in
    *":$PWD/node_modules/.bin:"*) ;;
    *) PATH="$PWD/node_modules/.bin:$PATH" ;;
  esac
  export PATH
}

install_debian_packages() {
  _wanted=""
  for _package in "$@"; do
    dpkg-query -W -f '${Status}\n' "$_package" 2>/dev/null | grep -q "ok installed" || _wanted="$_wanted $_package"
  done
  [ -n "$_wanted" ] || return 0
  [ "$(id -u)" = 0 ] && have apt-get || return 1
  echo "setup: installing Debian packages:$_wanted" >&2
  # A package list may be old or absent: refresh it only when the first try fails. $_wanted is a list of words.
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $_wanted >/dev/null 2>&1 && return 0
  DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null 2>&1 || return 1
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $_wanted >/dev/null 2>&1
}

# in_quiet_namespace COMMAND...: runs it in a PID namespace of its own, with a /dev/shm of its own, where that is possible, and passes
# signals on: unshare(1) ignores them.
in_quiet_namespace() {
  unshare --pid --fork --kill-child --mount-proc true 2>/dev/null || exec "$@"
  # Files in /dev/shm have pids in their names, and whoever is killed leaves them.
  setsid unshare --pid --fork --kill-child --mount-proc \
    sh -c 'mount -t tmpfs -o mode=1777 tmpfs /dev/shm 2>/dev/null; exec "$@"' sh "$@" &
  _group=$!
  # To the command alone: what it has started is its own to end.
  trap 'kill -INT $(cat "/proc/$_group/task/$_group/children") 2>/dev/null || true' INT
  trap 'kill -TERM $(cat "/proc/$_group/task/$_group/children") 2>/dev/null || true' TERM HUP
  while :; do
    _status=0
    wait "$_group" || _status=$?
    # A signal ends the wait, and not yet the command.
    kill -0 "$_group" 2>/dev/null || return "$_status"
  done
}

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
  _version=$(pinned_bun_version)
  if is_pinned_bun node_modules/.bin/bun; then
    node_modules/.bin/bun "$@"
  elif is_pinned_bun bun; then
    bun "$@"
  elif is_pinned_bun .cache/bun/node_modules/.bin/bun; then
    .cache/bun/node_modules/.bin/bun "$@"
  elif npm_config_ignore_scripts=false is_pinned_bun npx -y "bun@$_version"; then
    npm_config_ignore_scripts=false npx -y "bun@$_version" "$@"
  else
    # npx refused or kept a stub: install it here and run its installer by hand.
    echo "setup: npx does not give a working bun, installing it in .cache/bun" >&2
    mkdir -p .cache/bun || return 1
    npm install --silent --no-audit --no-fund --ignore-scripts --no-save --prefix .cache/bun "bun@$_version" >&2 || return 1
    node .cache/bun/node_modules/bun/install.js >&2 || return 1
    .cache/bun/node_modules/.bin/bun "$@"
  fi
}

setup_toolchain() {
  if [ ! -f package.json ] || [ ! -f bun.lock ]; then
    echo "setup: run this from the repository, $PWD has no package.json and bun.lock" >&2
    return 1
  fi
  _stamp=$(toolchain_stamp) || return 1
  if [ "$(cat node_modules/.rds-csi-stamp 2>/dev/null)" != "$_stamp" ] || ! is_pinned_bun node_modules/.bin/bun; then
    if ! have npx && ! have bun && [ ! -x node_modules/.bin/bun ]; then
      echo "setup: neither bun nor npx is on PATH; install Node.js 20 or newer, or bun $(pinned_bun_version)" >&2
      return 1
    fi
    echo "setup: installing the packages of bun.lock with bun $(pinned_bun_version)" >&2
    bootstrap_bun install --frozen-lockfile >&2 || {
      echo "setup: bun install failed (see above)" >&2
      return 1
    }
    if ! is_pinned_bun node_modules/.bin/bun; then
      # Lifecycle scripts do not run (trustedDependencies is empty), so bun's own file is put in place here.
      if have node; then
        node node_modules/bun/install.js >&2 || return 1
      else
        bootstrap_bun node_modules/bun/install.js >&2 || return 1
      fi
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
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $_wanted >/dev/null 2>&1 && return 0
  DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null 2>&1 || return 1
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $_wanted >/dev/null 2>&1
}

# shellcheck shell=sh disable=SC2016
# lib.sh: what the set-up scripts share. Sourced, never run.
#
# Guarantees: everything is downloaded by apt, with Debian's own archive key, from the mirror that this
# machine already uses; nothing here needs root or touches the machine's apt state; results appear by one
# rename, so that a download which failed half-way is never taken for a finished one.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf '%s\n' "$*" >&2; }
die() { say "setup: $*"; exit 1; }

# lock FILE: one process at a time per result; two makes may want the same thing.
lock() {
    mkdir -p "$(dirname "$1")"
    exec 9> "$1"
    flock -w 900 9 || die "another process has held $1 for 15 minutes"
}

# write_apt_conf DIR: a private apt inside DIR. It is passed by -c, which apt reads last, so that no file of
# the machine's configuration can override it; the machine's proxy settings still hold.
write_apt_conf() {
    mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
    : > "$1/status"
    : > "$1/sources.list"
    cat > "$1/apt.conf" <<EOF
Dir::Etc::sourcelist "$1/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$1/lists";
Dir::State::status "$1/status";
Dir::Cache "$1/cache";
Debug::NoLocking "1";
APT::Sandbox::User "";
APT::Architecture "amd64";
Acquire::Languages "none";
Acquire::Retries "5";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
EOF
}

# mirror_of [APT-OPTION...]: the first Debian archive (not the security one) among apt's known indexes.
mirror_of() {
    apt-get "$@" indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 2> /dev/null |
        awk '$1 == "Debian" { print $2; exit }'
}

# debian_mirror DIR: print the URI of this machine's Debian mirror. Where nobody has run `apt-get update` yet,
# the machine's own sources are read into DIR, which needs no root.
debian_mirror() {
    uri=$(mirror_of)
    if [ -z "$uri" ]; then
        mkdir -p "$1/machine/lists/partial" "$1/machine/cache/archives/partial"
        set -- -o Dir::State::lists="$1/machine/lists" -o Dir::Cache="$1/machine/cache" \
            -o Debug::NoLocking=1 -o APT::Sandbox::User= -o Acquire::Languages=none
        apt-get -qq "$@" update > /dev/null 2>&1 || :
        uri=$(mirror_of "$@")
    fi
    [ -n "$uri" ] || die "no Debian mirror found: /etc/apt names none, or none answers (see: apt-get update)"
    printf '%s\n' "$uri"
}

# use_suite DIR TYPE SUITE MIRROR: point the private apt in DIR at one suite; TYPE is deb or deb-src.
use_suite() {
    echo "$2 [signed-by=$keyring] $4 $3 main" > "$1/sources.list"
    apt-get -c "$1/apt.conf" -qq --error-on=any update
}

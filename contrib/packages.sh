# Sourced by contrib/try and contrib/test: installs Debian packages that are missing.

# What a build needs.
# shellcheck disable=SC2034
BUILD_PACKAGES="gcc libc6-dev meson ninja-build pkg-config python3 libetpan-dev libevent-dev libc-ares-dev
	libjansson-dev libidn2-dev libunistring-dev libyaml-dev libsqlite3-dev libssl-dev libsystemd-dev libxxhash-dev"

# need PACKAGE...: all of them are here afterwards, or the script ends and says why.
need() {
	missing=
	for p in "$@"; do
		dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q ' installed$' || missing="$missing $p"
	done
	[ -n "$missing" ] || return 0
	as_root=
	if [ "$(id -u)" -ne 0 ]; then
		if ! command -v sudo >/dev/null; then
			echo "These packages are missing, and I am neither root nor is there a sudo:$missing" >&2
			echo "As root: apt-get install --no-install-recommends$missing" >&2
			exit 1
		fi
		as_root=sudo
	fi
	echo "Installing:$missing"
	$as_root sh -s $missing <<'ROOT'
set -e
export DEBIAN_FRONTEND=noninteractive
# Dovecot and Postfix are used as private processes; the machine's own stay as they are.
quiet=/usr/sbin/policy-rc.d
if [ ! -e $quiet ]; then
	trap 'rm -f $quiet' EXIT
	printf '#!/bin/sh\nexit 101\n' >$quiet
	chmod 755 $quiet
fi
case " $* " in *" postfix "*)
	echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections ;;
esac
said=$(mktemp)
for words in update "-y -o Dpkg::Use-Pty=0 install --no-install-recommends $*"; do
	apt-get -q $words >"$said" 2>&1 || { tail -n 30 "$said"; exit 1; }
done
rm -f "$said"
ROOT
}

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

# The POP3 servers and next hops that the tests run as private processes. Their packages would start services,
# or conflict with one another and with Dovecot, so they are only unpacked: a line for each, its
# name and the packages it needs beyond a usual system.
SERVERS="courier courier-pop courier-base courier-authlib courier-authdaemon libcourier-unicode4 libidn12
perdition perdition libvanessa-adt1 libvanessa-logger0 libvanessa-socket2 libpopt0 libgdbm6 libidn12 libnsl2 libdb5.3
popa3d popa3d
solid solid-pop3d liblockfile1
cyrus cyrus-common cyrus-pop3d tzdata libical3 libxapian30 libclamav12 libmspack0 libzephyr4-krb5 libzephyr4 libwrap0 libcom-err2
 libsasl2-2 libsasl2-modules libsasl2-modules-db libdb5.3 libsqlite3-0 libpcre2-posix3 libjansson4 libnghttp2-14 libbrotli1
 libicu72 libxml2 libkrb5-3 libgssapi-krb5-2 libk5crypto3 libkrb5support0 libkeyutils1 libldap-2.5-0
exim exim4-daemon-light exim4-base libgnutls-dane0 libunbound8 libidn12 libdb5.3 libpcre2-8-0 libgnutls30
opensmtpd opensmtpd libevent-2.1-7 libdb5.3
sendmail sendmail-bin sendmail-base sendmail-cf libnsl2 libdb5.3 liblockfile1 libwrap0 libldap-2.5-0 libsasl2-2 m4"

# unpack_one DIR NAME PACKAGE...: DIR/NAME is a root in which that server runs, with the
# libraries it needs; what is there already stays.
unpack_one() (
	into=$1/$2
	name=$2
	shift 2
	[ ! -e "$into/.whole" ] || exit 0
	rm -rf "$into"
	mkdir -p "$into/debs" "$into/root"
	cd "$into/debs" || exit 1
	apt-get -q -o APT::Sandbox::User=root download "$@" >said 2>&1 || { echo "No $name: $(grep -m 1 '^E:' said)"; exit 1; }
	for deb in *.deb; do
		dpkg -x "$deb" "$into/root" || exit 1
	done
	cd "$into/root" || exit 1
	libraries=$PWD/usr/lib:$PWD/usr/lib/x86_64-linux-gnu:$PWD/lib/x86_64-linux-gnu:$PWD/usr/lib/courier-authlib
	pam=$(find /lib/*/security /usr/lib/*/security -name pam_permit.so 2>/dev/null | head -n 1)
	[ -z "$pam" ] || cp --parents "$pam" .
	find . -type f \( -perm -100 -o -name '*.so*' \) -exec env LD_LIBRARY_PATH="$libraries" ldd {} + 2>/dev/null |
		sed -n 's,^.* => \(/[^ ]*\) (.*,\1,p; s,^[[:space:]]*\(/lib[^ ]*ld-linux[^ ]*\) (.*,\1,p' | grep -v "^$PWD/" | sort -u |
		while read -r library; do
			[ -e ".$library" ] || cp -L --parents "$library" .
		done
	rm -rf "$into/debs" usr/share/doc usr/share/man
	touch "$into/.whole"
)

# unpack_servers DIR: all of them; what cannot be had is said, and its tests skip.
unpack_servers() {
	if [ "$(id -u)" -eq 0 ] && ! apt-cache show courier-pop >/dev/null 2>&1; then
		apt-get -q update >/dev/null 2>&1
	fi
	echo "$SERVERS" | sed ':a;N;$!ba;s/\n / /g' | while read -r name packages; do
		unpack_one "$1" "$name" $packages </dev/null
	done
}

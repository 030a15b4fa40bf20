#!/bin/sh
# Makes the tmpfs that holds the spool, changes it, checks it, removes it. See usage() below.
#
# Why a tmpfs of its own: its size bounds what a flood of mail can take from the machine, its inode
# count bounds what a flood of tiny mail can, and nothing on it can be run.
set -eu

PATH=${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin
ME=${0##*/}
ROOT_DEFAULT=/run/spamtrap
FREE_MIN=5 # per cent; the sink's own reserve (spool.reserve)

usage() {
    cat <<EOF
Usage: $ME [OPTION]... [DIRECTORY]

Mount a tmpfs for the spool at DIRECTORY (default $ROOT_DEFAULT), with nosuid, nodev and noexec.
Run again with another size, owner or mode, it changes the one that is there; no job is lost.
Without root it makes a private directory on /dev/shm instead and says where.

  --size SIZE       most bytes: 500M, 4G, or a share of the memory like 25% (default 25%)
  --inodes COUNT    most files: 500k, 2m (default 1m)
  --owner USER[:GROUP]
                    who it belongs to (default spamtrap, or root while there is no such user)
  --mode MODE       its permissions (default 0750)
  --check           one line for each thing that should be so; exit 1 when one is not
  --unmount         take it away; refused while jobs are in it
  --force           with --unmount: jobs are thrown away
  --unit            print the systemd mount unit that does the same at boot
  --help            this text

Examples:
  $ME --size 4G --inodes 2m
  $ME --check
  $ME --unit > /etc/systemd/system/run-spamtrap.mount

Exit status: 0 done, 1 failed, 64 wrong usage.
EOF
}

say() { printf '%s: %s\n' "$ME" "$*"; }
die() {
    say "$*" >&2
    exit 1
}
wrong() {
    say "$* (see $ME --help)" >&2
    exit 64
}

# is_like TEXT REGEX: the whole text, one line of it, matches the extended regular expression.
is_like() {
    case $1 in *"
"*) return 1 ;; esac
    printf '%s\n' "$1" | grep -Eqx -- "$2"
}

arguments() {
    action=mount dir='' size='' inodes='' owner='' mode='' force=''
    while [ $# -gt 0 ]; do
        case $1 in
        --size | --inodes | --owner | --mode)
            [ $# -ge 2 ] || wrong "$1 needs a value"
            option "$1" "$2"
            shift
            ;;
        --size=* | --inodes=* | --owner=* | --mode=*) option "${1%%=*}" "${1#*=}" ;;
        --check) action=check ;;
        --unmount) action=unmount ;;
        --unit) action=unit ;;
        --force) force=yes ;;
        --help | -h)
            usage
            exit 0
            ;;
        -*) wrong "no option $1" ;;
        *)
            [ -z "$dir" ] || wrong "one directory, not two: $dir and $1"
            [ -n "$1" ] || wrong "the directory's name is empty"
            dir=$1
            ;;
        esac
        shift
    done
}

# option NAME VALUE: keep it, if it is of the right form.
option() {
    case $1 in
    --size)
        is_like "$2" '[1-9][0-9]*[kKmMgG]?|([1-9][0-9]?|100)%' || wrong "$2 is no size; write 500M, 4G or 25%"
        size=$2
        ;;
    --inodes)
        is_like "$2" '[1-9][0-9]*[kKmMgG]?' || wrong "$2 is no number of files; write 500k or 2m"
        inodes=$2
        ;;
    --owner)
        is_like "$2" '[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?' || wrong "$2 is no USER[:GROUP]"
        owner=$2
        ;;
    --mode)
        is_like "$2" '0?[0-7]{3}' || wrong "$2 is no mode; write 0750"
        mode=$2
        ;;
    esac
}

# The directory: absolute, and by its real name, as the kernel lists it.
place() {
    given=$dir
    dir=${dir:-$ROOT_DEFAULT}
    case $dir in
    /*[!/]*) dir=/$(printf %s "$dir" | tr -s / | sed 's,^/,,; s,/$,,') ;;
    *) wrong "$dir is no absolute path below /" ;;
    esac
    [ ! -L "$dir" ] || die "$dir is a symbolic link; name the directory itself"
    dir=$(readlink -f -- "$dir" || printf %s "$dir")
    # Plain characters need no quoting in /proc/self/mounts nor in a unit, where % means something.
    is_like "$dir" '/[A-Za-z0-9._/-]+' || wrong "$dir: only A-Z a-z 0-9 . _ - and / can be in its name"
}

# The owner as user and group ids, in $uid and $gid.
identities() {
    owner_given=$owner
    if [ -z "$owner" ]; then
        owner=root
        ! id -u spamtrap >/dev/null 2>&1 || owner=spamtrap
    fi
    user=${owner%%:*} group=''
    case $owner in *:*) group=${owner#*:} ;; esac
    if uid=$(id -u -- "$user" 2>/dev/null); then
        gid=$(id -g -- "$user")
    elif is_like "$user" '[0-9]+'; then
        uid=$user gid=$user
    else
        die "there is no user $user"
    fi
    if is_like "$group" '[0-9]+'; then
        gid=$group
    elif [ -n "$group" ]; then
        gid=$(getent group "$group" | cut -d: -f3)
        [ -n "$gid" ] || die "there is no group $group"
    fi
}

# The file system mounted at the directory, and its options: "tmpfs rw,nosuid,…"; nothing if none is.
mounted() { awk -v dir="$dir" '$2 == dir { found = $3 " " $4 } END { print found }' /proc/self/mounts; }

# The jobs in the directory; what lies in tmp/ was never accepted.
jobs_in() { find "$1" -xdev -path "$1/tmp" -prune -o -type f -name '[0-9]*.[0-9]*' -print | wc -l; }

human() { awk -v kb="$1" 'BEGIN { if (kb >= 1048576) printf "%.1fG", kb / 1048576; else printf "%.0fM", kb / 1024 }'; }

# ---- as root: a tmpfs -------------------------------------------------------------------------

do_mount() {
    identities
    wanted=nosuid,nodev,noexec,size=${size:-25%},nr_inodes=${inodes:-1m}
    now=$(mounted)
    case $now in
    tmpfs\ *)
        # Only what was asked for: changing the owner does not undo a size chosen earlier.
        wanted=nosuid,nodev,noexec${size:+,size=$size}${inodes:+,nr_inodes=$inodes}
        # With a source named, mount(8) adds no options of its own finding.
        mount -o "remount,$wanted" spamtrap "$dir" || die "the kernel refuses: is more in $dir than it may hold then?"
        done=changed
        ;;
    '')
        mkdir -p -- "$dir"
        [ -z "$(ls -A -- "$dir")" ] || die "$dir is not empty; a mount would hide what is in it"
        mount -t tmpfs -o "$wanted,uid=$uid,gid=$gid,mode=${mode:-0750}" spamtrap "$dir" ||
            die "can't mount; in a container let its engine do it (--tmpfs $dir)"
        done=mounted
        ;;
    *) die "$dir has a file system on it that is no tmpfs: ${now%% *}" ;;
    esac
    # A remount changes neither of these. Root's own is what was mounted before there was a spamtrap.
    if [ -n "$owner_given" ] || [ "$(stat -c %u "$dir")" -eq 0 ]; then
        chown "$uid:$gid" "$dir"
    fi
    [ -z "$mode" ] || chmod "$mode" "$dir"
    say "$done: $dir, $(facts), $(stat -c '%U:%G, mode %a' "$dir")"
}

# Size and inodes of the file system, for people.
facts() {
    kb=$(df -Pk "$dir" | awk 'NR == 2 { print $2 }')
    printf '%s and %s files at most' "$(human "$kb")" "$(df -Pi "$dir" | awk 'NR == 2 { print $2 }')"
}

do_unmount() {
    case $(mounted) in
    tmpfs\ *) ;;
    '')
        say "$dir is not mounted; nothing to do"
        return
        ;;
    *) die "$dir is no tmpfs; hands off" ;;
    esac
    refuse_jobs
    umount "$dir" || die "stop the trap first (systemctl stop spamtrap.target)"
    say "unmounted: $dir"
}

refuse_jobs() {
    count=$(jobs_in "$dir")
    [ "$count" -eq 0 ] || [ -n "$force" ] ||
        die "$count jobs are in $dir; let the workers finish, or add --force to throw them away"
}

# ---- without root: a directory on /dev/shm -------------------------------------------------------

shm_place() {
    [ -z "$given" ] || die "only root can mount at $given; without a directory one is made on /dev/shm"
    dir=/dev/shm/spamtrap-$(id -u)
}

# Whether the directory on /dev/shm is ours alone. Anybody may have made one of that name before us.
shm_is_ours() {
    [ ! -L "$dir" ] && [ -d "$dir" ] && [ "$(stat -c '%u %a' "$dir")" = "$(id -u) 700" ]
}

shm_refuse() {
    die "$dir was prepared by somebody else ($(stat -c '%U, %F, mode %a' "$dir")); not used"
}

shm_mount() {
    shm_place
    # RACE: somebody may make it between a test and our mkdir. So mkdir first, then look at what is
    # there: in a sticky directory nobody else can exchange what is ours. (test_a_prepared_directory)
    mkdir -m 0700 "$dir" 2>/dev/null || true
    [ -e "$dir" ] || [ -L "$dir" ] || die "can't make $dir"
    shm_is_ours || shm_refuse
    say "not root, so no tmpfs of its own: using $dir (mode 0700)"
    [ -z "$size$inodes$owner$mode" ] || say "size, inodes, owner and mode need root; ignored" >&2
}

shm_unmount() {
    shm_place
    if [ ! -e "$dir" ] && [ ! -L "$dir" ]; then
        say "$dir is not there; nothing to do"
        return
    fi
    shm_is_ours || shm_refuse
    refuse_jobs
    rm -rf -- "$dir"
    say "removed: $dir"
}

# ---- --check -----------------------------------------------------------------------------------

# verdict NAME TEXT COMMAND...: one line; ok if the command succeeds.
verdict() {
    name=$1 text=$2
    shift 2
    if "$@"; then
        printf 'ok    %-8s %s\n' "$name" "$text"
    else
        printf 'FAIL  %-8s %s\n' "$name" "$text"
        failed=1
    fi
}

do_check() {
    failed=0
    now=$(mounted)
    if [ -z "$now" ] && [ -z "$given" ] && [ "$(id -u)" -ne 0 ]; then
        shm_place
        if [ ! -e "$dir" ] && [ ! -L "$dir" ]; then
            verdict mounted "neither a tmpfs at $ROOT_DEFAULT nor $dir" false
            return 1
        fi
        verdict mounted "no tmpfs at $ROOT_DEFAULT; $dir instead" true
        verdict owner "$(stat -c '%U, %F, mode %a' "$dir")" shm_is_ours
        [ "$failed" -eq 0 ] || return 1
    else
        case $now in tmpfs\ *) kind=tmpfs ;; *) kind=${now%% *} ;; esac
        verdict mounted "${kind:-nothing} at $dir" [ "$kind" = tmpfs ]
        [ "$kind" = tmpfs ] || return 1
        check_mount "${now#* }"
    fi
    check_free bytes -Pk
    check_free inodes -Pi
    return "$failed"
}

check_mount() {
    missing=''
    for option in nosuid nodev noexec; do
        case ,$1, in *,$option,*) ;; *) missing="$missing $option" ;; esac
    done
    verdict options "${missing:+missing:$missing; }$1" [ -z "$missing" ]
    if [ -n "$size" ]; then
        kb=$(df -Pk "$dir" | awk 'NR == 2 { print $2 }')
        verdict size "$(human "$kb"), $size asked for" near "$kb" "$(size_kb)"
    else
        verdict size "$(facts)" true
    fi
    identities
    verdict owner "$(stat -c '%U:%G' "$dir"), $owner expected" [ "$(stat -c %u:%g "$dir")" = "$uid:$gid" ]
    found=$(stat -c %a "$dir")
    if [ -n "$mode" ]; then
        verdict mode "$found, $mode expected" [ "$found" = "${mode#0}" ]
    else
        verdict mode "$found, nothing for others" [ "$((0$found & 7))" -eq 0 ]
    fi
}

# check_free NAME DF-OPTION: at least FREE_MIN per cent are left.
check_free() {
    left=$(df "$2" "$dir" | awk 'NR == 2 { if ($2 + 0 > 0) printf "%d", 100 * $4 / $2; else print 100 }')
    verdict free "$left% of the $1" [ "$left" -ge $FREE_MIN ]
}

# The size asked for, in kB.
size_kb() {
    number=${size%[kKmMgG%]}
    case $size in
    *%) awk -v share="$number" '$1 == "MemTotal:" { printf "%d", $2 * share / 100 }' /proc/meminfo ;;
    *[kK]) echo "$number" ;;
    *[mM]) echo $((number * 1024)) ;;
    *[gG]) echo $((number * 1048576)) ;;
    *) echo $((number / 1024)) ;;
    esac
}

# near KB KB: the same within 1 % or one page; the kernel counts memory a little differently.
near() { awk -v a="$1" -v b="$2" 'BEGIN { d = a > b ? a - b : b - a; exit !(d <= 4 || d <= b / 100) }'; }

# ---- --unit ------------------------------------------------------------------------------------

do_unit() {
    owner=${owner:-spamtrap}
    group=${owner%%:*}
    case $owner in *:*) group=${owner#*:} ;; esac
    # systemd.unit(5), "String escaping for inclusion in unit names"; of our characters only these need it.
    name=$(printf %s "${dir#/}" | sed 's,-,\\x2d,g; s,/,-,g; s,^\.,\\x2e,').mount
    options=nosuid,nodev,noexec,size=${size:-25%},nr_inodes=${inodes:-1m}
    cat <<EOF
# /etc/systemd/system/$name
[Unit]
Description=Spool of the spamtrap (tmpfs)
After=systemd-sysusers.service

[Mount]
What=spamtrap
Where=$dir
Type=tmpfs
Options=$(printf %s "$options,uid=${owner%%:*},gid=$group,mode=${mode:-0750}" | sed 's/%/%%/g')

[Install]
WantedBy=spamtrap.target
EOF
}

arguments "$@"
[ -z "$force" ] || [ "$action" = unmount ] || wrong "--force goes with --unmount"
place
case $action in
check) do_check ;;
unit) do_unit ;;
*)
    if [ "$(id -u)" -eq 0 ]; then
        "do_$action"
    else
        "shm_$action"
    fi
    ;;
esac

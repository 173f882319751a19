#!/bin/sh
# Provides `target/guest-toolchain/cargo`: a cargo that builds policies for wasm32-unknown-unknown and wasm32-wasip2.
#
# Two ways lead there, and neither needs the other:
#   rustup        the installed compiler has both targets, or gets them from `rustup target add`;
#   distribution  Debian's packages: a recent compiler with the sources of std, built here once for both targets
#                 and kept under target/guest-toolchain/sysroot, so that a guest then builds in seconds.
# The first that works is taken, and kept until the compiler or this script changes.
# LICTOR_GUEST_TOOLCHAIN=rustup or =distribution takes that way and no other.
#
# Silent when there is nothing to do. Never asks anything, with or without CI set. Needs root only if packages are
# missing. It must not write a rust-toolchain file: a machine without rustup's servers could not satisfy it.
set -eu

targets="wasm32-unknown-unknown wasm32-wasip2"
packages="rustc-web cargo-web rust-web-src wasi-libc"
want=${LICTOR_GUEST_TOOLCHAIN:-}
script=$(cd "$(dirname "$0")" && pwd -P)/$(basename "$0")
root=${script%/*/*}
out=$root/target/guest-toolchain

say() { echo "guest toolchain: $*" >&2; }
die() { say "$@"; exit 1; }
# $1 seconds at most, where the machine can measure them.
bounded() { if command -v timeout >/dev/null; then timeout "$@"; else shift; "$@"; fi; }

# What the toolchain in place was made from; another answer means that it has to be made again.
fingerprint() {
    cksum <"$script"
    case $1 in
    rustup)
        rustc -vV
        for target in $targets; do rustc --target "$target" --print target-libdir | xargs ls -d; done
        ;;
    # What a link points to is named only if it is still there.
    distribution)
        /usr/bin/rustc -vV
        readlink -e "$out/bin/rust-lld" "$out/bin/wasm-component-ld" "$out/sysroot/lib/rustlib/wasm32-wasip2/lib"
        ;;
    esac
}

up_to_date() {
    [ -x "$out/cargo" ] && [ -f "$out/made-from" ] || return 1
    way=$(head -n 1 "$out/made-from")
    [ "${want:-$way}" = "$way" ] || return 1
    [ "$(sed 1d "$out/made-from")" = "$(fingerprint "$way" 2>/dev/null)" ]
}

# Installs the shim and then the record that makes it count. The body of the shim is on stdin.
finish() {
    { echo '#!/bin/sh'; echo "# Written by guest-examples/toolchain.sh."; cat; } >"$out/cargo.new"
    chmod +x "$out/cargo.new"
    mv "$out/cargo.new" "$out/cargo"
    { echo "$1"; fingerprint "$1"; } >"$out/made-from"
    say "ready ($1)"
}

# A target that is listed can still lack its linker, so both are tried on a function that allocates.
links() {
    for target in $targets; do
        echo '#[unsafe(no_mangle)] pub extern "C" fn probe(n: usize) -> usize { vec![1u8; n].len() }' |
            "$@" --edition 2024 --crate-name probe --crate-type cdylib --target "$target" -o "$out/probe.wasm" - \
                >"$out/probe.log" 2>&1 || return 1
    done
    rm -f "$out/probe.wasm" "$out/probe.log"
}

by_rustup() {
    command -v rustc >/dev/null || return 1
    if ! links rustc; then
        command -v rustup >/dev/null || return 1
        say "asking rustup for $targets"
        # shellcheck disable=SC2086 # one word per target
        bounded 120 rustup target add $targets >"$out/rustup.log" 2>&1 </dev/null && links rustc || return 1
    fi
    # The compiler itself and not rustup's proxy, so that a folder's own toolchain override changes nothing.
    sysroot=$(rustc --print sysroot)
    cargo=$sysroot/bin/cargo
    [ -x "$cargo" ] || cargo=$(command -v cargo) || return 1
    finish rustup <<SHIM
export PATH='$sysroot/bin':"\$PATH" RUSTC='$sysroot/bin/rustc'
exec '$cargo' "\$@"
SHIM
}

installed() {
    for package; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || return 1
    done
}

# Packages are never removed for ours: a compiler that somebody installed is theirs.
apt_install() {
    if installed "$@"; then return; fi
    command -v apt-get >/dev/null || die "no wasm targets from rustup, and no apt-get to install: $*"
    [ "$(id -u)" = 0 ] || die "these packages are missing, and installing them needs root: apt-get install $*"
    say "installing $*"
    set -- -qq -y --no-install-recommends --no-remove -o DPkg::Lock::Timeout=300 install "$@"
    export DEBIAN_FRONTEND=noninteractive
    apt-get "$@" >"$out/apt.log" 2>&1 </dev/null && return
    { apt-get -qq update && apt-get "$@"; } >"$out/apt.log" 2>&1 </dev/null && return
    tail -n 5 "$out/apt.log" >&2
    die "apt-get could not install the packages named above; its log is $out/apt.log"
}

# The two linkers come from any toolchain of rustup's. Without one, LLVM's own lld answers to the same flags, and
# the maker of components is built from source.
linkers() {
    mkdir -p "$out/bin"
    host=$(/usr/bin/rustc -vV | sed -n 's/^host: //p')
    bundled=$(rustc --print sysroot 2>/dev/null || echo /usr)/lib/rustlib/$host/bin
    if [ -x "$bundled/rust-lld" ]; then
        ln -sfn "$bundled/rust-lld" "$out/bin/rust-lld"
    else
        apt_install lld-19
        ln -sfn /usr/bin/lld-19 "$out/bin/rust-lld"
        ln -sfn /usr/bin/wasm-ld-19 "$out/bin/wasm-ld"
    fi
    if [ -x "$bundled/wasm-component-ld" ]; then
        ln -sfn "$bundled/wasm-component-ld" "$out/bin/wasm-component-ld"
    elif ! [ -x "$out/bin/wasm-component-ld" ]; then
        say "building wasm-component-ld (a few minutes, once)"
        RUSTC=/usr/bin/rustc /usr/bin/cargo install --quiet --locked --root "$out" wasm-component-ld
    fi
}

# Builds std for both targets and lays it out as rustc expects a sysroot; the host's own std is linked in, because
# procedural macros and build scripts are compiled by the same command.
build_std() {
    say "building std for $targets (about a minute, once)"
    rm -rf "$out/std" "$out/sysroot"
    mkdir -p "$out/std/src" "$out/sysroot/lib/rustlib"
    : >"$out/std/src/lib.rs"
    printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n' >"$out/std/Cargo.toml"
    # Bitcode is embedded because policies are linked with LTO.
    (cd "$out/std" && env -u RUSTC_WRAPPER -u CARGO_ENCODED_RUSTFLAGS -u LD_LIBRARY_PATH -u CARGO_BUILD_TARGET \
        RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc RUSTFLAGS='-C embed-bitcode=yes' PATH="$out/bin:$PATH" \
        /usr/bin/cargo build --quiet --release -Z build-std=std,panic_abort,proc_macro --target-dir "$out/std/target" \
        --target wasm32-unknown-unknown --target wasm32-wasip2 >"$out/std.log" 2>&1 </dev/null) || {
        tail -n 20 "$out/std.log" >&2
        die "std could not be built; the log is $out/std.log"
    }
    for target in $targets; do
        mkdir -p "$out/sysroot/lib/rustlib/$target/lib"
        cp "$out/std/target/$target/release/deps/"*.rlib "$out/sysroot/lib/rustlib/$target/lib/"
        rm -f "$out/sysroot/lib/rustlib/$target/lib/"libempty-*.rlib
    done
    ln -s /usr/lib/wasm32-wasi "$out/sysroot/lib/rustlib/wasm32-wasip2/lib/self-contained"
    ln -s "/usr/lib/rustlib/$host" "$out/sysroot/lib/rustlib/$host"
    rm -rf "$out/std"
}

by_distribution() {
    # shellcheck disable=SC2086 # one word per package
    apt_install $packages
    linkers
    build_std
    # A cargo above us may have set LD_LIBRARY_PATH for a compiler that is not this one.
    cat >"$out/rustc" <<SHIM
#!/bin/sh
unset LD_LIBRARY_PATH
export PATH='$out/bin':"\$PATH"
exec /usr/bin/rustc --sysroot '$out/sysroot' "\$@"
SHIM
    chmod +x "$out/rustc"
    links "$out/rustc" || { cat "$out/probe.log" >&2; die "the distribution's compiler cannot link a policy"; }
    finish distribution <<SHIM
unset LD_LIBRARY_PATH
export PATH='$out/bin':"\$PATH" RUSTC='$out/rustc' RUSTDOC=/usr/bin/rustdoc
exec /usr/bin/cargo "\$@"
SHIM
}

case $want in
'' | rustup | distribution) ;;
*) die "LICTOR_GUEST_TOOLCHAIN is \`$want\`; it can be rustup or distribution" ;;
esac
cd "$root"
mkdir -p "$out"
if up_to_date; then exit 0; fi
# Two makes at once would write the same files; the second waits, and then finds nothing to do.
if command -v flock >/dev/null; then
    exec 9>"$out/lock"
    flock 9
    if up_to_date; then exit 0; fi
fi
rm -f "$out/made-from"
case $want in
rustup) by_rustup || die "no wasm targets from rustup; the logs are in $out" ;;
distribution) by_distribution ;;
*) by_rustup || by_distribution ;;
esac

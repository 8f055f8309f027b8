#!/usr/bin/env bash
# Everything that a release consists of, into target/release-files: `make release`.
#
# For every architecture that can be built for here: a static binary, a tarball with man pages and completions, a .deb, an
# .rpm; besides, a bill of materials and checksums. The same commit and the same tools give the same bytes, in whatever
# directory: times are the commit's, paths of this machine are mapped away, owners are root. What cannot be made here is
# said at the end.
#
# CRISCOPE_TARGETS names the targets; by default this machine's and, where its standard library and Debian's cross
# compiler (gcc-aarch64-linux-gnu, libc6-dev-arm64-cross) are there, arm64.
set -euo pipefail
cd "$(dirname "$0")/.."

out=target/release-files
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
missing=()

# Files that were made now look as old as the commit.
age() { find "$1" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +; }

# Why a target cannot be built for here; nothing if it can.
obstacle() { # target
    if [ ! -e "$(rustc --print target-libdir --target "$1")" ]; then
        echo "rustc has no standard library for it (rustup target add $1)"
    elif [[ $1 == aarch64-* && $(uname -m) != aarch64 ]] && ! command -v aarch64-linux-gnu-gcc >/dev/null; then
        echo "there is no aarch64-linux-gnu-gcc (gcc-aarch64-linux-gnu, libc6-dev-arm64-cross)"
    fi
}

build() { # target
    echo "building for $1" >&2
    local home sysroot
    home=${CARGO_HOME:-$HOME/.cargo}
    sysroot=$(rustc --print sysroot)
    if [[ $1 == aarch64-* && $(uname -m) != aarch64 ]]; then
        export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
        export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
    fi
    RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$PWD=/criscope --remap-path-prefix=$home=/cargo --remap-path-prefix=$sysroot=/rust" \
        cargo build --release --locked --target "$1" --bin criscope
}

# The files of a package below a directory.
stage() { # directory, binary, directory of zsh's completions, directory of the node exporter's files
    install -D --mode=755 "$2" "$1/usr/bin/criscope"
    mkdir -p "$1/usr/share/man/man1" "$1/usr/lib/systemd/system" "$1/usr/share/doc/criscope"
    local page unit
    for page in "$out"/pages/man/*.1; do
        gzip --no-name --best --stdout "$page" >"$1/usr/share/man/man1/$(basename "$page").gz"
    done
    install -D --mode=644 "$out/pages/completions/criscope.bash" "$1/usr/share/bash-completion/completions/criscope"
    install -D --mode=644 "$out/pages/completions/_criscope" "$1$3/_criscope"
    install -D --mode=644 "$out/pages/completions/criscope.fish" "$1/usr/share/fish/vendor_completions.d/criscope.fish"
    install --mode=644 LICENSE "$1/usr/share/doc/criscope/copyright"
    gzip --no-name --best --stdout CHANGELOG.md >"$1/usr/share/doc/criscope/changelog.gz"
    # The units of deploy/, with a package's places for the binary and for what the node exporter collects.
    for unit in criscope-check.service criscope-check.timer; do
        sed -e 's#/usr/local/bin/#/usr/bin/#' -e "s#/var/lib/node_exporter/textfile_collector#$4#" \
            "deploy/systemd/$unit" >"$1/usr/lib/systemd/system/$unit"
    done
    chmod -R u=rwX,go=rX "$1"
    age "$1"
}

tarball() { # architecture, binary
    local name=criscope-$version-$1
    mkdir "$out/$name"
    cp "$2" LICENSE README.md CHANGELOG.md "$out/$name/"
    cp -r "$out/pages/man" "$out/pages/completions" "$out/$name/"
    age "$out/$name"
    tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --mode=u=rwX,go=rX \
        --directory "$out" "$name" | gzip --no-name --best >"$out/$name.tar.gz"
    rm -rf "${out:?}/$name"
}

deb_package() { # architecture, binary
    if ! command -v dpkg-deb >/dev/null; then
        missing+=("the .deb for $1: there is no dpkg-deb")
        return
    fi
    local root=$out/deb size
    stage "$root" "$2" /usr/share/zsh/vendor-completions /var/lib/prometheus/node-exporter
    mkdir "$root/DEBIAN"
    size=$(du --summarize --apparent-size --block-size=1024 "$root" | cut -f1)
    sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$1/" -e "s/@SIZE@/$size/" packaging/deb/control >"$root/DEBIAN/control"
    install --mode=755 packaging/deb/postinst packaging/deb/prerm packaging/deb/postrm "$root/DEBIAN/"
    (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
    chmod 644 "$root/DEBIAN/control" "$root/DEBIAN/md5sums"
    age "$root"
    dpkg-deb --root-owner-group -Zxz --build "$root" "$out/criscope_${version}_$1.deb" >/dev/null
    rm -rf "$root"
}

rpm_package() { # architecture, binary
    if ! command -v rpmbuild >/dev/null; then
        missing+=("the .rpm for $1: there is no rpmbuild (Debian's package rpm)")
        return
    fi
    local top=$PWD/$out/rpm
    stage "$top/staged" "$2" /usr/share/zsh/site-functions /var/lib/node_exporter/textfile_collector
    rpmbuild --quiet -bb --target "$1-linux" --define "_topdir $top" --define "staged $top/staged" \
        --define "version_ $version" packaging/rpm/criscope.spec
    mv "$top"/RPMS/*/*.rpm "$out/"
    rm -rf "$top"
}

rm -rf "$out"
mkdir -p "$out"
machine=$(uname -m)-unknown-linux-gnu
asked=${CRISCOPE_TARGETS:-}
[ -n "$asked" ] || asked="$machine aarch64-unknown-linux-gnu"

echo "writing man pages, completions and the bill of materials" >&2
cargo run --quiet --locked --example pages -- "$out/pages"
for target in $(printf '%s\n' $asked | sort -u); do
    case $target in
        x86_64-*) debian=amd64 red=x86_64 ;;
        aarch64-*) debian=arm64 red=aarch64 ;;
        *) echo "no package architecture is known for $target" >&2; exit 2 ;;
    esac
    why=$(obstacle "$target")
    if [ -n "$why" ]; then
        missing+=("everything for $debian: $why")
        continue
    fi
    build "$target"
    binary=target/$target/release/criscope
    tarball "$debian" "$binary"
    deb_package "$debian" "$binary"
    rpm_package "$red" "$binary"
    cp "$binary" "$out/criscope-$debian"
done
mv "$out/pages/sbom.cdx.json" "$out/criscope-$version.cdx.json"
rm -rf "$out/pages"
cp packaging/Dockerfile "$out/Dockerfile"
age "$out"
(cd "$out" && sha256sum ./* >SHA256SUMS)
cat "$out/SHA256SUMS"
if [ ${#missing[@]} -gt 0 ]; then
    printf 'NOT MADE HERE: %s\n' "${missing[@]}" >&2
fi

#!/usr/bin/env bash
# Everything that a release consists of, into target/release-files: `make release`.
#
# A static binary, man pages, completions, a tarball, a .deb, a bill of materials, checksums. The same commit gives the
# same bytes: times are the commit's, paths of this machine are mapped away, owners are root.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CRISCOPE_TARGET:-x86_64-unknown-linux-gnu}
out=target/release-files
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
case $target in
    x86_64-*) arch=amd64 ;;
    aarch64-*) arch=arm64 ;;
    *) echo "no package architecture is known for $target" >&2; exit 2 ;;
esac
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
# Files that were made now look as old as the commit.
age() { find "$1" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +; }

rm -rf "$out"
mkdir -p "$out"

echo "building for $target" >&2
home=${CARGO_HOME:-$HOME/.cargo}
sysroot=$(rustc --print sysroot)
RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$PWD=/criscope --remap-path-prefix=$home=/cargo --remap-path-prefix=$sysroot=/rust" \
    cargo build --release --locked --target "$target" --bin criscope
binary=target/$target/release/criscope

echo "writing man pages, completions and the bill of materials" >&2
cargo run --quiet --locked --example pages -- "$out/pages"

# The tarball.
name=criscope-$version-$arch
mkdir "$out/$name"
cp "$binary" LICENSE README.md CHANGELOG.md "$out/$name/"
cp -r "$out/pages/man" "$out/pages/completions" "$out/$name/"
age "$out/$name"
tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
    --directory "$out" "$name" | gzip --no-name --best >"$out/$name.tar.gz"
rm -rf "${out:?}/$name"

# The Debian package.
root=$out/deb
install -D --mode=755 "$binary" "$root/usr/bin/criscope"
mkdir -p "$root/usr/share/man/man1"
for page in "$out"/pages/man/*.1; do
    gzip --no-name --best --stdout "$page" >"$root/usr/share/man/man1/$(basename "$page").gz"
done
install -D --mode=644 "$out/pages/completions/criscope.bash" "$root/usr/share/bash-completion/completions/criscope"
install -D --mode=644 "$out/pages/completions/_criscope" "$root/usr/share/zsh/vendor-completions/_criscope"
install -D --mode=644 "$out/pages/completions/criscope.fish" "$root/usr/share/fish/vendor_completions.d/criscope.fish"
install -D --mode=644 LICENSE "$root/usr/share/doc/criscope/copyright"
gzip --no-name --best --stdout CHANGELOG.md >"$root/usr/share/doc/criscope/changelog.gz"
# The units of deploy/, with Debian's places for the binary and for what the node exporter collects.
mkdir -p "$root/usr/lib/systemd/system"
for unit in criscope-check.service criscope-check.timer; do
    sed -e 's#/usr/local/bin/#/usr/bin/#' -e 's#/var/lib/node_exporter/textfile_collector#/var/lib/prometheus/node-exporter#' \
        "deploy/systemd/$unit" >"$root/usr/lib/systemd/system/$unit"
done
mkdir "$root/DEBIAN"
size=$(du --summarize --apparent-size --block-size=1024 "$root" | cut -f1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" packaging/control >"$root/DEBIAN/control"
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
chmod -R u=rwX,go=rX "$root"
age "$root"
dpkg-deb --root-owner-group -Zxz --build "$root" "$out/criscope_${version}_$arch.deb" >/dev/null
rm -rf "$root"

cp "$binary" "$out/criscope-$arch"
mv "$out/pages/sbom.cdx.json" "$out/criscope-$version.cdx.json"
rm -rf "$out/pages"
(cd "$out" && sha256sum ./* >SHA256SUMS)
cat "$out/SHA256SUMS"

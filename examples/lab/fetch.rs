//! Debian packages without installing them: apt's own tools, pointed at a private directory.
//!
//! apt keeps its checks: the suite's signature is verified with the machine's own Debian keyring (Debian 12's knows
//! the keys of bullseye, bookworm and trixie; testing is signed with those), the package's hash with the suite's
//! index. Nothing is written outside the cache, and no hook of the machine's apt runs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error, Result, run};
use crate::generation::Suite;
use crate::speech::tell;

/// Where the mirror is named if the machine's own sources are of no use (an archived suite, say).
pub const MIRROR_VARIABLE: &str = "CRISCOPE_LAB_MIRROR";
/// Where the cache is, if not below `target/`.
pub const CACHE_VARIABLE: &str = "CRISCOPE_LAB_CACHE";

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An unpacked package.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Package {
    /// Its name in the archive.
    pub name: String,
    /// Debian's version of it.
    pub version: String,
    /// The directory below which its files lie as they would below `/`.
    pub root: PathBuf,
}

/// Whether what the cache holds is good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// What was fetched once is used; the network is asked for what is missing.
    Cached,
    /// The suite's index is read again and newer packages are fetched.
    Newest,
}

/// The cache of packages. Several processes may use it at once.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// The cache at `$CRISCOPE_LAB_CACHE`, else at `target/lab/cache` beside the binary that runs.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open() -> Result<Self> {
        let dir = match std::env::var_os(CACHE_VARIABLE) {
            Some(dir) => PathBuf::from(dir),
            None => beside_the_binary()?.join("lab/cache"),
        };
        fs::create_dir_all(&dir).doing(|| format!("make the cache {}", dir.display()))?;
        let dir = dir
            .canonicalize()
            .doing(|| format!("find the cache {}", dir.display()))?;
        Ok(Self { dir })
    }

    /// Fetches and unpacks packages of a suite, in the order asked for.
    ///
    /// # Errors
    /// [`Error::SuiteGone`], or whatever apt, dpkg-deb or the file system refuse.
    pub fn fetch(&self, suite: Suite, names: &[&str], fresh: Freshness) -> Result<Vec<Package>> {
        let shelf = self.shelf(suite)?;
        // One process at a time fetches from a suite; the others wait here and then find it done.
        let _turn = shelf.turn()?;
        let mut index = shelf.index()?;
        let missing: Vec<&str> = match fresh {
            Freshness::Newest => names.to_vec(),
            Freshness::Cached => {
                let lacks = |name: &&str| index.get(*name).is_none_or(|it| !it.root.is_dir());
                names.iter().copied().filter(lacks).collect()
            }
        };
        if !missing.is_empty() {
            tell(&format!("fetching {} of {suite}", missing.join(", ")));
            let listed = shelf.has_lists();
            if !listed || fresh == Freshness::Newest {
                shelf.update()?;
            }
            let fetched = match shelf.download(&missing) {
                // A list of yesterday names packages that the mirror has replaced since.
                Err(_) if listed && fresh == Freshness::Cached => {
                    shelf.update()?;
                    shelf.download(&missing)?
                }
                other => other?,
            };
            for package in fetched {
                index.insert(package.name.clone(), package);
            }
            shelf.write_index(&index)?;
        }
        names
            .iter()
            .map(|name| {
                index
                    .get(*name)
                    .cloned()
                    .ok_or_else(|| Error::Usage(format!("suite `{suite}` has no package `{name}`")))
            })
            .collect()
    }

    /// What a suite offers of a package: its codename, the version, and whether the cache has it unpacked.
    ///
    /// # Errors
    /// As [`Cache::fetch`].
    pub fn offer(&self, suite: Suite, name: &str, fresh: Freshness) -> Result<Offer> {
        let shelf = self.shelf(suite)?;
        let _turn = shelf.turn()?;
        if !shelf.has_lists() || fresh == Freshness::Newest {
            shelf.update()?;
        }
        let shown = run(shelf
            .apt("apt-cache")
            .args(["show", "--no-all-versions", name]))?;
        let shown = String::from_utf8_lossy(&shown.stdout);
        let version = field(&shown, "Version").unwrap_or_default();
        let cached = shelf.index()?.remove(name).map(|package| package.version);
        Ok(Offer {
            codename: shelf.codename()?,
            version,
            cached,
        })
    }

    fn shelf(&self, suite: Suite) -> Result<Shelf> {
        let arch = run(Command::new("dpkg").arg("--print-architecture"))?;
        let arch = String::from_utf8_lossy(&arch.stdout).trim().to_owned();
        let dir = self.dir.join(format!("{suite}-{arch}"));
        for part in ["apt/lists/partial", "apt/cache/archives/partial"] {
            let part = dir.join(part);
            fs::create_dir_all(&part).doing(|| format!("make {}", part.display()))?;
        }
        Ok(Shelf { suite, dir })
    }
}

/// What a suite offers of a package.
#[derive(Debug)]
pub struct Offer {
    /// The suite's codename, which says what `testing` is today.
    pub codename: String,
    /// The newest version.
    pub version: String,
    /// The version that is unpacked in the cache.
    pub cached: Option<String>,
}

/// One suite's part of the cache.
struct Shelf {
    suite: Suite,
    dir: PathBuf,
}

impl Shelf {
    fn turn(&self) -> Result<File> {
        let path = self.dir.join("lock");
        let file = File::create(&path).doing(|| format!("open {}", path.display()))?;
        file.lock().doing(|| format!("lock {}", path.display()))?;
        Ok(file)
    }

    fn index(&self) -> Result<BTreeMap<String, Package>> {
        let path = self.dir.join("index.json");
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|source| Error::Document {
                what: path.display().to_string(),
                source,
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error).doing(|| format!("read {}", path.display())),
        }
    }

    fn write_index(&self, index: &BTreeMap<String, Package>) -> Result<()> {
        let text = serde_json::to_vec_pretty(index).map_err(|source| Error::Document {
            what: "the index of packages".to_owned(),
            source,
        })?;
        let new = self.dir.join("index.json.new");
        fs::write(&new, text).doing(|| format!("write {}", new.display()))?;
        fs::rename(&new, self.dir.join("index.json")).doing(|| "replace the index".to_owned())
    }

    /// One of apt's programs, kept to this directory.
    fn apt(&self, program: &str) -> Command {
        let apt = self.dir.join("apt");
        let mut command = Command::new(program);
        command.env("LC_ALL", "C");
        // Read after the machine's own settings (a proxy stands there), so that it can take hooks out again.
        command.arg("-c").arg(apt.join("apt.conf"));
        let mut option = |key: &str, value: &Path| {
            command.arg("-o").arg(format!("{key}={}", value.display()));
        };
        option("Dir::State", &apt);
        option("Dir::State::lists", &apt.join("lists"));
        option("Dir::State::status", Path::new("/dev/null"));
        option("Dir::Cache", &apt.join("cache"));
        option("Dir::Etc::SourceList", &apt.join("sources.list"));
        option("Dir::Etc::SourceParts", Path::new("/dev/null"));
        option("Dir::Etc::Preferences", Path::new("/dev/null"));
        option("Dir::Etc::PreferencesParts", Path::new("/dev/null"));
        command
    }

    fn has_lists(&self) -> bool {
        self.dir.join("apt/updated").exists()
    }

    fn update(&self) -> Result<()> {
        let mirror = mirror()?;
        let settings = concat!(
            "#clear APT::Update::Pre-Invoke;\n",
            "#clear APT::Update::Post-Invoke;\n",
            "#clear APT::Update::Post-Invoke-Success;\n",
            // The user `_apt` may not reach a cache in somebody's home.
            "APT::Sandbox::User \"root\";\n",
            "Acquire::Languages \"none\";\n",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n",
            // Without this, a suite that cannot be read is a warning.
            "APT::Update::Error-Mode \"any\";\n",
        );
        let apt = self.dir.join("apt");
        // Without the file, apt falls back to the keys in /etc/apt/trusted.gpg.d.
        let keys = match Path::new(KEYRING).exists() {
            true => format!("[signed-by={KEYRING}] "),
            false => String::new(),
        };
        let source = format!("deb {keys}{mirror} {} main\n", self.suite);
        for (name, text) in [("apt.conf", settings), ("sources.list", &source)] {
            let path = apt.join(name);
            fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
        }
        match run(self.apt("apt-get").arg("update")) {
            Ok(_) => {}
            Err(Error::Tool { said, .. }) if says_gone(&said) => {
                return Err(Error::SuiteGone {
                    suite: self.suite.to_string(),
                    mirror,
                    said,
                });
            }
            Err(error) => return Err(error),
        }
        fs::write(apt.join("updated"), "").doing(|| "mark the lists as read".to_owned())
    }

    /// Downloads packages and unpacks each under the name of its file, which holds its version.
    fn download(&self, names: &[&str]) -> Result<Vec<Package>> {
        let incoming = tempfile::Builder::new()
            .prefix("incoming-")
            .tempdir_in(&self.dir)
            .doing(|| format!("make a directory in {}", self.dir.display()))?;
        let mut download = self.apt("apt-get");
        download.args(["download", "-qq"]).args(names);
        run(download.current_dir(incoming.path()))?;

        let mut packages = Vec::new();
        let listed = fs::read_dir(incoming.path()).doing(|| "list the downloads".to_owned())?;
        for entry in listed {
            let file = entry.doing(|| "list the downloads".to_owned())?.path();
            let Some(stem) = file
                .file_stem()
                .filter(|_| file.extension() == Some("deb".as_ref()))
            else {
                continue;
            };
            let about = run(Command::new("dpkg-deb")
                .arg("--field")
                .arg(&file)
                .args(["Package", "Version"]))?;
            let about = String::from_utf8_lossy(&about.stdout);
            let root = self.dir.join(stem);
            if !root.is_dir() {
                let unpacked = incoming.path().join("unpacked");
                run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&unpacked))?;
                fs::rename(&unpacked, &root).doing(|| format!("make {}", root.display()))?;
            }
            packages.push(Package {
                name: field(&about, "Package").unwrap_or_default(),
                version: field(&about, "Version").unwrap_or_default(),
                root,
            });
        }
        Ok(packages)
    }

    fn codename(&self) -> Result<String> {
        let said = run(self
            .apt("apt-get")
            .args(["indextargets", "--format", "$(CODENAME)"]))?;
        let said = String::from_utf8_lossy(&said.stdout);
        Ok(said.lines().next().unwrap_or_default().to_owned())
    }
}

/// The mirror from which this machine itself gets Debian, unless another one is named.
fn mirror() -> Result<String> {
    if let Ok(uri) = std::env::var(MIRROR_VARIABLE) {
        return Ok(uri);
    }
    // Unlike `apt-get indextargets`, this speaks even where no list was ever read, as in an image.
    let uris = run(Command::new("apt-get").args(["update", "--print-uris"]))?;
    let uris = String::from_utf8_lossy(&uris.stdout);
    site_among(&uris).ok_or(Error::NoMirror)
}

/// The first site with a whole suite of Debian: not the updates, not security, nobody else's packages. Lines read
/// `'http://HOST/debian/dists/bookworm/InRelease' HOST_debian_dists_bookworm_InRelease 0`.
fn site_among(uris: &str) -> Option<String> {
    const SUITES: [&str; 10] = [
        "bullseye",
        "bookworm",
        "trixie",
        "forky",
        "sid",
        "oldoldstable",
        "oldstable",
        "stable",
        "testing",
        "unstable",
    ];
    uris.lines().find_map(|line| {
        let uri = line.strip_prefix('\'')?.split('\'').next()?;
        let (site, suite) = uri.strip_suffix("/InRelease")?.rsplit_once("/dists/")?;
        (SUITES.contains(&suite) && site.starts_with("http")).then(|| site.to_owned())
    })
}

/// Whether apt says that the mirror answered, and that it has no such suite. Proxies answer with other codes than 404.
fn says_gone(said: &str) -> bool {
    let refused = [" 400 ", " 403 ", " 404 ", " 410 "];
    said.contains("does not have a Release file")
        || said.contains("Release ") && refused.iter().any(|code| said.contains(code))
}

/// The value of a field in a control paragraph.
fn field(paragraph: &str, name: &str) -> Option<String> {
    paragraph.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key == name).then(|| value.trim().to_owned())
    })
}

/// The `target` directory in which this binary was built.
fn beside_the_binary() -> Result<PathBuf> {
    let binary = std::env::current_exe().doing(|| "find this program's own file".to_owned())?;
    let target = binary
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").exists())
        .map(Path::to_owned);
    Ok(target.unwrap_or_else(|| std::env::temp_dir().join("criscope")))
}

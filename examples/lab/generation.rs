//! The generations of containerd that a lab can be: where each comes from and what its configuration looks like.

use std::fmt;

/// A suite of Debian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// Debian 11.
    Bullseye,
    /// Debian 12, on which everything has to run.
    Bookworm,
    /// Debian 13.
    Trixie,
    /// What comes after.
    Testing,
}

impl Suite {
    /// The name in the archive.
    pub fn name(self) -> &'static str {
        match self {
            Suite::Bullseye => "bullseye",
            Suite::Bookworm => "bookworm",
            Suite::Trixie => "trixie",
            Suite::Testing => "testing",
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A generation of containerd. Tests key on the version that the daemon reports, never on this word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Generation {
    /// Speaks `runtime.v1alpha2` only; mirrors in config.toml only.
    #[value(name = "1.4")]
    V1_4,
    /// The first with hosts.toml in the field.
    #[value(name = "1.6")]
    V1_6,
    /// The long-term release.
    #[value(name = "1.7")]
    V1_7,
    /// The newest: configuration version 3.
    #[value(name = "2")]
    V2,
}

impl Generation {
    /// All, oldest first.
    pub const ALL: [Generation; 4] = [Self::V1_4, Self::V1_6, Self::V1_7, Self::V2];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_4 => "1.4",
            Self::V1_6 => "1.6",
            Self::V1_7 => "1.7",
            Self::V2 => "2",
        }
    }

    /// The suite whose `containerd` it is. All of them run on Debian 12: they ask for glibc 2.34 at most.
    pub fn suite(self) -> Suite {
        match self {
            Self::V1_4 => Suite::Bullseye,
            Self::V1_6 => Suite::Bookworm,
            Self::V1_7 => Suite::Trixie,
            Self::V2 => Suite::Testing,
        }
    }

    /// Whether it reads `certs.d/*/hosts.toml` (containerd 1.5 and newer).
    pub fn reads_hosts_toml(self) -> bool {
        self != Self::V1_4
    }

    /// Whether CRI's settings stand in two tables of configuration version 3.
    pub fn has_split_cri(self) -> bool {
        self == Self::V2
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

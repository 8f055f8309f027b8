//! The images in the registries, and what is to come of pulling them: a promise that `lab verify` holds against the
//! runtime.

use serde::{Deserialize, Serialize};

use crate::config::{PAUSE, Style, UPSTREAM};
use crate::generation::Generation;
use crate::image::{Builder, Image};
use crate::registry::{Content, Kind, Registry};

/// An image for a platform that this node is not.
const FOREIGN: &str = "lab/foreign:1";

/// An image that the node can be asked to pull.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pull {
    /// The image ref.
    pub image: String,
    /// The kinds of the mirrors that it goes through, first to last; empty if it is asked for directly.
    pub through: Vec<Kind>,
    /// The first of them.
    pub url: String,
    /// The digest that the upstream has.
    pub digest: String,
    /// The digest that a pull brings; null if it brings nothing.
    pub served: Option<String>,
}

/// The images of the registries.
pub struct Pullable {
    /// What the upstream has.
    pub fresh: Vec<Image>,
    /// The same tags with other digests.
    pub stale: Vec<Image>,
}

impl Pullable {
    /// Builds them.
    pub fn build(builder: &Builder) -> Self {
        let images = |note: &str| {
            let entrypoint = "trap 'exit 0' TERM; echo \"up\"; sleep 2147483647 & wait $!";
            vec![
                builder.image("lab/app:1", entrypoint, &format!("1{note}")),
                builder.image("lab/app:2", entrypoint, &format!("2{note}")),
                builder.index("lab/multi:1", entrypoint, &["amd64", "arm64", "s390x"]),
                builder.index(FOREIGN, entrypoint, &["s390x"]),
                builder.image(PAUSE, "exec sleep 2147483647", "lab"),
            ]
        };
        Self {
            fresh: images(""),
            stale: images(" as it was last year"),
        }
    }

    /// Every name that the node can be asked for, and what comes of it.
    pub fn promises(
        &self,
        generation: Generation,
        style: Style,
        upstreams: &[(String, Vec<Registry>)],
        registries: &[Registry],
    ) -> Vec<Pull> {
        let mut pulls = Vec::new();
        let configured = upstreams.iter().filter(|_| style != Style::None);
        for (upstream, mirrors) in configured {
            let names: &[&str] = match upstream == UPSTREAM {
                true => &["lab/app:1", "lab/app:2", "lab/multi:1", FOREIGN],
                false => &["lab/app:1"],
            };
            // containerd 2 has dropped `registry.configs.*.tls`: beside `mirrors`, nothing can name a CA.
            let trusts = generation != Generation::V2 || style != Style::Mirrors;
            let serves = |mirror: &Registry| {
                let content = mirror.kind.serves();
                content.filter(|_| trusts || mirror.ca.is_none())
            };
            for name in names {
                pulls.extend(mirrors.first().map(|first| Pull {
                    image: format!("{upstream}/{name}"),
                    through: mirrors.iter().map(|mirror| mirror.kind).collect(),
                    url: first.url.clone(),
                    digest: digest(&self.fresh, name).unwrap_or_default(),
                    // The first mirror that has an answer: a fault before it is passed over.
                    served: self.digest(mirrors.iter().find_map(serves), name),
                }));
            }
        }
        // Without any configuration: the runtime speaks HTTP to this machine.
        let direct = registries
            .iter()
            .filter(|registry| registry.kind == Kind::Good);
        pulls.extend(direct.map(|registry| Pull {
            image: format!("{}/lab/app:1", registry.address),
            through: Vec::new(),
            url: registry.url.clone(),
            digest: digest(&self.fresh, "lab/app:1").unwrap_or_default(),
            served: digest(&self.fresh, "lab/app:1"),
        }));
        pulls
    }

    fn digest(&self, content: Option<Content>, name: &str) -> Option<String> {
        match content {
            _ if name == FOREIGN => None,
            Some(Content::Fresh) => digest(&self.fresh, name),
            Some(Content::Stale) => digest(&self.stale, name),
            Some(Content::Nothing) | None => None,
        }
    }
}

fn digest(images: &[Image], name: &str) -> Option<String> {
    let found = images.iter().find(|image| image.name == name);
    found.map(|image| image.top.digest.clone())
}

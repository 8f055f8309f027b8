//! The image of pod sandboxes: what the running daemon uses, where it tells, else what its files say.

use super::Node;
use super::Session;
use super::reference;
use crate::cri;
use crate::error::Error;
use crate::registry::image_ref::ImageRef;

/// The image, and what has to be known about it.
pub struct Sandbox {
    /// The image.
    pub image: ImageRef,
    /// Notes.
    pub notes: Vec<String>,
}

/// Finds it.
///
/// # Errors
/// The runtime does not pull it by itself, or it is no image reference.
pub async fn image(session: &Session, node: &Node) -> Result<Sandbox, Error> {
    let Some(declared) = node.sandbox_image().filter(|image| !image.is_empty()) else {
        return Err(Error::usage(format!(
            "{} has no sandbox image of its own",
            node.runtime.name
        ))
        .hint("cri-dockerd names it on its command line, `--pod-infra-container-image`; give it as an IMAGE"));
    };
    // containerd up to 1.7, CRI-O and cri-dockerd say in CRI what they have loaded.
    let effective = match node.started {
        Some(_) => effective(session).await,
        None => None,
    };
    let mut notes = Vec::new();
    let image = match effective {
        Some(effective) if effective != declared => {
            notes.push(format!(
                "the running daemon uses {effective}; the files say {declared}, which needs a restart"
            ));
            effective
        }
        _ => declared,
    };
    Ok(Sandbox {
        image: reference(&image)?,
        notes,
    })
}

async fn effective(session: &Session) -> Option<String> {
    let client = session.client().await.ok()?;
    let reply = client
        .status(cri::StatusRequest { verbose: true })
        .await
        .ok()?;
    let mut status = reply.decode().ok()?;
    let config = status.info.remove("config")?;
    let config: serde_json::Value = serde_json::from_str(&config).ok()?;
    let image = config.get("sandboxImage")?.as_str()?;
    (!image.is_empty()).then(|| image.to_owned())
}

//! Conditions of `images --filter`, applied in the order given, all of which must hold.
//!
//! `before` and `since` go by the place in the sorted list, because CRI does not tell when an image was made: crictl's
//! meaning. Unlike in crictl, `reference` sees every name of an image, and an unknown condition is an error.

use regex_lite::Regex;

use crate::model::{Image, Listing};
use crate::registry::image_ref::ImageRef;

/// One condition.
#[derive(Debug, Clone)]
pub enum Filter {
    /// Images without a tag, or those with one.
    Dangling(bool),
    /// Images with a name whose repository matches.
    Reference(Regex),
    /// Images that stand behind this one in the list.
    Before(String),
    /// Images that stand in front of this one in the list.
    Since(String),
}

/// Parses `key=value`.
///
/// # Errors
/// What the condition should look like.
pub fn parse(text: &str) -> Result<Filter, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not of the form `key=value`"))?;
    match (key, value) {
        ("dangling", "true") => Ok(Filter::Dangling(true)),
        ("dangling", "false") => Ok(Filter::Dangling(false)),
        ("dangling", _) => Err(format!("`dangling` is `true` or `false`, not `{value}`")),
        ("reference", _) => Regex::new(value)
            .map(Filter::Reference)
            .map_err(|error| error.to_string()),
        ("before", _) => Ok(Filter::Before(value.to_owned())),
        ("since", _) => Ok(Filter::Since(value.to_owned())),
        _ => Err(format!(
            "`{key}` is none of `dangling`, `reference`, `before`, `since`"
        )),
    }
}

impl Filter {
    /// Keeps the images for which the condition holds. A `before` or `since` that names no image keeps all.
    pub fn apply(&self, listing: &mut Listing<Image>) {
        match self {
            Filter::Dangling(dangling) => {
                listing.retain(|image| image.repo_tags.is_empty() == *dangling)
            }
            Filter::Reference(pattern) => {
                listing.retain(|image| repositories(image).any(|name| pattern.is_match(name)))
            }
            Filter::Before(name) => {
                let place = listing.rows().position(|image| is_named(image, name));
                if let Some(place) = place {
                    listing.items.drain(..=place);
                }
            }
            Filter::Since(name) => {
                let place = listing.rows().position(|image| is_named(image, name));
                if let Some(place) = place {
                    listing.items.truncate(place);
                }
            }
        }
    }
}

fn repositories(image: &Image) -> impl Iterator<Item = &str> {
    let of_digests = image
        .repo_digests
        .iter()
        .map(|digest| digest.split_once('@').map_or(digest.as_str(), |(r, _)| r));
    let of_tags = image
        .repo_tags
        .iter()
        .map(|tag| crate::model::image::split_tag(tag).0);
    of_digests.chain(of_tags)
}

/// Whether a typed name means this image: its id or the beginning of it, a name as it is, or a short name of Docker
/// Hub; without a tag any tag of the repository.
pub fn is_named(image: &Image, typed: &str) -> bool {
    let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
    let bare = typed.strip_prefix("sha256:").unwrap_or(typed);
    if image.is_called(typed)
        || (bare.len() >= 3 && bare.bytes().all(|b| b.is_ascii_hexdigit()) && id.starts_with(bare))
    {
        return true;
    }
    let Ok(reference) = typed.parse::<ImageRef>() else {
        return false;
    };
    let has_tag = crate::model::image::split_tag(typed).1.is_some() || typed.contains('@');
    if has_tag {
        image.is_called(&reference.to_string())
    } else {
        let repository = reference.name();
        repositories(image).any(|name| name == repository || name == typed)
    }
}

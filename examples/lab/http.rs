//! Just enough HTTP/1.1 to push to a registry on this machine: one request per connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{Doing, Error, Result};
use crate::image::{Blob, Image};

const ANSWER: Duration = Duration::from_secs(20);

/// Pushes an image through the registry's API: blobs, manifests below, and last the one that is tagged.
///
/// # Errors
/// The registry does not answer, or refuses.
pub fn push(registry: SocketAddr, image: &Image) -> Result<()> {
    let repository = image.repository();
    for blob in &image.blobs {
        push_blob(registry, repository, blob)?;
    }
    let put = |reference: &str, media_type: &str, manifest: &Blob| {
        let path = format!("/v2/{repository}/manifests/{reference}");
        request(registry, "PUT", &path, media_type, &manifest.bytes, 201).map(drop)
    };
    for manifest in &image.manifests {
        put(&manifest.digest, crate::image::MANIFEST, manifest)?;
    }
    put(image.tag(), image.media_type, &image.top)
}

fn push_blob(registry: SocketAddr, repository: &str, blob: &Blob) -> Result<()> {
    let kind = "application/octet-stream";
    let known = format!("/v2/{repository}/blobs/{}", blob.digest);
    if exchange(registry, "HEAD", &known, kind, &[])?.status == 200 {
        return Ok(());
    }
    let uploads = format!("/v2/{repository}/blobs/uploads/");
    let begun = request(registry, "POST", &uploads, kind, &[], 202)?;
    let location = begun.header("location").unwrap_or_default();
    // The registry names itself; only the path is of interest.
    let path = location.splitn(4, '/').nth(3).unwrap_or_default();
    let path = format!("/{path}&digest={}", blob.digest.replace(':', "%3A"));
    request(registry, "PUT", &path, kind, &blob.bytes, 201).map(drop)
}

/// An answer.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends a request and insists on a status.
fn request(
    registry: SocketAddr,
    method: &str,
    path: &str,
    media_type: &str,
    body: &[u8],
    expected: u16,
) -> Result<Answer> {
    let answer = exchange(registry, method, path, media_type, body)?;
    if answer.status == expected {
        return Ok(answer);
    }
    Err(Error::Registry {
        request: format!("{method} {path}"),
        status: answer.status,
        body: answer.body.chars().take(200).collect(),
    })
}

fn exchange(
    registry: SocketAddr,
    method: &str,
    path: &str,
    media_type: &str,
    body: &[u8],
) -> Result<Answer> {
    let talk = || {
        let mut stream = TcpStream::connect_timeout(&registry, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {registry}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer: std::io::Result<Vec<u8>> = talk();
    let answer = answer.doing(|| format!("{method} {path} at {registry}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok(Answer {
        status: status.unwrap_or_default(),
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

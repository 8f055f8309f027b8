//! Just enough of the ustar format to make image layers and OCI archives: files, directories, links.

/// A tar archive that grows in memory. Times, owners and order are fixed, so that equal content has equal digests.
#[derive(Debug, Default)]
pub struct Tar {
    bytes: Vec<u8>,
}

const BLOCK: usize = 512;

impl Tar {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory.
    pub fn dir(self, path: &str) -> Self {
        self.entry(path, 0o755, b'5', "", &[])
    }

    /// Adds a regular file.
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(path, mode, b'0', "", content)
    }

    /// Adds a symbolic link.
    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, 0o777, b'2', target, &[])
    }

    /// The archive with its end mark.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }

    fn entry(mut self, path: &str, mode: u32, kind: u8, target: &str, content: &[u8]) -> Self {
        let mut header = [0u8; BLOCK];
        let mut put = |place: usize, bytes: &[u8]| {
            header[place..place + bytes.len()].copy_from_slice(bytes);
        };
        // A name has 100 bytes; ours are all shorter.
        put(0, &path.as_bytes()[..path.len().min(100)]);
        put(100, format!("{mode:07o}").as_bytes());
        put(108, b"0000000");
        put(116, b"0000000");
        put(124, format!("{:011o}", content.len()).as_bytes());
        put(136, b"00000000000");
        // The sum is taken with blanks in its own place.
        put(148, b"        ");
        put(156, &[kind]);
        put(157, &target.as_bytes()[..target.len().min(100)]);
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(content);
        self.bytes
            .resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        self
    }
}

//! Pulls in flight as a table.

use crate::probe::pulls::Transfer;

use super::{human, sanitize};

/// Digits of a digest that tell blobs apart.
const SHORT: usize = 16;

/// The table as cells, the heading first; also without rows, so that no pull is not silence.
pub fn grid(transfers: &[Transfer], now: i64) -> Vec<Vec<String>> {
    let heading = ["NAMESPACE", "BLOB", "DONE", "RATE", "STATE"];
    let mut grid = vec![heading.map(str::to_owned).to_vec()];
    grid.extend(transfers.iter().map(|transfer| {
        vec![
            sanitize::line(&transfer.namespace).into_owned(),
            sanitize::line(&blob(&transfer.reference)).into_owned(),
            done(transfer.bytes, transfer.total),
            format!("{}/s", human::size(transfer.rate, 3)),
            state(transfer, now),
        ]
    }));
    grid
}

/// `12.3MB of 45MB`
pub fn done(bytes: u64, total: Option<u64>) -> String {
    match total {
        Some(total) => format!("{} of {}", human::size(bytes, 3), human::size(total, 3)),
        None => human::size(bytes, 3),
    }
}

/// `layer-sha256:4f4f…` as `layer 4f4fb700ef54461c`. Older versions put the name of the image before it.
fn blob(reference: &str) -> String {
    let Some((kind, digest)) = reference.rsplit_once("sha256:") else {
        return reference.to_owned();
    };
    let short: String = digest.chars().take(SHORT).collect();
    match kind.trim_end_matches('-') {
        "" => short,
        kind => format!("{kind} {short}"),
    }
}

fn state(transfer: &Transfer, now: i64) -> String {
    match transfer.stalled_since {
        Some(since) => {
            let time = human::rfc3339(since);
            let clock = time.get(11..19).unwrap_or(&time);
            format!("stalled since {clock}, {}", human::ago(since, now))
        }
        None => {
            let passed = u64::try_from(now.saturating_sub(transfer.started_at)).unwrap_or(0);
            let passed = std::time::Duration::from_nanos(passed);
            format!("for {}", human::duration(passed).to_lowercase())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_called_by_kind_and_digest() {
        #[track_caller]
        fn case(reference: &str, expected: &str) {
            assert_eq!(blob(reference), expected);
        }
        case(
            "layer-sha256:4f4fb700ef54461cfa02",
            "layer 4f4fb700ef54461c",
        );
        case("sha256:4f4fb700ef54461cfa02", "4f4fb700ef54461c");
        case("upload-1", "upload-1");
        case("layer-sha256:short", "layer short");
    }

    #[test]
    fn a_row() {
        let transfer = Transfer {
            namespace: "k8s.io".into(),
            reference: "layer-sha256:4f4fb700ef54461cfa02".into(),
            bytes: 1_000_000,
            total: Some(4_000_000),
            rate: 500_000,
            started_at: 0,
            updated_at: 0,
            stalled_since: None,
        };
        let grid = grid(&[transfer], 6_000_000_000);
        assert_eq!(
            grid[1],
            [
                "k8s.io",
                "layer 4f4fb700ef54461c",
                "1MB of 4MB",
                "500kB/s",
                "for 6 seconds"
            ]
        );
    }
}

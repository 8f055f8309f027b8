//! Ages, sizes and short ids, in the words that crictl and docker use for them.

use std::time::Duration;

/// How many characters of an id a table shows.
pub const SHORT_ID: usize = 13;

/// The beginning of an id, without the algorithm of a digest: `sha256:d700bd…` becomes `d700bdca6969e`.
pub fn short_id(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    // Ids are ASCII, where a character is a byte.
    if let Some((short, _)) = id.split_at_checked(SHORT_ID)
        && short.is_ascii()
    {
        return short;
    }
    match id.char_indices().nth(SHORT_ID) {
        Some((end, _)) => &id[..end],
        None => id,
    }
}

/// A duration as docker says it: `About an hour`, `3 weeks`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match seconds {
        0 => return "Less than a second".to_owned(),
        1 => return "1 second".to_owned(),
        2..=59 => return format!("{seconds} seconds"),
        _ => {}
    }
    match (minutes, hours) {
        (1, _) => "About a minute".to_owned(),
        (..60, _) => format!("{minutes} minutes"),
        (_, 1) => "About an hour".to_owned(),
        (_, ..48) => format!("{hours} hours"),
        (_, hours) if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        (_, hours) if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        (_, hours) if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        (_, hours) => format!("{} years", hours / 24 / 365),
    }
}

/// How long ago something was, from nanoseconds since 1970. A time in the future, as a wrong clock gives it, is no time
/// at all.
pub fn ago(then: i64, now: i64) -> String {
    let passed = u64::try_from(now.saturating_sub(then)).unwrap_or(0);
    duration(Duration::from_nanos(passed)) + " ago"
}

/// A point in time as Go prints it, in the local time zone: `2026-11-23 20:52:29.178315776 +0000 UTC`.
pub fn timestamp(nanoseconds: i64) -> String {
    match zoned(nanoseconds) {
        Some(time) => time.strftime("%Y-%m-%d %H:%M:%S%.f %z %Z").to_string(),
        None => nanoseconds.to_string(),
    }
}

/// A point in time in RFC 3339, in the local time zone; a zero time is Go's zero time.
pub fn rfc3339(nanoseconds: i64) -> String {
    if nanoseconds == 0 {
        return "0001-01-01T00:00:00Z".to_owned();
    }
    match zoned(nanoseconds) {
        Some(time) if time.offset().is_zero() => time.strftime("%Y-%m-%dT%H:%M:%S%.fZ").to_string(),
        Some(time) => time.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string(),
        None => nanoseconds.to_string(),
    }
}

fn zoned(nanoseconds: i64) -> Option<jiff::ZonedDateTime> {
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()?;
    Some(time.to_zoned_datetime(jiff::tz::TimeZone::system()))
}

/// A size in decimal units with so many significant digits: `1.04MB`, `742kB`, `999B`.
pub fn size(bytes: u64, digits: usize) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    #[expect(
        clippy::cast_precision_loss,
        reason = "fewer digits are shown than an f64 holds"
    )]
    let mut value = bytes as f64;
    let mut unit = 0;
    while unit + 1 < UNITS.len() && rounded(value, digits) >= 1000.0 {
        value /= 1000.0;
        unit += 1;
    }
    let places = digits.saturating_sub(before_point(value));
    let mut text = format!("{value:.places$}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    text + UNITS[unit]
}

fn before_point(value: f64) -> usize {
    match value {
        v if v >= 100.0 => 3,
        v if v >= 10.0 => 2,
        _ => 1,
    }
}

fn rounded(value: f64, digits: usize) -> f64 {
    let places = i32::try_from(digits.saturating_sub(before_point(value))).unwrap_or(0);
    let factor = 10f64.powi(places);
    (value * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_docker_says_them() {
        #[track_caller]
        fn case(seconds: u64, expected: &str) {
            assert_eq!(
                duration(Duration::from_secs(seconds)),
                expected,
                "{seconds} s"
            );
        }
        case(0, "Less than a second");
        case(1, "1 second");
        case(59, "59 seconds");
        case(60, "About a minute");
        case(119, "About a minute");
        case(120, "2 minutes");
        case(59 * 60 + 59, "59 minutes");
        case(3600, "About an hour");
        case(89 * 60, "About an hour");
        case(90 * 60, "2 hours");
        case(47 * 3600, "47 hours");
        case(48 * 3600, "2 days");
        case(14 * 86400 - 7200, "13 days");
        case(14 * 86400, "2 weeks");
        case(60 * 86400, "2 months");
        case(729 * 86400, "24 months");
        case(730 * 86400, "2 years");
    }

    #[test]
    fn sizes_with_significant_digits() {
        #[track_caller]
        fn case(bytes: u64, digits: usize, expected: &str) {
            assert_eq!(size(bytes, digits), expected, "{bytes}");
        }
        case(0, 3, "0B");
        case(999, 3, "999B");
        case(1_000, 3, "1kB");
        case(742_000, 3, "742kB");
        case(1_036_824, 3, "1.04MB");
        case(305_648, 3, "306kB");
        case(10_000_000, 3, "10MB");
        // crictl prints `1e+03kB` here.
        case(999_600, 3, "1MB");
        case(12_345_678, 4, "12.35MB");
        case(2_712_000, 4, "2.712MB");
        case(u64::MAX, 3, "18.4EB");
    }

    #[test]
    fn ids_are_cut_but_never_padded() {
        assert_eq!(short_id("sha256:d700bdca6969efb56caf"), "d700bdca6969e");
        assert_eq!(short_id("short"), "short");
        assert_eq!(short_id("äöüäöüäöüäöüäöü"), "äöüäöüäöüäöüä");
    }

    #[test]
    fn a_time_in_the_future_is_now() {
        assert_eq!(ago(2_000_000_000, 1_000_000_000), "Less than a second ago");
        assert_eq!(ago(i64::MIN, i64::MAX), "292 years ago");
    }
}

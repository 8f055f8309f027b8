//! A point in time as it is typed: how long ago, seconds since 1970, or a date.

use jiff::civil;
use jiff::tz::TimeZone;

use crate::command::args::duration;

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So many nanoseconds ago.
    Ago(i64),
    /// Nanoseconds since 1970.
    At(i64),
}

impl When {
    /// Nanoseconds since 1970, if it is `now`.
    pub fn nanoseconds(self, now: i64) -> i64 {
        match self {
            When::Ago(ago) => now.saturating_sub(ago),
            When::At(at) => at,
        }
    }
}

/// Understands what crictl and kubectl understand, and dates alone. Without a zone, the zone of this machine is meant.
///
/// # Errors
/// A sentence that shows the right forms.
pub fn parse(text: &str) -> Result<When, String> {
    parse_in(text, &TimeZone::system())
}

fn parse_in(text: &str, zone: &TimeZone) -> Result<When, String> {
    if let Some(at) = seconds(text) {
        return Ok(When::At(at));
    }
    if let Ok(ago) = duration(text) {
        return Ok(When::Ago(i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX)));
    }
    let timestamp = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        // A date alone is its midnight.
        let date = text.parse::<civil::DateTime>().ok()?;
        zone.to_timestamp(date).ok()
    });
    timestamp
        .and_then(|timestamp| i64::try_from(timestamp.as_nanosecond()).ok())
        .map(When::At)
        .ok_or_else(|| {
            format!(
                "`{text}` is no time; write it as `10m` (ago), `2026-01-02T03:04:05Z`, `2026-01-02` or `1767323045`"
            )
        })
}

/// Seconds since 1970, with up to nine digits behind the point.
fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds: i64 = format!("{fraction:0<9}").parse().ok()?;
    whole
        .parse::<i64>()
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(text: &str, expected: Option<When>) {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(parse_in(text, &zone).ok(), expected, "{text}");
    }

    #[test]
    fn times_as_they_are_typed() {
        const SECOND: i64 = 1_000_000_000;
        case("10m", Some(When::Ago(600 * SECOND)));
        case("1h30m", Some(When::Ago(5400 * SECOND)));
        case("10", Some(When::At(10 * SECOND)));
        case("10.5", Some(When::At(10 * SECOND + SECOND / 2)));
        case("1970-01-01T00:00:10Z", Some(When::At(10 * SECOND)));
        case(
            "1970-01-01T00:00:10.5+00:00",
            Some(When::At(10 * SECOND + SECOND / 2)),
        );
        case("1970-01-01T02:00:10", Some(When::At(10 * SECOND)));
        case("1970-01-02", Some(When::At(22 * 3600 * SECOND)));
        case("10:00", None);
        case("yesterday", None);
        case("99999999999999999999", None);
        case("", None);
        assert_eq!(When::Ago(3).nanoseconds(10), 7);
    }
}

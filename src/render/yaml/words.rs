//! What a reader of YAML 1.1 takes a bare word for: go-yaml v2.4, `resolve.go`, and the forms that it quotes for the sake of
//! older readers. A text that would be read as something else has to be quoted.

/// Whether a reader takes it for a text: no number, no switch, no time.
pub(super) fn is_read_as_text(text: &str) -> bool {
    !matches!(
        text,
        "" | "~"
            | "null"
            | "Null"
            | "NULL"
            | "y"
            | "Y"
            | "n"
            | "N"
            | "yes"
            | "Yes"
            | "YES"
            | "no"
            | "No"
            | "NO"
            | "on"
            | "On"
            | "ON"
            | "off"
            | "Off"
            | "OFF"
            | "true"
            | "True"
            | "TRUE"
            | "false"
            | "False"
            | "FALSE"
            | ".nan"
            | ".NaN"
            | ".NAN"
            | ".inf"
            | ".Inf"
            | ".INF"
            | "+.inf"
            | "+.Inf"
            | "+.INF"
            | "-.inf"
            | "-.Inf"
            | "-.INF"
    ) && !is_number(text)
        && !is_time(text)
        && !is_sexagesimal(text)
}

/// As Go's strconv reads it with any base, or as a decimal fraction.
fn is_number(text: &str) -> bool {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return false;
    }
    let plain = text.replace('_', "");
    let digits = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let in_base =
        |digits: &str, base| !digits.is_empty() && u64::from_str_radix(digits, base).is_ok();
    let prefixes = [
        ("0x", 16),
        ("0X", 16),
        ("0b", 2),
        ("0B", 2),
        ("0o", 8),
        ("0O", 8),
    ];
    let is_whole = prefixes.into_iter().any(|(prefix, base)| {
        let digits = digits.strip_prefix(prefix);
        digits.is_some_and(|digits| !digits.starts_with('+') && in_base(digits, base))
    });
    is_whole || is_fraction(&plain)
}

/// `[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?`, or with nothing behind the dot, and not too large for a float.
fn is_fraction(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (digits, exponent) = match digits.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, Some(exponent)),
        None => (digits, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_exponent = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && all_digits(exponent)
    });
    let is_mantissa = match digits.split_once('.') {
        Some((whole, rest)) => {
            all_digits(whole) && all_digits(rest) && !(whole.is_empty() && rest.is_empty())
        }
        None => !digits.is_empty() && all_digits(digits),
    };
    is_exponent && is_mantissa && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// YAML 1.1's numbers to the base of sixty: `1:30`.
fn is_sexagesimal(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (text, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let is_part = |part: &&str| match part.as_bytes() {
        [one] => one.is_ascii_digit(),
        [ten, one] => matches!(ten, b'0'..=b'5') && one.is_ascii_digit(),
        _ => false,
    };
    first.starts_with(|c: char| c.is_ascii_digit())
        && first
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_')
        && !rest.is_empty()
        && rest.iter().all(is_part)
        && fraction
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_')
}

/// `2026-01-02`, alone or with a time of day.
fn is_time(text: &str) -> bool {
    let number = |text: &str, least: usize, most: usize| {
        (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some(&text[at..])),
        None => (text, None),
    };
    let date: Vec<&str> = date.split('-').collect();
    let [year, month, day] = date[..] else {
        return false;
    };
    if !(number(year, 4, 4) && number(month, 1, 2) && number(day, 1, 2)) {
        return false;
    }
    let read = |text: &str| text.parse::<u32>().unwrap_or(0);
    let year = read(year);
    let days = match read(month) {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    if !(1..=days).contains(&read(day)) {
        return false;
    }
    let Some(time) = time else {
        return true;
    };
    let has_zone = !time.starts_with(' ');
    let time = &time[1..];
    let time = if has_zone {
        match (time.strip_suffix('Z'), time.rfind(['+', '-'])) {
            (Some(time), _) => time,
            (None, Some(at)) => &time[..at],
            (None, None) => return false,
        }
    } else {
        time
    };
    let (time, _) = time.split_once('.').unwrap_or((time, ""));
    let time: Vec<&str> = time.split(':').collect();
    matches!(time[..], [hour, minute, second]
        if number(hour, 1, 2) && number(minute, 1, 2) && number(second, 1, 2))
}

//! Numbers as `protojson` writes them.

use std::io::Write as _;

/// Appends a whole number.
pub(super) fn push_u64(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        // A remainder of ten fits.
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a whole number with its sign.
pub(super) fn push_i64(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_u64(out, number.unsigned_abs());
}

/// Appends the shortest digits that read back as the same number; what JSON has no number for, as a string.
pub(super) fn push_f64(out: &mut Vec<u8>, number: f64) {
    let size = number.abs();
    // Writing to a Vec does not fail.
    let _ = if number.is_nan() {
        out.write_all(b"\"NaN\"")
    } else if number.is_infinite() {
        write!(out, "\"{}Infinity\"", if number < 0.0 { "-" } else { "" })
    } else if size >= 1e21 {
        // Rust writes 1e21 where ECMAScript, and Go after it, write 1e+21.
        let text = format!("{number:e}");
        out.write_all(text.replacen('e', "e+", 1).as_bytes())
    } else if size < 1e-6 && size != 0.0 {
        write!(out, "{number:e}")
    } else {
        write!(out, "{number}")
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(number: f64, expected: &str) {
        let mut out = Vec::new();
        push_f64(&mut out, number);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn doubles_are_written_as_go_writes_them() {
        case(0.0, "0");
        case(-0.0, "-0");
        case(5.0, "5");
        case(0.07, "0.07");
        case(-1.5, "-1.5");
        case(0.000001, "0.000001");
        case(0.0000015, "0.0000015");
        case(0.00000015, "1.5e-7");
        case(1e20, "100000000000000000000");
        case(1e21, "1e+21");
        case(-1.25e300, "-1.25e+300");
        case(5e-324, "5e-324");
        case(f64::NAN, "\"NaN\"");
        case(f64::INFINITY, "\"Infinity\"");
        case(f64::NEG_INFINITY, "\"-Infinity\"");
    }

    #[test]
    fn whole_numbers_are_written_to_the_last_digit() {
        for number in [0, 7, 10, 99, i64::MAX, i64::MIN, -1] {
            let mut out = Vec::new();
            push_i64(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
        let mut out = Vec::new();
        push_u64(&mut out, u64::MAX);
        assert_eq!(String::from_utf8(out).unwrap(), u64::MAX.to_string());
    }

    proptest::proptest! {
        #[test]
        fn doubles_read_back(number in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
            let mut out = Vec::new();
            push_f64(&mut out, number);
            let read: f64 = String::from_utf8(out).unwrap().parse().unwrap();
            proptest::prop_assert_eq!(read.to_bits(), number.to_bits());
        }
    }
}

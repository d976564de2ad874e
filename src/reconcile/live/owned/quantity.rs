//! Kubernetes quantities by value: `1000m` is `1`, `4096Mi` is `4Gi`, `0.0005` is `1m`.
//!
//! The API server rewrites some spellings and keeps others (`01`, `+1`, `1e3` stay), so two quantities
//! can only be compared as numbers. Text or JSON number in, thousandths out.

use serde_json::Value;

/// The longest text read as a quantity. An `i128` of thousandths has 39 digits; the rest is room for
/// sign, point, zeros and suffix.
const MAX_TEXT: usize = 64;

/// Powers of ten beyond this cannot fit an `i128`, whatever stands before them.
const MAX_POWER: u32 = 38;

/// Returns a quantity in thousandths, rounded away from zero as the API server does.
///
/// Reads strings and JSON numbers with every suffix the API knows (`n u m k M G T P E`, `Ki` … `Ei`,
/// `e` or `E` with an exponent). Anything else, and anything that does not fit, is `None`.
pub fn thousandths(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => parse_thousandths(text),
        Value::Number(number) => parse_thousandths(&number.to_string()),
        _ => None,
    }
}

/// Tells whether two values are the same quantity. What is no quantity, or overflows, equals nothing.
pub fn is_equal(left: &Value, right: &Value) -> bool {
    match (thousandths(left), thousandths(right)) {
        (Some(left), Some(right)) => left == right,
        _ => false,
    }
}

/// Returns the thousandths a quantity's text stands for, or `None` if it is none or does not fit.
pub fn parse_thousandths(text: &str) -> Option<i128> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let (is_negative, unsigned) = split_sign(text);
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (digits, places) = parse_number(number)?;
    let unit = parse_suffix(suffix)?;
    let power = unit.ten.checked_add(3)?.checked_sub(places)?;
    let magnitude = scale(digits.checked_mul(unit.factor)?, power)?;
    Some(if is_negative { -magnitude } else { magnitude })
}

/// What a suffix multiplies by: `factor` × 10^`ten`.
struct Unit {
    factor: i128,
    ten: i32,
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Digits without the point, and how many stood behind it.
fn parse_number(text: &str) -> Option<(i128, i32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    // Trailing zeros say nothing, and would make a long but small number overflow.
    let fraction = fraction.trim_end_matches('0');
    let mut digits: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        digits = digits
            .checked_mul(10)?
            .checked_add(i128::from(byte - b'0'))?;
    }
    Some((digits, i32::try_from(fraction.len()).ok()?))
}

fn parse_suffix(suffix: &str) -> Option<Unit> {
    let decimal = |ten| Some(Unit { factor: 1, ten });
    let binary = |shift: u32| {
        Some(Unit {
            factor: 1 << shift,
            ten: 0,
        })
    };
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => decimal(parse_exponent(suffix)?),
    }
}

fn parse_exponent(suffix: &str) -> Option<i32> {
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let (_, digits) = split_sign(exponent);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| exponent.parse().ok()).flatten()
}

/// Returns `digits` × 10^`power`, rounded up.
fn scale(digits: i128, power: i32) -> Option<i128> {
    if digits == 0 {
        return Some(0);
    }
    let distance = power.unsigned_abs();
    if power < 0 {
        return Some(divide_up(digits, distance));
    }
    digits.checked_mul(10_i128.checked_pow(distance)?)
}

fn divide_up(digits: i128, power: u32) -> i128 {
    if power > MAX_POWER {
        return 1;
    }
    let divisor = 10_i128.pow(power);
    let rest = i128::from(digits % divisor != 0);
    digits / divisor + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn spellings_the_server_rewrites_are_equal() {
        for (left, right) in [
            (json!("0.5"), json!("500m")),
            (json!("1000m"), json!("1")),
            (json!("4096Mi"), json!("4Gi")),
            (json!("1.5Gi"), json!("1536Mi")),
            (json!("1000000000"), json!("1G")),
            (json!("0.0005"), json!("1m")),
            (json!("1n"), json!("1m")),
            (json!("100u"), json!("1m")),
            (json!(1), json!("1")),
            (json!(0.5), json!("500m")),
            (json!("01"), json!("1")),
            (json!("+1"), json!("1")),
            (json!("1e3"), json!("1k")),
            (json!("1E3"), json!("1000")),
            (json!("1e-3"), json!("1m")),
            (json!("1E+3"), json!("1k")),
            (json!("1E"), json!("1000P")),
            (json!("1Ei"), json!("1024Pi")),
            (json!(".5"), json!("0.5")),
            (json!("5."), json!("5")),
            (json!("-1.5"), json!("-1500m")),
            (json!("0"), json!("-0Gi")),
            (
                json!("1.00000000000000000000000000000000000000000000"),
                json!(1),
            ),
        ] {
            assert!(is_equal(&left, &right), "{left} and {right}");
        }
    }

    #[test]
    fn different_amounts_are_not_equal() {
        for (left, right) in [
            ("1", "1001m"),
            ("1G", "1Gi"),
            ("1m", "1M"),
            ("1E", "1e1"),
            ("-1", "1"),
            ("1", "1Ki"),
        ] {
            assert!(!is_equal(&json!(left), &json!(right)), "{left} and {right}");
        }
    }

    #[test]
    fn each_suffix_has_its_factor() {
        let powers = [
            ("k", 6),
            ("M", 9),
            ("G", 12),
            ("T", 15),
            ("P", 18),
            ("E", 21),
        ];
        for (suffix, power) in powers {
            assert_eq!(
                parse_thousandths(&format!("1{suffix}")),
                Some(10_i128.pow(power))
            );
        }
        for (index, suffix) in ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].into_iter().enumerate() {
            let shift = 10 * (index + 1);
            assert_eq!(
                parse_thousandths(&format!("1{suffix}")),
                Some(1000 << shift)
            );
        }
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in [
            "", "-", "+", ".", "m", "Gi", "1e", "1x", "1 ", " 1", "1.2.3", "1..", "--1", "+-1",
            "1Kib", "1e1.5", "1e+", "1K", "0x1", "١", "1é", "1ki", "NaN", "inf",
        ] {
            assert_eq!(parse_thousandths(text), None, "{text:?}");
        }
        for value in [json!(null), json!(true), json!([]), json!({})] {
            assert_eq!(thousandths(&value), None);
        }
    }

    #[test]
    fn overflow_equals_nothing_not_even_itself() {
        for text in [
            "1e40",
            "1e2147483647",
            "1e99999999999",
            "999999999999999999999999999999999999999",
            "9999999999999999999999Ei",
        ] {
            assert_eq!(parse_thousandths(text), None, "{text}");
            assert!(!is_equal(&json!(text), &json!(text)));
        }
        assert_eq!(parse_thousandths(&"0".repeat(65)), None);
        assert_eq!(parse_thousandths("0.1e-2147483648"), Some(1));
        assert_eq!(
            parse_thousandths("0.00001e-2147483648"),
            None,
            "the exponent itself overflows"
        );
        assert_eq!(parse_thousandths("1e-99"), Some(1));
        assert_eq!(parse_thousandths("0e99"), Some(0));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,70}") {
            prop_assert!(parse_thousandths(&text).is_none_or(|_| text.len() <= MAX_TEXT));
        }

        #[test]
        fn near_quantities_are_read_without_panic(text in "[-+]?[0-9]{0,40}[.]?[0-9]{0,40}([eE][-+]?[0-9]{0,12}|[numkMGTPEKi]{0,2})") {
            prop_assert!(is_equal(&json!(text), &json!(text)) == parse_thousandths(&text).is_some());
        }

        #[test]
        fn an_amount_is_the_same_in_every_unit(amount in 0_i64..1_000_000_000) {
            let milli = i128::from(amount);
            prop_assert_eq!(parse_thousandths(&format!("{amount}m")), Some(milli));
            prop_assert_eq!(parse_thousandths(&format!("{}.{:03}", amount / 1000, amount % 1000)), Some(milli));
            prop_assert_eq!(parse_thousandths(&format!("{amount}e-3")), Some(milli));
            prop_assert_eq!(parse_thousandths(&format!("{amount}000u")), Some(milli));
        }

        #[test]
        fn parts_of_a_thousandth_round_away_from_zero(amount in 0_i64..1_000_000, part in 1_i64..1000) {
            let text = format!("{}u", amount * 1000 + part);
            prop_assert_eq!(parse_thousandths(&text), Some(i128::from(amount) + 1));
            prop_assert_eq!(parse_thousandths(&format!("-{text}")), Some(-i128::from(amount) - 1));
        }
    }
}

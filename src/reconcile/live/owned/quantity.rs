//! Kubernetes quantities by value: `1000m` is `1`, `4096Mi` is `4Gi`, `0.0005` is `1m`.
//!
//! The API server rewrites some spellings and keeps others (`01`, `+1`, `1e3` stay), so two quantities
//! can only be compared as numbers. Text or JSON number in, thousandths out.

use serde_json::Value;

use crate::model::quantity;

/// Returns a quantity, a text or a JSON number, in thousandths; `None` for anything else, and for what is
/// too large to count.
pub fn thousandths(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => quantity::thousandths(text),
        Value::Number(number) => quantity::thousandths(&number.to_string()),
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

#[cfg(test)]
mod tests {
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
    fn what_is_no_quantity_equals_nothing_not_even_itself() {
        for value in [
            json!(null),
            json!(true),
            json!([]),
            json!({}),
            json!("1e40"),
            json!("x"),
        ] {
            assert!(!is_equal(&value, &value), "{value}");
        }
    }
}

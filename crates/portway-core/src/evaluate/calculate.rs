//! Numbers: calculations that stop at the ends of their range, as HAProxy's do.

use portway_model::expression::Operation;

/// `left` and `right` in one number.
pub(super) fn calculate(operation: Operation, left: i64, right: i64) -> i64 {
    match operation {
        Operation::Add => left.saturating_add(right),
        Operation::Subtract => left.saturating_sub(right),
        Operation::Multiply => left.saturating_mul(right),
        Operation::Divide if right == 0 => i64::MAX,
        Operation::Divide => left.saturating_div(right),
        // The remainder by -1 is 0 also where the quotient would not fit.
        Operation::Modulo if right == 0 => 0,
        Operation::Modulo => left.wrapping_rem(right),
        Operation::And => left & right,
        Operation::Or => left | right,
        Operation::Xor => left ^ right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_haproxy_calculates() {
        for (operation, left, right, expected) in [
            (Operation::Add, i64::MAX, 1, i64::MAX),
            (Operation::Subtract, i64::MIN, 1, i64::MIN),
            (Operation::Multiply, i64::MAX, 2, i64::MAX),
            (Operation::Multiply, i64::MAX, -2, i64::MIN),
            (Operation::Divide, -7, 2, -3),
            (Operation::Divide, 5, 0, i64::MAX),
            (Operation::Divide, i64::MIN, -1, i64::MAX),
            (Operation::Modulo, -7, 2, -1),
            (Operation::Modulo, 5, 0, 0),
            (Operation::Modulo, i64::MIN, -1, 0),
            (Operation::And, 6, 3, 2),
            (Operation::Or, 6, 3, 7),
            (Operation::Xor, 6, 3, 5),
        ] {
            assert_eq!(calculate(operation, left, right), expected, "{operation:?}");
        }
    }

    proptest! {
        #[test]
        fn any_numbers(left: i64, right: i64) {
            for operation in [
                Operation::Add, Operation::Subtract, Operation::Multiply, Operation::Divide,
                Operation::Modulo, Operation::And, Operation::Or, Operation::Xor,
            ] {
                let _ = calculate(operation, left, right);
            }
        }
    }
}

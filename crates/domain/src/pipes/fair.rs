//! Fair sharing: max-min fairness with weights, and rounding that favours nobody in the long run.
//!
//! A claim that wants less than its share gets what it wants, and the others share the rest
//! (Bertsekas and Gallager, Data Networks, 6.5.2).

/// The golden ratio's fraction: its multiples are spread evenly between 0 and 1.
const GOLDEN_FRACTION: f64 = 0.618_033_988_749_895;
/// Adding and subtracting leaves errors below this, which must not round a number down.
const MAX_ROUNDING_ERROR: f64 = 1e-6;

/// What one party wants of a total, and its weight against the others.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// How much it can use.
    pub want: f64,
    /// Its weight, above 0.
    pub weight: f64,
}

/// Divides a total over claims, in the order in which they are satisfied. No claim gets more than
/// it wants.
pub fn fill(total: f64, claims: &[Claim]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..claims.len()).collect();
    let satisfied_at = |at: &usize| claims[*at].want / claims[*at].weight;
    order.sort_by(|a, b| satisfied_at(a).total_cmp(&satisfied_at(b)));
    let mut weights: f64 = claims.iter().map(|claim| claim.weight).sum();
    let mut left = total.max(0.0);
    let mut parts = vec![0.0; claims.len()];
    for at in order {
        let claim = claims[at];
        let part = claim.want.max(0.0).min(left * claim.weight / weights);
        parts[at] = part;
        left -= part;
        weights -= claim.weight;
    }
    parts
}

/// The state of the rounding. It advances from round to round, so that each party gets its part of
/// what cannot be divided.
#[derive(Debug, Clone, Copy, Default)]
pub struct Turn(f64);

impl Turn {
    /// The turn of the next round.
    pub fn next(self) -> Self {
        Self((self.0 + GOLDEN_FRACTION).fract())
    }

    /// Rounds parts to integers whose sum is that of the parts. Over many turns the mean of each is
    /// the part itself (systematic sampling).
    pub fn round(self, parts: &[f64]) -> Vec<u64> {
        let mut sum = self.0 + MAX_ROUNDING_ERROR;
        let mut below = sum.floor();
        let next = |part: &f64| {
            sum += part;
            let rounded = sum.floor() - below;
            below = sum.floor();
            rounded.max(0.0) as u64
        };
        parts.iter().map(next).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_claims_are_satisfied_and_the_others_share_by_weight() {
        let claim = |want, weight| Claim { want, weight };
        let parts = fill(
            10.0,
            &[claim(1.0, 1.0), claim(100.0, 1.0), claim(100.0, 2.0)],
        );
        assert_eq!(parts, [1.0, 3.0, 6.0]);
        assert_eq!(fill(-1.0, &[claim(5.0, 1.0)]), [0.0]);
    }

    #[test]
    fn rounding_keeps_the_sum_and_takes_turns() {
        let mut turn = Turn::default();
        let mut given = [0, 0, 0];
        for _ in 0..300 {
            let parts = turn.round(&[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]);
            assert!(parts.iter().sum::<u64>() <= 2);
            for (sum, part) in given.iter_mut().zip(parts) {
                *sum += part;
            }
            turn = turn.next();
        }
        assert!(
            given.iter().all(|sum| (95..=105).contains(sum)),
            "{given:?}"
        );
    }
}

//! Placements: how many values of the other side lie below a value, and how many tie with it.

/// Where a value lies among the values of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// How many are smaller.
    pub(crate) below: u32,
    /// How many are smaller or equal.
    pub(crate) up_to: u32,
}

impl Placement {
    /// Twice the number of values that lie below, ties half.
    pub(crate) fn twice(self) -> i128 {
        i128::from(self.below) + i128::from(self.up_to)
    }
}

/// Places ascending values among other ascending values, in one pass.
pub(crate) fn place_sorted(values: &[f64], among: &[f64]) -> Vec<Placement> {
    let (mut below, mut up_to) = (0, 0);
    let place = |&value: &f64| {
        while below < among.len() && among[below] < value {
            below += 1;
        }
        up_to = up_to.max(below);
        while up_to < among.len() && among[up_to] <= value {
            up_to += 1;
        }
        Placement { below: below as u32, up_to: up_to as u32 }
    };
    values.iter().map(place).collect()
}

/// Places values in any order among other values in any order.
pub(crate) fn place(values: &[f64], among: &[f64]) -> Vec<Placement> {
    let order = ascending(values);
    let sorted =
        |rows: &[f64], order: &[u32]| order.iter().map(|&row| rows[row as usize]).collect::<Vec<_>>();
    let of_sorted = place_sorted(&sorted(values, &order), &sorted(among, &ascending(among)));
    let mut of_row = vec![Placement { below: 0, up_to: 0 }; values.len()];
    for (row, placement) in order.into_iter().zip(of_sorted) {
        of_row[row as usize] = placement;
    }
    of_row
}

/// The rows in ascending order of their values.
pub(crate) fn ascending(values: &[f64]) -> Vec<u32> {
    let mut keyed: Vec<(f64, u32)> = values.iter().copied().zip(0..).collect();
    keyed.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    keyed.into_iter().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counts_what_is_below(
            values in prop::collection::vec((-4i8..4).prop_map(f64::from), 0..20),
            among in prop::collection::vec((-4i8..4).prop_map(f64::from), 0..20),
        ) {
            for (value, placement) in values.iter().zip(place(&values, &among)) {
                prop_assert_eq!(placement.below as usize, among.iter().filter(|&a| a < value).count());
                prop_assert_eq!(placement.up_to as usize, among.iter().filter(|&a| a <= value).count());
            }
        }
    }
}

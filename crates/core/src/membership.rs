//! What a user and an example are used for.

use std::str::FromStr;

/// Whether a user's data pre-trains the reference, fine-tunes the target, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Membership {
    /// Pre-trains the reference model where no pre-trained checkpoint is at hand; never scored.
    Public,
    /// The target model is fine-tuned on this user.
    HeldIn,
    /// Never trained on.
    HeldOut,
}

/// What one example is used for.
///
/// Held-out users have no [`Role::Train`] examples, by construction of the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Seen by training.
    Train,
    /// Measures loss along training and picks the checkpoint.
    Validation,
    /// Measures loss once, at the end.
    Test,
    /// Known to the attacker, never trained on.
    Attack,
}

/// A name that is none of an enum's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {expected}, found `{found}`")]
pub struct UnknownName {
    /// What was read.
    pub found: String,
    /// The names that exist, with commas.
    pub expected: &'static str,
}

macro_rules! named {
    ($type:ident, $expected:literal, $($variant:ident => $name:literal),+ $(,)?) => {
        impl $type {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in files.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(name: &str) -> Result<Self, UnknownName> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(UnknownName { found: name.to_owned(), expected: $expected }),
                }
            }
        }
    };
}

named!(Membership, "public, held_in, held_out", Public => "public", HeldIn => "held_in", HeldOut => "held_out");
named!(
    Role, "train, validation, test, attack",
    Train => "train", Validation => "validation", Test => "test", Attack => "attack",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for &membership in Membership::ALL {
            assert_eq!(membership.name().parse(), Ok(membership));
        }
        for &role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
    }

    #[test]
    fn unknown_name_says_what_exists() {
        let error = "member".parse::<Membership>().unwrap_err();
        assert_eq!(error.to_string(), "expected one of public, held_in, held_out, found `member`");
    }
}

//! The plan as SQL: built-in functions alone, and a total order in every window.

use userprint_core::Seed;

use super::{Duplicates, RelationalSplit, SharedTexts};
use crate::UserSplit;

/// What `trim` of a string takes off: white space of Unicode.
const BLANK: &str = "\t\n\u{b}\u{c}\r \u{85}\u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\
    \u{2007}\u{2008}\u{2009}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";

/// A window's frame. Without it, it would be a range of values, which binary ones have not.
const ROWS: &str = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW";

/// The queries of one split, in the order in which they are asked.
pub(super) struct Plan<'a>(&'a RelationalSplit);

impl<'a> Plan<'a> {
    pub(super) fn new(split: &'a RelationalSplit) -> Self {
        Self(split)
    }

    /// Rows of Parquet files under the names of this plan.
    pub(super) fn given(&self) -> String {
        let columns = &self.0.columns;
        let id = columns.example_id.as_ref();
        let id = id.map_or(String::new(), |id| format!(", CAST({} AS VARCHAR) AS example_id", quoted(id)));
        let (user, text) = (quoted(&columns.user_id), quoted(&columns.text));
        format!("SELECT CAST({user} AS VARCHAR) AS user_id, CAST({text} AS VARCHAR) AS text{id} FROM rows")
    }

    /// Rows that were gathered.
    pub(super) fn gathered(&self) -> String {
        let id = if self.0.columns.example_id.is_some() { ", example_id" } else { "" };
        format!("SELECT user_id, text{id}{} FROM rows", self.origin(""))
    }

    /// Columns of when and where, where they are asked for.
    fn origin(&self, table: &str) -> String {
        let columns = [("timestamp_s", &self.0.columns.timestamp), ("source", &self.0.columns.source)];
        let asked = columns.iter().filter(|(_, column)| column.is_some());
        asked.map(|(name, _)| format!(", {table}{name}")).collect()
    }

    /// How many rows there are, and how many lack a value.
    pub(super) fn blank(&self) -> String {
        let id = self.0.columns.example_id.as_ref().map(|_| "example_id");
        let lacks = |column: &str| format!("{column} IS NULL OR btrim({column}, '{BLANK}') = ''");
        let lacks: Vec<String> = ["user_id", "text"].into_iter().chain(id).map(lacks).collect();
        format!("SELECT count(*), count(*) FILTER (WHERE {}) FROM given", lacks.join(" OR "))
    }

    /// Each example by its hash, without its text; where there are no ids, that is the first 16 digits of the hash, and `-k`
    /// for the k-th copy within the user.
    fn hashed(&self) -> String {
        let origin = self.origin("");
        if self.0.columns.example_id.is_some() {
            return "SELECT user_id, example_id, sha256(text) AS digest, octet_length(text) AS n_bytes FROM given"
                .to_owned();
        }
        format!(
            "SELECT user_id, substr(encode(digest, 'hex'), 1, 16) \
             || CASE WHEN copy = 1 THEN '' ELSE '-' || CAST(copy - 1 AS VARCHAR) END AS example_id, digest, n_bytes \
             FROM (SELECT *, row_number() OVER (PARTITION BY user_id, digest ORDER BY n_bytes{origin} {ROWS}) AS copy \
             FROM (SELECT user_id, sha256(text) AS digest, octet_length(text) AS n_bytes{origin} FROM given))"
        )
    }

    /// Each example without its text, and of equal texts those that stay.
    pub(super) fn keys(&self) -> String {
        let keys = match self.0.shared {
            SharedTexts::Dropped => format!(
                "SELECT user_id, example_id, digest, n_bytes FROM (SELECT *, {}) WHERE least_user = most_user",
                self.users_of_text(&self.hashed())
            ),
            SharedTexts::Kept | SharedTexts::Grouped => self.hashed(),
        };
        let first = match self.0.duplicates {
            Duplicates::Kept => return keys,
            Duplicates::OneAUser => format!("PARTITION BY user_id, digest ORDER BY example_id {ROWS}"),
            Duplicates::OneInAll => {
                format!(
                    "PARTITION BY digest ORDER BY {}, user_id, example_id {ROWS}",
                    self.hash("duplicates", "user_id")
                )
            }
        };
        format!(
            "SELECT user_id, example_id, digest, n_bytes FROM \
             (SELECT *, row_number() OVER ({first}) AS place FROM ({keys})) WHERE place = 1"
        )
    }

    /// The first and the last user that has a row's text, from rows of a query.
    fn users_of_text(&self, rows: &str) -> String {
        let all = "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING";
        format!(
            "first_value(user_id) OVER (PARTITION BY digest ORDER BY user_id, example_id {all}) AS least_user, \
             last_value(user_id) OVER (PARTITION BY digest ORDER BY user_id, example_id {all}) AS most_user \
             FROM ({rows})"
        )
    }

    /// Pairs of a user and the first user of a text that it shares.
    pub(super) fn sharing(&self) -> String {
        format!(
            "SELECT DISTINCT user_id, least_user FROM (SELECT *, {}) WHERE least_user <> user_id",
            self.users_of_text("SELECT * FROM keys")
        )
    }

    pub(super) fn sizes(&self) -> String {
        "SELECT user_id, count(*) AS n, sum(n_bytes) AS n_bytes FROM keys GROUP BY user_id".to_owned()
    }

    fn is_kept(&self) -> String {
        let least = self.0.split.min_examples.max(1);
        let most = self.0.max_examples.map_or(String::new(), |most| format!(" AND n <= {most}"));
        format!("n >= {least}{most}")
    }

    /// Users that are kept, and all.
    pub(super) fn n_users(&self) -> String {
        format!("SELECT count(*) FILTER (WHERE {}), count(*) FROM sizes", self.is_kept())
    }

    /// Bytes of the texts of kept users.
    pub(super) fn n_bytes(&self) -> String {
        format!("SELECT coalesce(sum(n_bytes), 0) FROM sizes WHERE {}", self.is_kept())
    }

    /// Kept users with membership, position, the ranks up to which examples are reserved, and the piece that they are in: users
    /// one after the other, up to so many bytes of texts, as many more as the last one has.
    pub(super) fn members(&self, [n_public, n_held_in, _]: [usize; 3], piece_bytes: u64) -> String {
        let UserSplit { attack, validation, test, .. } = self.0.split;
        let share = |fraction: f64| match fraction > 0.0 {
            true => format!("least(n, greatest(1, CAST(round(CAST({fraction:?} AS DOUBLE) * n) AS BIGINT)))"),
            false => "0".to_owned(),
        };
        let (attack, validation, test) = (share(attack), share(validation), share(test));
        let by_hash = |of: &str| self.hash("membership", of);
        let kept = format!("(SELECT * FROM sizes WHERE {})", self.is_kept());
        let (place, from) = match self.0.shared {
            SharedTexts::Kept | SharedTexts::Dropped => {
                (format!("row_number() OVER (ORDER BY {}, user_id {ROWS})", by_hash("user_id")), kept)
            }
            // A group's place is that of its first user.
            SharedTexts::Grouped => {
                let placed = format!(
                    "(SELECT *, row_number() OVER (ORDER BY {}, owner, user_id {ROWS}) AS own_place FROM \
                     (SELECT kept.user_id, n, n_bytes, coalesce(owner, kept.user_id) AS owner FROM {kept} AS kept \
                     LEFT JOIN owners ON kept.user_id = owners.user_id))",
                    by_hash("owner")
                );
                (
                    format!("first_value(own_place) OVER (PARTITION BY owner ORDER BY own_place {ROWS})"),
                    placed,
                )
            }
        };
        format!(
            "SELECT user_id, n, at, (bytes_until - n_bytes) / {piece_bytes} AS piece, {attack} AS attack_end, {attack} + {validation} AS validation_end, \
             {attack} + {validation} + {test} AS test_end, CASE WHEN place <= {n_public} THEN 'public' \
             WHEN place <= {} THEN 'held_in' ELSE 'held_out' END AS membership FROM \
             (SELECT user_id, n, n_bytes, sum(n_bytes) OVER (ORDER BY user_id {ROWS}) AS bytes_until, {} AS place, \
             row_number() OVER (ORDER BY user_id {ROWS}) - 1 AS at FROM {})",
            n_public + n_held_in,
            place,
            from,
        )
    }

    /// Examples of kept users by their rank within the user, with the id of the example before.
    pub(super) fn ranked(&self) -> String {
        let hash = self.hash("roles", "keys.user_id || ':' || keys.example_id");
        format!(
            "SELECT user_id, example_id, digest, membership, piece, attack_end, validation_end, test_end, \
             row_number() OVER (PARTITION BY user_id ORDER BY hash, example_id {ROWS}) AS rank, \
             lag(example_id) OVER (PARTITION BY user_id ORDER BY hash, example_id {ROWS}) AS id_before FROM \
             (SELECT keys.user_id, example_id, digest, {hash} AS hash, membership, piece, \
             attack_end, validation_end, test_end \
             FROM keys JOIN members ON keys.user_id = members.user_id)"
        )
    }

    /// Examples whose id their user has twice.
    pub(super) fn repeated_ids(&self) -> String {
        "SELECT count(*) FROM ranked WHERE example_id = id_before".to_owned()
    }

    /// What each example is used for; a copy of one that is reserved is not trained on.
    pub(super) fn labels(&self) -> String {
        // Owners of one text are one group: what is reserved of one of them, another does not train on.
        let copies = match (self.0.duplicates, self.0.shared) {
            (Duplicates::Kept | Duplicates::OneAUser, SharedTexts::Grouped) => Some("digest"),
            (Duplicates::Kept, _) => Some("user_id, digest"),
            // No user has a text twice.
            (Duplicates::OneAUser | Duplicates::OneInAll, _) => None,
        };
        let has_reserved_copy = copies.map_or("false".to_owned(), |copies| {
            format!(
                "first_value(is_reserved) OVER (PARTITION BY {copies} \
                 ORDER BY is_reserved DESC, rank, user_id, example_id {ROWS})"
            )
        });
        // A public user's share for the attack is trained on.
        format!(
            "SELECT user_id, example_id, digest, membership, piece, rank, CASE \
             WHEN is_reserved AND rank <= attack_end THEN 'attack' \
             WHEN is_reserved AND rank <= validation_end THEN 'validation' \
             WHEN is_reserved THEN 'test' \
             WHEN membership = 'held_out' OR has_reserved_copy THEN NULL \
             ELSE 'train' END AS role FROM (SELECT *, {has_reserved_copy} AS has_reserved_copy FROM \
             (SELECT *, rank <= test_end AND (membership <> 'public' OR rank > attack_end) AS is_reserved FROM ranked))"
        )
    }

    /// Examples of held-out users whose text a held-in user trains on.
    pub(super) fn n_leaked(&self) -> String {
        "SELECT coalesce(sum(n_held_out), 0) FROM (SELECT count(*) FILTER (WHERE membership = 'held_out') AS n_held_out, \
         count(*) FILTER (WHERE membership = 'held_in' AND role = 'train') AS n_trained FROM labels GROUP BY digest) \
         WHERE n_trained > 0"
            .to_owned()
    }

    /// Position and number of examples of the first user with nothing left to train on.
    pub(super) fn without_rest(&self) -> String {
        "SELECT at, n FROM members JOIN \
         (SELECT user_id, count(*) FILTER (WHERE role = 'train') AS n_train FROM labels GROUP BY user_id) AS trained \
         ON members.user_id = trained.user_id \
         WHERE test_end >= n OR (membership <> 'held_out' AND n_train = 0) ORDER BY at LIMIT 1"
            .to_owned()
    }

    /// How many different texts a user has.
    pub(super) fn n_texts(&self, at: u64) -> String {
        format!(
            "SELECT count(*) FROM (SELECT DISTINCT digest FROM ranked JOIN members ON ranked.user_id = members.user_id \
             WHERE at = {at})"
        )
    }

    /// Documents of kept users, in any order, with their piece last.
    pub(super) fn routed(&self) -> String {
        let origin = self.origin("");
        let id = if self.0.columns.example_id.is_some() { ", example_id" } else { "" };
        format!(
            "SELECT given.user_id{id}, text{origin}, piece FROM given JOIN members ON given.user_id = members.user_id"
        )
    }

    /// What each example is used for, in any order, with its piece last.
    pub(super) fn routed_labels(&self) -> String {
        "SELECT user_id, example_id, membership, role, rank, piece FROM labels".to_owned()
    }

    /// `sha256(salt + ":" + value)`, as in [`partition`](crate::partition).
    fn hash(&self, name: &str, value: &str) -> String {
        let Seed(salt) = self.0.seed.named(name);
        format!("sha256('{salt:016x}:' || {value})")
    }
}

/// A column's name in SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

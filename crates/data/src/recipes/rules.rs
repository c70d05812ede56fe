//! What each recipe makes of one record.

use chrono::NaiveDate;
use userprint_core::Origin;

use super::Recipe;
use super::records::{Field, Record};
use crate::origin::seconds;
use crate::rows_file::LabelledRow;

/// What becomes of a record.
pub(super) enum Verdict {
    /// A row of the corpus; without a text it counts for its user alone.
    Row(LabelledRow),
    /// Left out by a rule of the recipe.
    Dropped(&'static str),
    /// Not what the dump's format says.
    Malformed,
}

/// Reads records of one dump.
pub(super) struct Rules<'a> {
    pub(super) recipe: Recipe,
    pub(super) first_author: bool,
    pub(super) min_tokens: usize,
    pub(super) n_tokens: &'a dyn Fn(&str) -> usize,
}

impl Rules<'_> {
    pub(super) fn fields(&self) -> &'static [Field] {
        match self.recipe {
            Recipe::Reddit | Recipe::RedditSmall => &["/author", "/body", "/created_utc"],
            Recipe::CcNews => &["/domain", "/url", "/text", "/date", "/language"],
            Recipe::Arxiv => &[
                "/submitter",
                "/authors_parsed/0/0",
                "/authors_parsed/0/1",
                "/abstract",
                "/versions/0/created",
            ],
            Recipe::Enron => &[],
        }
    }

    pub(super) fn verdict(&self, record: Record) -> Verdict {
        let Some(mut record) = record else { return Verdict::Malformed };
        let mut fields = record.iter_mut().map(|value| value.take().filter(|value| !value.trim().is_empty()));
        let mut next = || fields.next().flatten();
        let verdict = match self.recipe {
            Recipe::Reddit | Recipe::RedditSmall => self.comment([next(), next(), next()]),
            Recipe::CcNews => article([next(), next(), next(), next(), next()]),
            Recipe::Arxiv => self.abstract_of([next(), next(), next(), next(), next()]),
            Recipe::Enron => None,
        };
        verdict.unwrap_or(Verdict::Malformed)
    }

    fn comment(&self, [author, body, created]: [Option<String>; 3]) -> Option<Verdict> {
        let (author, body, created) = (author?, body?, seconds(created?.trim())?);
        let (from, until) = match self.recipe {
            Recipe::RedditSmall => (day(2015, 9), day(2016, 1)),
            _ => (day(2015, 9), day(2016, 3)),
        };
        let name = author.to_lowercase();
        let is_gone = |text: &str| matches!(text.trim(), "[deleted]" | "[removed]");
        Some(if created < from || created >= until {
            Verdict::Dropped("written in other months")
        } else if is_gone(&author) || is_gone(&body) {
            Verdict::Dropped("deleted")
        } else if name.contains("bot") || name.contains("mod") {
            Verdict::Dropped("of a bot or a moderator, by the name")
        } else {
            let is_long = (self.n_tokens)(&body) >= self.min_tokens;
            Verdict::Row(row(author, is_long.then_some(body), Some(created)))
        })
    }

    fn abstract_of(&self, [submitter, last, first, text, created]: [Option<String>; 5]) -> Option<Verdict> {
        let text = text?;
        let user = if self.first_author {
            last.map(|last| format!("{} {last}", first.unwrap_or_default()))
        } else {
            submitter
        };
        let created = created.and_then(|created| seconds(created.trim()));
        Some(match user {
            Some(user) => Verdict::Row(row(user, Some(text), created)),
            None => Verdict::Dropped("without a submitter or author"),
        })
    }
}

fn article([domain, url, text, date, language]: [Option<String>; 5]) -> Option<Verdict> {
    let host = || url.as_deref().and_then(host);
    let domain = domain.map_or_else(host, |domain| Some(plain_host(&domain)))?;
    // The hub's file has articles without a date, all of these years.
    let date = match date {
        Some(date) => Some(seconds(date.trim())?),
        None => None,
    };
    Some(if date.is_some_and(|date| date < day(2017, 1) || date >= day(2020, 1)) {
        Verdict::Dropped("written in other years")
    } else if language.is_some_and(|language| !language.to_lowercase().starts_with("en")) {
        Verdict::Dropped("not in English")
    } else {
        match text {
            Some(text) => Verdict::Row(row(domain, Some(text), date)),
            None => Verdict::Dropped("without a text"),
        }
    })
}

/// The host of an address, without `www.`.
fn host(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let host = plain_host(rest.split(['/', '?', '#', ':']).next()?);
    (!host.is_empty()).then_some(host)
}

fn plain_host(host: &str) -> String {
    let host = host.trim().to_lowercase();
    host.strip_prefix("www.").unwrap_or(&host).to_owned()
}

fn row(user_id: String, text: Option<String>, timestamp_s: Option<i64>) -> LabelledRow {
    let origin = Origin { timestamp_s, source: None };
    let text = text.map(|text| text.trim().to_owned());
    LabelledRow { user_id: user_id.trim().to_owned(), text, example_id: None, origin, label: None }
}

/// Seconds since 1970 of the beginning of a month.
fn day(year: i32, month: u32) -> i64 {
    let first = NaiveDate::from_ymd_opt(year, month, 1).and_then(|day| day.and_hms_opt(0, 0, 0));
    first.map_or(0, |first| first.and_utc().timestamp())
}

//! A grid file: one experiment, what variants change in it, what is compared, and what is claimed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use toml::{Table, Value};

use crate::experiment::RawExperiment;

/// What a string begins with that stands for the run folder of a variant at the same seed.
const RUN: &str = "run:";

/// What a grid file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grid {
    /// Name of the runs' folders and of the results.
    pub(crate) name: String,
    /// The experiment file, relative to this one.
    experiment: PathBuf,
    #[serde(default = "one_seed")]
    pub(crate) seeds: Vec<u64>,
    /// What all variants change in the experiment.
    #[serde(default)]
    set: Table,
    /// The same, after `set`: what a scale of the grid changes.
    #[serde(default)]
    sizes: Table,
    /// Whether the corpus is described too; then there may be no variants.
    #[serde(default)]
    pub(crate) describes_corpus: bool,
    #[serde(default)]
    pub(crate) variants: Vec<Variant>,
    /// What is compared; without it each variant's headline attack.
    #[serde(default)]
    pub(crate) rows: Vec<Row>,
    /// The corpus of the published AUROCs in rows.
    pub(crate) published_on: Option<String>,
    #[serde(default)]
    pub(crate) claims: Vec<Claim>,
}

fn one_seed() -> Vec<u64> {
    vec![1]
}

/// One way to make the target.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variant {
    pub(crate) name: String,
    /// Tables and values that take the place of the experiment's.
    #[serde(default)]
    set: Table,
    /// The same, after `set`: what a scale of the grid changes in this variant.
    #[serde(default)]
    sizes: Table,
    /// Keys of the experiment that go, such as `target.training.batch_size`.
    #[serde(default)]
    unset: Vec<String>,
}

/// One attack on one variant.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) variant: String,
    /// A column of `statistics.parquet`; without it the headline attack.
    pub(crate) statistic: Option<String>,
    /// Canary users of this tier alone, counted from 0.
    pub(crate) canary: Option<usize>,
    /// Variants that are shadow models: the attack is then their likelihood ratio of the statistic.
    #[serde(default)]
    pub(crate) shadows: Vec<String>,
    /// AUROC as published.
    pub(crate) published: Option<f64>,
}

/// What should hold of the rows: one of the ways to say it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claim {
    /// In words.
    pub(crate) says: String,
    /// The row whose AUROC is higher, with `less`.
    pub(crate) more: Option<String>,
    /// The row whose AUROC is lower, with `more`.
    pub(crate) less: Option<String>,
    /// What `less` is multiplied with.
    pub(crate) factor: Option<f64>,
    /// Two rows whose AUROCs are less than .05 apart.
    pub(crate) alike: Option<[String; 2]>,
    /// A row whose AUROC is above one half.
    pub(crate) above_chance: Option<String>,
    /// A variant whose AUROC grows with the gap of validation losses along its kept checkpoints.
    pub(crate) grows_with_gap: Option<String>,
    /// A factor of users that goes with the headline statistic among held-in users.
    pub(crate) goes_with: Option<GoesWith>,
    /// A row of canaries whose audit bounds epsilon from below by so much.
    pub(crate) leaks: Option<Leaks>,
    /// A row of canaries whose audit does not refute what their training promises.
    pub(crate) keeps_promise: Option<String>,
    /// A variant whose held-in users are detected, some of them, at the false discovery rate of its attack.
    pub(crate) detects: Option<String>,
    /// A variant on a synthetic population whose statistic grows with the exposure that is exact.
    pub(crate) follows_exact: Option<String>,
    /// Two variants, of which the first has the lower loss on attack documents of held-out users.
    pub(crate) lower_loss: Option<[String; 2]>,
}

/// A factor of users, as `results.json` names it, in a variant.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoesWith {
    pub(crate) variant: String,
    pub(crate) factor: String,
}

/// An epsilon of users below which a training is shown not to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leaks {
    /// A row of canaries.
    pub(crate) row: String,
    pub(crate) epsilon: f64,
}

impl Grid {
    /// Reads a grid file and checks that its names fit together.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{}: the grid file cannot be read", path.display()))?;
        let mut grid: Self = toml::from_str(&text)
            .map_err(|error| anyhow::anyhow!("{}: {}", path.display(), error.to_string().trim_end()))?;
        grid.experiment = path.parent().unwrap_or(Path::new(".")).join(&grid.experiment);
        if grid.rows.is_empty() {
            let row = |variant: &Variant| Row {
                name: variant.name.clone(),
                variant: variant.name.clone(),
                ..Row::default()
            };
            grid.rows = grid.variants.iter().map(row).collect();
        }
        grid.check().with_context(|| path.display().to_string())?;
        Ok(grid)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.describes_corpus || !self.variants.is_empty(),
            "[[variants]] is missing, expected at least one"
        );
        ensure!(!self.seeds.is_empty(), "seeds is empty, expected at least one");
        // Run folders are named by them.
        let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_. ".contains(c));
        if let Some(wrong) = self.variants.iter().find(|variant| !is_name(&variant.name)) {
            bail!("variant `{}`: expected letters, digits, blanks, `-`, `_` and `.` in its name", wrong.name);
        }
        for (at, variant) in self.variants.iter().enumerate() {
            let earlier: BTreeSet<&str> = self.variants[..at].iter().map(|own| own.name.as_str()).collect();
            for name in
                [&variant.set, &variant.sizes, &self.set, &self.sizes].into_iter().flat_map(runs_named)
            {
                known("earlier variant", name, &earlier)
                    .with_context(|| format!("variant `{}` names {RUN}{name}", variant.name))?;
            }
        }
        let variants = unique("variant", self.variants.iter().map(|variant| &variant.name))?;
        let folders: Vec<String> = self.variants.iter().map(|variant| self.run_name(&variant.name)).collect();
        unique("run folder", folders.iter())?;
        let rows = unique("row", self.rows.iter().map(|row| &row.name))?;
        for row in &self.rows {
            for variant in [&row.variant].into_iter().chain(&row.shadows) {
                known("variant", variant, &variants)?;
            }
        }
        for claim in &self.claims {
            claim.check(&variants, &rows).with_context(|| format!("the claim {:?}", claim.says))?;
            if let Some(name) = claim.audited() {
                self.row(name)?.check_audit().with_context(|| format!("the claim {:?}", claim.says))?;
            }
        }
        Ok(())
    }

    /// The experiment of a variant at a seed, with its name; `folder` is the run folder of another variant.
    pub(crate) fn experiment(
        &self,
        variant: &Variant,
        seed: u64,
        folder: &dyn Fn(&str) -> PathBuf,
    ) -> anyhow::Result<RawExperiment> {
        let text = std::fs::read_to_string(&self.experiment)
            .with_context(|| format!("{}: the experiment file cannot be read", self.experiment.display()))?;
        let mut table: Table = toml::from_str(&text)
            .map_err(|error| anyhow::anyhow!("{}: {error}", self.experiment.display()))?;
        for key in &variant.unset {
            remove(&mut table, key).with_context(|| format!("variant `{}`", variant.name))?;
        }
        merge(&mut table, &self.set);
        merge(&mut table, &self.sizes);
        merge(&mut table, &variant.set);
        merge(&mut table, &variant.sizes);
        point(&mut table, folder);
        table.insert("name".to_owned(), Value::String(self.run_name(&variant.name)));
        table.insert("seed".to_owned(), Value::Integer(i64::try_from(seed).context("a seed is below 2^63")?));
        RawExperiment::parse(&toml::to_string(&table)?, &self.experiment)
            .with_context(|| format!("variant `{}`", variant.name))
    }

    /// Where a variant stands.
    pub(crate) fn position(&self, variant: &str) -> anyhow::Result<usize> {
        self.variants.iter().position(|own| own.name == variant).context("variants were checked")
    }

    /// The row of a name.
    pub(crate) fn row(&self, name: &str) -> anyhow::Result<&Row> {
        self.rows.iter().find(|row| row.name == name).context("rows were checked")
    }

    /// Whether variants differ in how the target is made alone.
    pub(crate) fn is_of_mitigations(&self) -> bool {
        let has_row = |own: &&Variant| self.rows.iter().any(|row| row.variant == own.name);
        let others = self.variants.iter().skip(1).filter(has_row);
        let mut keys = others.flat_map(|own| own.set.keys().chain(own.sizes.keys()));
        self.variants.len() > 1 && keys.all(|key| key == "target")
    }

    /// Name of the run folders of a variant.
    pub(crate) fn run_name(&self, variant: &str) -> String {
        format!("{}-{}", self.name, variant.replace(' ', "-"))
    }
}

/// What statistics begin with that see who is held in: guesses may see that through the target alone.
const SEES_COINS: [&str; 6] = ["learned", "set_level", "rmia", "p_value", "q_value", "rank"];

impl Row {
    /// Whether its users are canaries whose coins its statistic sees through the target alone.
    pub(crate) fn is_audit(&self) -> bool {
        self.check_audit().is_ok()
    }

    fn check_audit(&self) -> anyhow::Result<()> {
        ensure!(
            self.canary.is_some() && self.shadows.is_empty(),
            "an audit is of canaries alone, and row `{}` is not",
            self.name
        );
        let sees = |name: &String| SEES_COINS.iter().any(|own| name.starts_with(own));
        if let Some(statistic) = self.statistic.as_ref().filter(|name| sees(name)) {
            bail!(
                "row `{}`: `{statistic}` is made knowing who is held in, which an audit must not",
                self.name
            );
        }
        Ok(())
    }
}

impl Variant {
    /// The experiment as it is.
    pub(crate) fn unchanged(name: &str) -> Self {
        Self { name: name.to_owned(), set: Table::new(), sizes: Table::new(), unset: Vec::new() }
    }

    /// Whether its experiment can be read only once other variants have run.
    pub(crate) fn needs_runs(&self) -> bool {
        [&self.set, &self.sizes].into_iter().any(|table| !runs_named(table).is_empty())
    }
}

impl Claim {
    fn check(&self, variants: &BTreeSet<&str>, rows: &BTreeSet<&str>) -> anyhow::Result<()> {
        let ways = [
            self.more.is_some() && self.less.is_some(),
            self.alike.is_some(),
            self.above_chance.is_some(),
            self.grows_with_gap.is_some(),
            self.goes_with.is_some(),
            self.leaks.is_some(),
            self.keeps_promise.is_some(),
            self.detects.is_some(),
            self.follows_exact.is_some(),
            self.lower_loss.is_some(),
        ];
        ensure!(
            ways.iter().filter(|way| **way).count() == 1 && self.more.is_some() == self.less.is_some(),
            "it needs one of `more` with `less`, `alike`, `above_chance`, `grows_with_gap`, `goes_with`, `leaks`, \
             `keeps_promise`, `detects`, `follows_exact` and `lower_loss`"
        );
        ensure!(self.factor.is_none() || self.less.is_some(), "a factor is of `more` and `less` alone");
        self.rows().try_for_each(|row| known("row", row, rows))?;
        self.variants().try_for_each(|variant| known("variant", variant, variants))
    }

    /// The row whose audit it is about.
    pub(crate) fn audited(&self) -> Option<&String> {
        self.keeps_promise.as_ref().or(self.leaks.as_ref().map(|leaks| &leaks.row))
    }

    /// The rows that it names.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &String> {
        let named = [self.more.as_ref(), self.less.as_ref(), self.above_chance.as_ref(), self.audited()];
        named.into_iter().flatten().chain(self.alike.iter().flatten())
    }

    /// The variants that it names itself.
    pub(crate) fn variants(&self) -> impl Iterator<Item = &String> {
        let factor = self.goes_with.as_ref().map(|claim| &claim.variant);
        let named = [&self.grows_with_gap, &self.detects, &self.follows_exact];
        named.into_iter().flatten().chain(factor).chain(self.lower_loss.iter().flatten())
    }
}

/// The variants whose run folders a table names.
fn runs_named(table: &Table) -> Vec<&str> {
    let mut named = Vec::new();
    for value in table.values() {
        match value {
            Value::Table(inner) => named.extend(runs_named(inner)),
            Value::String(text) => named.extend(text.strip_prefix(RUN)),
            _ => {}
        }
    }
    named
}

fn unique<'n>(what: &str, names: impl Iterator<Item = &'n String>) -> anyhow::Result<BTreeSet<&'n str>> {
    let mut seen = BTreeSet::new();
    for name in names {
        ensure!(seen.insert(name.as_str()), "{what} `{name}` is there twice, expected it once");
    }
    Ok(seen)
}

fn known(what: &str, name: &str, among: &BTreeSet<&str>) -> anyhow::Result<()> {
    if among.contains(name) {
        return Ok(());
    }
    let names: Vec<&str> = among.iter().copied().collect();
    bail!("there is no {what} `{name}`, expected one of {}", names.join(", "))
}

/// Puts values in their places, tables by their own keys.
fn merge(table: &mut Table, set: &Table) {
    for (key, value) in set {
        match (table.get_mut(key), value) {
            (Some(Value::Table(own)), Value::Table(set)) => merge(own, set),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}

fn remove(table: &mut Table, key: &str) -> anyhow::Result<()> {
    let missing = || format!("unset names {key}, which the experiment has not");
    match key.split_once('.') {
        Some((first, rest)) => {
            let inner = table.get_mut(first).and_then(Value::as_table_mut).with_context(missing)?;
            remove(inner, rest).with_context(missing)
        }
        None => table.remove(key).map(drop).with_context(missing),
    }
}

/// Puts run folders in the place of `run:VARIANT`.
fn point(table: &mut Table, folder: &dyn Fn(&str) -> PathBuf) {
    for (_, value) in table.iter_mut() {
        match value {
            Value::Table(inner) => point(inner, folder),
            Value::String(text) => {
                if let Some(path) = text.strip_prefix(RUN).map(folder) {
                    *text = path.to_string_lossy().into_owned();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPERIMENT: &str = include_str!("../../../../xtask/recipes/experiments/smoke.toml");

    fn grid(text: &str) -> anyhow::Result<Grid> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("experiment.toml"), EXPERIMENT).unwrap();
        let path = folder.path().join("grid.toml");
        std::fs::write(&path, format!("name = \"g\"\nexperiment = \"experiment.toml\"\n{text}")).unwrap();
        let grid = Grid::read(&path)?;
        // The experiment is read later, when this folder is gone.
        let raw = grid
            .experiment(&grid.variants[grid.variants.len() - 1], 3, &|name| format!("/runs/{name}").into())?;
        assert_eq!((raw.name.as_str(), raw.seed), ("g-last", 3));
        let training = &raw.target.training;
        assert_eq!((raw.target.exact_dedup, training.batch_size, training.epochs), (true, Some(4), 9));
        Ok(grid)
    }

    const VARIANTS: &str = "[[variants]]\nname = \"none\"\n[[variants]]\nname = \"last\"\nunset = [\"target.training.batch_size\"]\n\
        [variants.set.target]\nexact_dedup = true\ntraining.batch_size = 4\n[set.target.training]\nepochs = 9\n";

    #[test]
    fn variants_change_what_they_name_and_rows_follow() {
        let grid = grid(VARIANTS).unwrap();
        let rows: Vec<&str> = grid.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!((rows, grid.seeds), (vec!["none", "last"], vec![1]));
    }

    #[test]
    fn names_must_fit() {
        let error = |more: &str| format!("{:#}", grid(&format!("{VARIANTS}{more}")).unwrap_err());
        let says = error("[[claims]]\nsays = \"s\"\nmore = \"none\"\nless = \"first\"");
        assert!(says.contains("there is no row `first`, expected one of last, none"), "{says}");
        let says = error("[[claims]]\nsays = \"s\"\nmore = \"none\"");
        assert!(says.contains("it needs one of `more` with `less`"), "{says}");
        let says = error("[[variants]]\nname = \"none\"");
        assert!(says.contains("variant `none` is there twice"), "{says}");
        let says = error("[[variants]]\nname = \"last2\"\nunset = [\"target.nothing\"]");
        assert!(says.contains("unset names") && says.contains("nothing"), "{says}");
    }

    #[test]
    fn a_table_changes_what_it_names() {
        let mut table: Table = toml::from_str("a.b = 1\na.c = 2").unwrap();
        merge(&mut table, &toml::from_str("a.b = 3\nd = 4").unwrap());
        assert_eq!(table, toml::from_str("a.b = 3\na.c = 2\nd = 4").unwrap());
    }

    #[test]
    fn run_folders_of_other_variants() {
        let mut table: Table = toml::from_str("a.b = \"run:none\"\nc = \"running\"").unwrap();
        point(&mut table, &|name| format!("/runs/{name}-seed1").into());
        assert_eq!(table["a"]["b"].as_str(), Some("/runs/none-seed1"));
        assert_eq!(table["c"].as_str(), Some("running"));
    }
}

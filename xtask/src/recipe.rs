//! Recipes: variants of an experiment and what they should show, at several scales.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::Deserialize;
use toml::{Table, Value};

use crate::project_root;

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scale {
    /// The built-in synthetic population: seconds to minutes on two cores.
    Smoke,
    /// A corpus of a few MB of your own: minutes on two cores.
    Desk,
    /// The paper's model and corpora: hours on a GPU.
    Paper,
}

impl Scale {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Desk => "desk",
            Self::Paper => "paper",
        }
    }
}

/// A file of `xtask/recipes/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// What the result shows, in a sentence.
    pub(crate) shows: String,
    /// What was published, in a sentence.
    pub(crate) published: String,
    /// Variants, rows and claims, as `userprint mitigate` reads them.
    grid: Table,
    smoke: Option<ScaleRecipe>,
    desk: Option<ScaleRecipe>,
    paper: Option<ScaleRecipe>,
}

/// One scale of a recipe: only sizes differ.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScaleRecipe {
    /// About how long it takes where it is meant to run.
    pub(crate) minutes: f64,
    #[serde(default = "one_seed")]
    pub(crate) seeds: Vec<u64>,
    /// What this scale changes in every variant.
    #[serde(default)]
    set: Table,
    /// What it changes in single variants, by name: in the place of what the variant says.
    #[serde(default)]
    variants: BTreeMap<String, Table>,
}

fn one_seed() -> Vec<u64> {
    vec![1]
}

/// A variant of a grid.
fn variant<'g>(grid: &'g mut Table, name: &str) -> Option<&'g mut Table> {
    let variants = grid.get_mut("variants")?.as_array_mut()?;
    let is_meant = |variant: &&mut Value| variant.get("name").and_then(Value::as_str) == Some(name);
    variants.iter_mut().find(is_meant)?.as_table_mut()
}

fn folder() -> PathBuf {
    project_root().join("xtask/recipes")
}

/// The names of all recipes, sorted.
pub(crate) fn names() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

impl Recipe {
    pub(crate) fn read(name: &str) -> anyhow::Result<Self> {
        let names = names()?;
        if !names.iter().any(|known| known == name) {
            bail!("there is no recipe `{name}`, expected one of {}", names.join(", "));
        }
        let text = fs::read_to_string(folder().join(format!("{name}.toml")))?;
        toml::from_str(&text).with_context(|| format!("xtask/recipes/{name}.toml"))
    }

    pub(crate) fn scales(&self) -> impl Iterator<Item = (Scale, &ScaleRecipe)> {
        [(Scale::Smoke, &self.smoke), (Scale::Desk, &self.desk), (Scale::Paper, &self.paper)]
            .into_iter()
            .filter_map(|(scale, recipe)| Some((scale, recipe.as_ref()?)))
    }

    pub(crate) fn at(&self, scale: Scale) -> anyhow::Result<&ScaleRecipe> {
        let found = self.scales().find(|(known, _)| *known == scale);
        found.map(|(_, recipe)| recipe).with_context(|| format!("the recipe has no scale `{}`", scale.name()))
    }

    /// The grid file of a scale.
    pub(crate) fn grid(&self, name: &str, scale: Scale) -> anyhow::Result<String> {
        let own = self.at(scale)?;
        let mut grid = self.grid.clone();
        let experiment = folder().join(format!("experiments/{}.toml", scale.name()));
        grid.insert("name".to_owned(), Value::String(name.to_owned()));
        grid.insert("experiment".to_owned(), Value::String(experiment.display().to_string()));
        let seeds = own.seeds.iter().map(|&seed| Value::Integer(seed as i64));
        grid.insert("seeds".to_owned(), Value::Array(seeds.collect()));
        grid.insert("sizes".to_owned(), Value::Table(own.set.clone()));
        for (variant, changes) in &own.variants {
            let variant = self::variant(&mut grid, variant)
                .with_context(|| format!("{name}: there is no variant `{variant}`, which a scale changes"))?;
            variant.insert("sizes".to_owned(), Value::Table(changes.clone()));
        }
        Ok(toml::to_string(&grid)?)
    }

    /// The claims, in words.
    pub(crate) fn claims(&self) -> Vec<&str> {
        let claims = self.grid.get("claims").and_then(Value::as_array);
        claims.into_iter().flatten().filter_map(|claim| claim.get("says")?.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_reads_and_claims_something() {
        for name in names().unwrap() {
            let recipe = Recipe::read(&name).unwrap();
            assert!(recipe.scales().count() > 0, "{name}");
            let describes_corpus = recipe.grid.get("describes_corpus").is_some();
            assert!(describes_corpus || !recipe.claims().is_empty(), "{name} claims nothing");
            for (scale, own) in recipe.scales() {
                let grid: Table = toml::from_str(&recipe.grid(&name, scale).unwrap()).unwrap();
                let experiment = grid["experiment"].as_str().unwrap();
                assert!(PathBuf::from(experiment).is_file(), "{name}: {experiment}");
                assert!(!own.seeds.is_empty() && own.minutes > 0.0, "{name}");
            }
        }
    }
}

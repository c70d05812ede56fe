//! Recipes: an experiment at several scales, each with the result that it must give.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::project_root;

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scale {
    /// The built-in synthetic population: about a minute on two cores.
    Smoke,
    /// A corpus of a few MB of your own: minutes on two cores.
    Desk,
}

impl Scale {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Desk => "desk",
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
    smoke: Option<ScaleRecipe>,
    desk: Option<ScaleRecipe>,
}

/// One scale of a recipe.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScaleRecipe {
    /// The experiment file, beside the recipe.
    pub(crate) experiment: PathBuf,
    /// About how long one run takes on two cores.
    pub(crate) minutes: f64,
    /// Allowed range by key of `results.json`; dots lead into tables.
    pub(crate) expect: BTreeMap<String, [f64; 2]>,
}

/// The keys of an experiment file that name its run folder.
#[derive(Debug, Deserialize)]
pub(crate) struct ExperimentHead {
    pub(crate) name: String,
    pub(crate) seed: u64,
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
        [(Scale::Smoke, &self.smoke), (Scale::Desk, &self.desk)]
            .into_iter()
            .filter_map(|(scale, recipe)| Some((scale, recipe.as_ref()?)))
    }

    pub(crate) fn at(&self, scale: Scale) -> anyhow::Result<&ScaleRecipe> {
        let found = self.scales().find(|(known, _)| *known == scale);
        found.map(|(_, recipe)| recipe).with_context(|| format!("the recipe has no scale `{}`", scale.name()))
    }
}

impl ScaleRecipe {
    pub(crate) fn experiment_path(&self) -> PathBuf {
        folder().join(&self.experiment)
    }

    pub(crate) fn experiment_head(&self) -> anyhow::Result<ExperimentHead> {
        let path = self.experiment_path();
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        toml::from_str(&text).with_context(|| format!("{} needs `name` and `seed`", path.display()))
    }

    /// One sentence for each expectation that the results miss.
    pub(crate) fn misses(&self, results: &Value) -> Vec<String> {
        let mut misses = Vec::new();
        for (key, [least, most]) in &self.expect {
            let found = results.pointer(&format!("/{}", key.replace('.', "/")));
            match found.and_then(Value::as_f64) {
                Some(found) if *least <= found && found <= *most => {}
                Some(found) => misses.push(format!("{key}: found {found}, expected {least} to {most}")),
                None => misses.push(format!("{key}: no number found, expected {least} to {most}")),
            }
        }
        misses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_reads_and_its_experiments_exist() {
        for name in names().unwrap() {
            let recipe = Recipe::read(&name).unwrap();
            assert!(recipe.scales().count() > 0, "{name}");
            for (_, scale) in recipe.scales() {
                scale.experiment_head().unwrap();
                assert!(!scale.expect.is_empty(), "{name} expects nothing");
            }
        }
    }

    #[test]
    fn says_which_key_is_out_of_range() {
        let expect = [("auroc", [0.7, 1.0]), ("validation_loss.held_in", [0.0, 3.0]), ("gone", [0.0, 1.0])];
        let scale = ScaleRecipe {
            experiment: "experiment.toml".into(),
            minutes: 1.0,
            expect: expect.map(|(key, range)| (key.to_owned(), range)).into(),
        };
        let results = serde_json::json!({"auroc": 0.6, "validation_loss": {"held_in": 2.0}});
        assert_eq!(
            scale.misses(&results),
            ["auroc: found 0.6, expected 0.7 to 1", "gone: no number found, expected 0 to 1"]
        );
    }
}

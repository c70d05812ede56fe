//! The optimiser that an experiment file names, with the keys that belong to it.

use anyhow::bail;
use serde::{Deserialize, Serialize};
use userprint_train::OptimizerConfig;

use super::training::RawTraining;

/// What `optimizer` may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OptimizerName {
    #[default]
    Adam,
    AdamW,
    Sgd,
}

impl RawTraining {
    /// The optimiser with what it takes, and nothing that another one takes.
    pub(super) fn optimizer(&self) -> anyhow::Result<OptimizerConfig> {
        match (self.optimizer, self.weight_decay, self.momentum) {
            (OptimizerName::Adam, None, None) => Ok(OptimizerConfig::ADAM),
            (OptimizerName::AdamW, Some(weight_decay), None) => Ok(OptimizerConfig::AdamW { weight_decay }),
            (OptimizerName::AdamW, None, _) => {
                bail!("optimizer is \"adamw\" without a weight_decay, expected both")
            }
            (OptimizerName::Sgd, None, momentum) => {
                Ok(OptimizerConfig::Sgd { momentum: momentum.unwrap_or(0.0) })
            }
            (OptimizerName::Adam | OptimizerName::Sgd, Some(weight_decay), _) => {
                bail!("weight_decay is {weight_decay}, expected it with optimizer = \"adamw\" alone")
            }
            (OptimizerName::Adam | OptimizerName::AdamW, _, Some(momentum)) => {
                bail!("momentum is {momentum}, expected it with optimizer = \"sgd\" alone")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use userprint_train::{OptimizerConfig, Schedule, TrainSettings};

    use crate::experiment::RawExperiment;

    const SMOKE: &str = include_str!("../../../../xtask/recipes/experiments/smoke.toml");

    /// The target's settings of an experiment with these keys.
    fn target_settings(keys: &str) -> anyhow::Result<TrainSettings> {
        let text = SMOKE.replace("[target.training]", &format!("[target.training]\n{keys}"));
        Ok(toml::from_str::<RawExperiment>(&text)?.check()?.target.settings)
    }

    #[test]
    fn an_optimizer_takes_its_own_keys() {
        for (keys, expected) in [
            ("", OptimizerConfig::ADAM),
            ("optimizer = \"adam\"", OptimizerConfig::ADAM),
            ("optimizer = \"adamw\"\nweight_decay = 0.1", OptimizerConfig::AdamW { weight_decay: 0.1 }),
            ("optimizer = \"sgd\"", OptimizerConfig::Sgd { momentum: 0.0 }),
            ("optimizer = \"sgd\"\nmomentum = 0.9", OptimizerConfig::Sgd { momentum: 0.9 }),
        ] {
            assert_eq!(target_settings(keys).unwrap().optimizer, expected, "{keys}");
        }
    }

    #[test]
    fn an_optimizer_refuses_the_keys_of_others() {
        for (keys, says) in [
            ("weight_decay = 0.1", "weight_decay is 0.1, expected it with optimizer = \"adamw\" alone"),
            ("momentum = 0.9", "momentum is 0.9, expected it with optimizer = \"sgd\" alone"),
            ("optimizer = \"adamw\"", "optimizer is \"adamw\" without a weight_decay, expected both"),
            (
                "optimizer = \"adamw\"\nweight_decay = 0.1\nmomentum = 0.9",
                "momentum is 0.9, expected it with optimizer = \"sgd\" alone",
            ),
            (
                "optimizer = \"sgd\"\nweight_decay = 0.1",
                "weight_decay is 0.1, expected it with optimizer = \"adamw\" alone",
            ),
            (
                "optimizer = \"sgd\"\nmomentum = 1.0",
                "momentum is 1, expected a share of at least 0 and below 1",
            ),
        ] {
            let error = format!("{:#}", target_settings(keys).unwrap_err());
            assert_eq!(error, format!("[target.training]: {says}"), "{keys}");
        }
    }

    #[test]
    fn schedules_by_name() {
        assert_eq!(target_settings("").unwrap().schedule, Schedule::Linear);
        assert_eq!(target_settings("schedule = \"cosine\"").unwrap().schedule, Schedule::Cosine);
        assert_eq!(target_settings("schedule = \"constant\"").unwrap().schedule, Schedule::Constant);
    }
}

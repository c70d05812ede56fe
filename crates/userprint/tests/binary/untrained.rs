//! A target that was never fine-tuned gives nothing away.

use serde_json::Value;

use crate::experiment_folder::{ExperimentFolder, RUN, STAGES, TINY};

/// Every ratio is exactly 0. The reference's own log-likelihood ranks users by how plainly they write; under another
/// seed its 99.9 % interval would miss .5 with chance .001.
#[test]
fn no_steps_no_attack() {
    let folder = ExperimentFolder::finished();
    let experiment = TINY.replace("learning_rate = 3e-3", "max_steps = 0\nlearning_rate = 3e-3");
    assert_ne!(experiment, TINY);
    folder.write("experiment.toml", experiment);
    let said = folder.userprint(&["run", "experiment.toml"]).assert_success();
    assert_eq!(said.done_before(), STAGES[..3]);
    let results: Value = serde_json::from_slice(&folder.read(&format!("{RUN}/results.json"))).unwrap();
    assert_eq!(results["void"], Value::Array(Vec::new()));
    assert_eq!((&results["auroc"], &results["target_step"]), (&Value::from(0.5), &Value::from(0)));
    let [lower, upper] = [0, 1].map(|at| results["null_interval"][at].as_f64().unwrap());
    assert!(lower < 0.5 && 0.5 < upper, "{lower} to {upper}");
}

//! What makes a run void, from a corpus with one fault to the banner of the report; and all that a sound run says.

use std::path::Path;

use serde_json::Value;
use userprint_core::{Membership, Role, Tokenize};
use userprint_data::Partition;
use userprint_model::HfTokenizer;
use userprint_score::store::read_statistics;

use crate::experiment_folder::{ExperimentFolder, RUN, Said, TINY};

const USERS: usize = 60;
const EXAMPLES: usize = 10;
const WORDS: usize = 30;

/// A row of the corpus.
#[derive(Clone, Debug)]
struct Row {
    user: String,
    example: String,
    text: String,
    year: u32,
    source: String,
}

/// Users who write words of one and the same list, when and where nobody could tell them apart.
fn sound() -> Vec<Row> {
    let row = |at: usize| {
        let (user, example) = (at / EXAMPLES, at % EXAMPLES);
        Row {
            user: format!("user{user:02}"),
            example: format!("{example}"),
            text: (0..WORDS).map(|word| noise(at * WORDS + word)).collect::<Vec<_>>().join(" "),
            year: 2000 + (user % 7) as u32,
            source: format!("list {}", user % 3),
        }
    };
    (0..USERS * EXAMPLES).map(row).collect()
}

/// One of a hundred words, by the finaliser of SplitMix64.
fn noise(at: usize) -> String {
    let mut hash = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    format!("w{}", (hash ^ (hash >> 31)) % 100)
}

/// The tiny experiment on `corpus.csv`.
fn experiment() -> String {
    let (head, rest) = TINY.split_once("[corpus.synthetic]").expect("a synthetic corpus");
    let (_, rest) = rest.split_once("[split]").expect("a split after it");
    let corpus = "[corpus]\npath = \"corpus.csv\"\nuser_id = \"user\"\ntext = \"text\"\nexample_id = \"example\"\n\
                  timestamp = \"year\"\nsource = \"source\"";
    format!("{head}{corpus}\n\n[split]{rest}")
}

fn write(folder: &ExperimentFolder, rows: &[Row]) {
    let line =
        |row: &Row| format!("\"{}\",{},{},{},{}\n", row.user, row.example, row.text, row.year, row.source);
    let lines: String = rows.iter().map(line).collect();
    folder.write("corpus.csv", format!("user,example,text,year,source\n{lines}"));
}

/// Prepares the sound corpus for the sides of its users, changes it, and runs to the end.
///
/// Sides and roles depend on ids alone, so that they stay.
fn run(rows: &[Row], change: impl FnOnce(&mut Vec<Row>, &Partition)) -> (ExperimentFolder, Said, Value) {
    run_experiment(&experiment(), rows, change)
}

fn run_experiment(
    experiment: &str,
    rows: &[Row],
    change: impl FnOnce(&mut Vec<Row>, &Partition),
) -> (ExperimentFolder, Said, Value) {
    let folder = ExperimentFolder::new(experiment);
    write(&folder, rows);
    folder.userprint(&["run", "experiment.toml", "--until", "prepare"]).assert_success();
    let partition = folder.path(&format!("{RUN}/partition.parquet"));
    let partition = Partition::read_parquet(Path::new(&partition)).expect("the stage left it");
    let mut rows = rows.to_vec();
    change(&mut rows, &partition);
    write(&folder, &rows);
    let said = folder.userprint(&["run", "experiment.toml"]).assert_success();
    let results = folder.read(&format!("{RUN}/results.json"));
    let results = serde_json::from_slice(&results).expect("the results are JSON");
    (folder, said, results)
}

fn membership(partition: &Partition, user: &str) -> Membership {
    let at = partition.users.iter().position(|known| known.as_str() == user).expect("a user of the corpus");
    partition.membership[at]
}

fn roles<'p>(partition: &'p Partition, user: &str) -> impl Iterator<Item = (&'p str, Option<Role>)> {
    let at = partition.users.iter().position(|known| known.as_str() == user).expect("a user of the corpus");
    let ids = partition.example_ids.row(at).iter().map(userprint_core::ExampleId::as_str);
    ids.zip(partition.roles.row(at).iter().copied())
}

/// One reason, in the results, on standard output and in the report.
#[track_caller]
fn check_void(rows: &[Row], change: impl FnOnce(&mut Vec<Row>, &Partition), check: &str, reason: &str) {
    let (folder, said, results) = run(rows, change);
    let void: Vec<&str> =
        results["void"].as_array().expect("reasons").iter().filter_map(Value::as_str).collect();
    assert!(void.len() == 1 && void[0].contains(reason), "{void:?}");
    let checks = results["checks"].as_array().expect("checks");
    let outcome_of =
        |name: &str| checks.iter().find(|row| row["check"] == name).expect("a check")["outcome"].clone();
    assert_eq!(outcome_of(check), "void");
    assert!(said.stdout.contains(&format!("VOID: {}", void[0])), "{}", said.stdout);
    let report = String::from_utf8(folder.read(&format!("{RUN}/report.html"))).expect("a page is UTF-8");
    assert!(report.contains("VOID: do not use these numbers") && report.contains(reason));
}

#[test]
fn users_of_another_time_void() {
    let later = |rows: &mut Vec<Row>, partition: &Partition| {
        for row in rows {
            row.year += if membership(partition, &row.user) == Membership::HeldIn { 10 } else { 0 };
        }
    };
    check_void(&sound(), later, "time_shift", "held-in users wrote later than held-out users: AUROC 1.000");
}

#[test]
fn users_of_another_source_void() {
    let elsewhere = |rows: &mut Vec<Row>, partition: &Partition| {
        for row in rows {
            let is_held_in = membership(partition, &row.user) == Membership::HeldIn;
            row.source = if is_held_in { "here" } else { "elsewhere" }.to_owned();
        }
    };
    let reason = "held-in and held-out users come from different sources: chi-square 36.0 over 2 sources";
    check_void(&sound(), elsewhere, "source_shift", reason);
}

/// Makes each attack example of a held-in user one of its training examples but for the last word.
fn copy_training_examples(rows: &mut [Row], partition: &Partition) {
    let of = rows.to_vec();
    for row in rows.iter_mut().filter(|row| membership(partition, &row.user) == Membership::HeldIn) {
        let has = |id: &str, role| {
            roles(partition, &row.user).any(|(known, found)| known == id && found == Some(role))
        };
        if has(&row.example, Role::Attack) {
            let trained = of.iter().find(|other| other.user == row.user && has(&other.example, Role::Train));
            let text = &trained.expect("a user has training examples").text;
            row.text = format!("{} another", text.rsplit_once(' ').expect("words").0);
        }
    }
}

#[test]
fn attack_examples_that_were_trained_on_void() {
    let reason = "36 of 36 attack examples of held-in users are near-duplicates of training examples, a share of \
                  1.000, more than .05 above the 0.000 of held-out users";
    let copy = |rows: &mut Vec<Row>, partition: &Partition| copy_training_examples(rows, partition);
    check_void(&sound(), copy, "leakage", reason);
}

/// A training example that a cap removed was not trained on, and no copy of it counts.
#[test]
fn copies_of_examples_that_were_filtered_out_are_fresh() {
    let capped = experiment().replace("[target]", "[target]\nmax_examples_per_user = 1");
    let copy = |rows: &mut Vec<Row>, partition: &Partition| copy_training_examples(rows, partition);
    let (_, _, results) = run_experiment(&capped, &sound(), copy);
    let leakage = array(&results["checks"]).iter().find(|check| check["check"] == "leakage");
    let found = leakage.and_then(|check| check["found"].as_str()).expect("it was made");
    let n_copies: usize = found.split(' ').next().and_then(|n| n.parse().ok()).expect("a count");
    // Of each user one of seven is kept; that it is the copied one of all has chance 7^-18.
    assert!(n_copies < 36 && n_copies.is_multiple_of(2), "{found}");
}

/// `Ada07` and `ada07 ` are one person to everyone but a computer; some such pairs fall apart.
#[test]
fn one_name_in_two_spellings_voids() {
    let mut rows = sound();
    for row in &mut rows {
        let number: usize = row.user["user".len()..].parse().expect("a number");
        row.user = format!("{}{:02}{}", ["Ada", "ada"][number % 2], number / 2, ["", " "][number % 2]);
    }
    check_void(&rows, |_, _| (), "shared_users", "users are held-in and held-out");
}

/// An aggregate that counts examples: 45 attack examples of held-out users against 36 of as many held-in users.
#[test]
fn an_aggregate_that_counts_examples_voids() {
    let folder = ExperimentFolder::finished();
    folder.write("experiment.toml", TINY.replace("aggregate = \"mean\"", "aggregate = \"log_sum_exp\""));
    let said = folder.userprint(&["run", "experiment.toml"]).assert_success();
    let reason = "VOID: with the reference in the place of the target the AUROC is 0.";
    assert!(said.stdout.contains(reason), "{}", said.stdout);
}

#[test]
fn a_headline_of_its_own_stands_in_the_table() {
    let folder = ExperimentFolder::finished();
    folder.write("experiment.toml", TINY.replace("aggregate = \"mean\"", "aggregate = \"top_mean_3\""));
    folder.userprint(&["run", "experiment.toml"]).assert_success();
    let results: Value = serde_json::from_slice(&folder.read(&format!("{RUN}/results.json"))).expect("JSON");
    let rows: Vec<&Value> =
        array(&results["attacks"]).iter().filter(|row| row["aggregate"] == "top_mean_3").collect();
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["statistic"], &rows[0]["auroc"]), (&results["statistic"], &results["auroc"]));
}

fn array(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Sound but for one held-in user, two of whose training examples are the same.
fn run_with_a_duplicate() -> (ExperimentFolder, Value, Vec<Row>) {
    let mut written = Vec::new();
    let (folder, _, results) = run(&sound(), |rows, partition| {
        let is_trained = |row: &Row| {
            membership(partition, &row.user) == Membership::HeldIn
                && roles(partition, &row.user)
                    .any(|(id, role)| id == row.example && role == Some(Role::Train))
        };
        let first = rows.iter().find(|row| is_trained(row)).expect("a training example").clone();
        let again =
            |row: &&mut Row| row.user == first.user && row.example != first.example && is_trained(row);
        rows.iter_mut().find(again).expect("another").text.clone_from(&first.text);
        written.clone_from(rows);
    });
    (folder, results, written)
}

/// 18 users a side with two attack examples each: all that is to be said of them is said.
#[test]
fn a_sound_run_says_everything() {
    let (folder, results, rows) = run_with_a_duplicate();
    check_checks(&results);

    let detection = &results["detection"];
    assert_eq!(number(&detection["least_p_value"]), 1.0 / 19.0);
    // 1/19 of 36 users is .05 of 38 users, more than there are.
    assert_eq!(detection["least_detected"], Value::Null);
    let statistics = folder.path(&format!("{RUN}/statistics.parquet"));
    let statistics = read_statistics(Path::new(&statistics)).expect("the stage left it");
    assert_eq!(statistics.flags, [("is_detected".to_owned(), vec![false; 36])]);
    assert_eq!((&detection["held_in"], &detection["held_out"]), (&Value::from(0), &Value::from(0)));

    let knowledge: Vec<(f64, f64)> = array(&results["knowledge"])
        .iter()
        .map(|point| (number(&point["n_examples"]), number(&point["users_with_fewer"])))
        .collect();
    assert_eq!(knowledge, [(1.0, 0.0), (2.0, 0.0)]);
    // With all examples every draw is the attack itself.
    assert!((number(&results["knowledge"][1]["auroc"]) - number(&results["auroc"])).abs() < 1e-12);
    let sequential = &results["sequential"];
    assert_eq!(sequential["undefined"], "8 other held-out users cannot show a rate of 0.1, below 1/(1 + 8)");
    assert_eq!(sequential["fpr"], Value::Null);

    let has = |name: &str| array(&results["attacks"]).iter().any(|row| row["statistic"] == name);
    assert!(has("rmia") && has("learned") && has("set_level"));
    let left_out: Vec<&Value> =
        array(&results["attacks_left_out"]).iter().map(|row| &row["statistic"]).collect();
    let expected = [
        "mean_reference_likelihood_ratio",
        "error_zone_ratio",
        "min_k_plus_plus_20",
        "calibrated_min_k_plus_plus_20",
    ];
    assert_eq!(left_out, expected);
    check_exposure(&folder, &results, &rows);
}

/// Eight checks that pass; those with a p-value share one level by Holm's method.
#[track_caller]
fn check_checks(results: &Value) {
    assert_eq!(results["void"], Value::Array(Vec::new()));
    let checks = array(&results["checks"]);
    let names: Vec<&Value> = checks.iter().map(|check| &check["check"]).collect();
    let expected =
        ["placebo", "null", "blind", "shared_users", "leakage", "time_shift", "source_shift", "resolution"];
    assert_eq!(names, expected);
    assert!(checks.iter().all(|check| check["outcome"] == "passed" && check["reason"] == Value::Null));
    assert_eq!(checks[0]["found"], "AUROC 0.5");
    assert!(
        checks[4]["found"].as_str().is_some_and(|found| found.starts_with("0 of 36, of held-out 0 of 36"))
    );
    let tested: Vec<&Value> = checks.iter().filter(|check| check["p_value"] != Value::Null).collect();
    let least = tested.iter().min_by(|a, b| number(&a["p_value"]).total_cmp(&number(&b["p_value"])));
    let least = least.expect("a test");
    assert_eq!(tested.len(), 4);
    assert_eq!(number(&least["adjusted_p_value"]), (4.0 * number(&least["p_value"])).min(1.0));
}

/// Shares are those of the tokens of the users' training examples; one user has a duplicate.
#[track_caller]
fn check_exposure(folder: &ExperimentFolder, results: &Value, rows: &[Row]) {
    let path = |name: &str| folder.path(&format!("{RUN}/{name}"));
    let partition = Partition::read_parquet(&path("partition.parquet")).expect("the stage left it");
    let tokenizer = HfTokenizer::load_folder(&path("checkpoints/reference")).expect("the stage left it");
    let of_user = |user: &str| {
        let is_trained = |row: &&Row| {
            row.user == user
                && roles(&partition, user).any(|(id, role)| id == row.example && role == Some(Role::Train))
        };
        let texts: Vec<&str> = rows.iter().filter(is_trained).map(|row| row.text.as_str()).collect();
        assert_eq!(texts.len(), 7, "of ten examples two are for the attack and one for validation");
        tokenizer.encode(&texts).expect("words").ids.values().len() as f64
    };
    let held_in =
        partition.users.iter().filter(|user| membership(&partition, user.as_str()) == Membership::HeldIn);
    let mut tokens: Vec<f64> = held_in.map(|user| of_user(user.as_str())).collect();
    tokens.sort_by(f64::total_cmp);
    let total: f64 = tokens.iter().sum();
    let mut shares: Vec<f64> = array(&results["bounds"]).iter().map(|row| number(&row["share"])).collect();
    shares.sort_by(f64::total_cmp);
    assert_eq!(shares, tokens.iter().map(|n| n / total).collect::<Vec<_>>());
    for row in array(&results["bounds"]) {
        let [lower, measured, upper] = ["lower", "measured", "upper"].map(|name| number(&row[name]));
        assert_eq!(row["is_inside"], lower <= measured && measured <= upper, "{row}");
    }

    let factor = |name: &str| {
        let found = array(&results["exposure"]).iter().find(|row| row["factor"] == name);
        found.unwrap_or_else(|| panic!("no {name}"))
    };
    assert_eq!(factor("word_divergence")["all"]["users"], 36);
    assert_eq!(factor("n_train_tokens")["held_in"]["users"], 18);
    // As many examples of each user: no correlation; one duplicate of one user: there is.
    assert_ne!(factor("n_train_examples")["held_in"]["undefined"], Value::Null);
    assert_eq!(factor("n_duplicates")["held_in"]["users"], 18);
    assert_ne!(factor("share")["held_out"]["undefined"], Value::Null);
    assert_eq!(factor("share")["held_in"]["estimate"], factor("n_train_tokens")["held_in"]["estimate"]);
}

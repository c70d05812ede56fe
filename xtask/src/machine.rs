//! The name of this machine in committed bench results: its processor, not its owner.

use std::fs;

/// Processor model and number of cores, as one folder name.
pub(crate) fn name() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    name_from(&cpuinfo)
}

fn name_from(cpuinfo: &str) -> String {
    let field = |line: &str, key: &str| {
        line.split_once(':').filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
    };
    let model = cpuinfo.lines().find_map(|line| field(line, "model name"));
    let n_cores = cpuinfo.lines().filter(|line| field(line, "processor").is_some()).count();
    format!("{}-{n_cores}cores", slug(&model.unwrap_or_else(|| "unknown-cpu".into())))
}

fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_processor() {
        let cpuinfo = "processor : 0\nmodel name : Fast(R) CPU @ 2.10GHz\n\nprocessor : 1\nmodel name : x\n";
        assert_eq!(name_from(cpuinfo), "fast-r-cpu-2-10ghz-2cores");
        assert_eq!(name_from(""), "unknown-cpu-0cores");
    }
}

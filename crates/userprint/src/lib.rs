//! Tell, with evidence, whether a person'"s

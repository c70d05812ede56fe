//! How long one epsilon takes, for settings that arrive on standard input.
//!
//! Each line is `noise_multiplier sampling_probability steps delta`; the answer is `epsilon seconds`.
//! `epsilon_time.py` beside it asks this program and dp-accounting in turns.
#![expect(clippy::print_stdout, reason = "a program that prints is its purpose")]

use std::io::BufRead;
use std::time::Instant;

use userprint_privacy::{Accountant, AccountingError, DpEvent, PldAccountant};

fn main() -> Result<(), AccountingError> {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [noise, probability, steps, delta] = numbers[..] else {
            continue;
        };
        let event = DpEvent::gaussian(noise).poisson_sampled(probability).repeated(steps as u64);
        let start = Instant::now();
        let epsilon = PldAccountant::default().epsilon(&event, delta)?;
        println!("{epsilon:.12} {:.6}", start.elapsed().as_secs_f64());
    }
    Ok(())
}

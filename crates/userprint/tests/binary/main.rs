//! The binary from the outside: what it leaves on the disk, what it says, and what it survives.

mod account;
mod auroc_curve;
mod bad_input;
mod canaries;
mod command_line;
mod corpus;
mod experiment_folder;
mod findings;
mod full_disk;
mod hub;
mod interrupted;
mod lora;
mod mitigate;
mod model;
mod pool;
mod private;
mod reruns;
mod same_seed;
mod score;
mod stats;
mod untrained;
mod validity;

//! The binary from the outside: what it leaves on the disk, what it says, and what it survives.

mod bad_input;
mod command_line;
mod experiment_folder;
mod full_disk;
mod interrupted;
mod pool;
mod reruns;
mod same_seed;
mod untrained;

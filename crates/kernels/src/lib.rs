#![doc = include_str!("../README.md")]

pub mod adam;
pub mod attention;
pub mod gelu;
pub mod head;
pub mod plain;

//! From the challenges' scores to the vector: challenges over real HTTP.

mod collect;
mod example;
mod tokens;
